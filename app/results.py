"""Finished finetunes and comparisons, read from the store for the Finetune and Compare steps. Milliseconds each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.compare_sentence import LEVEL, compare_sentence, effect_words, effects, squares
from app.damage import unless_damaged
from app.previews import Previews
from app.training import control_of
from app.views.compare_table import below, cells_card, cost_card, failures_card, label_of
from app.views.comparison import Choice, Effects, rollout_player, success
from app.views.finetune import ResultRow
from app.views.header import READY
from app.visible import VisitorStore
from steering import figures, pipeline
from steering.comparison.cells import cell_tests, cells
from steering.comparison.compare import verdicts
from steering.errors import InputError, SteeringError
from steering.manifest import Manifest
from steering.types import (
    HEAD_RESTRICTED,
    METHOD_LABELS,
    Comparison,
    FinetuneResult,
    HeadChange,
    Rollouts,
    origin_words,
)

_RECENT = 12
_MOST_CHOICES = 40


@dataclass(frozen=True)
class ShownChange:
    """What a finetune did to the heads. lines: in sentences; figure: the head maps before and after, as Plotly JSON."""

    method: str
    demonstrations: str
    lines: tuple[str, ...]
    figure: dict[str, Any]


@dataclass(frozen=True)
class Shown:
    """A comparison as the page shows it: data of the rollout player, and markup of everything else.

    made: how a ready example came about; empty for one's own. sentence: what leads the step.
    """

    id: str
    task: str
    made: str
    sentence: str
    player: dict[str, Any]
    success: str
    tables: str


class Results:
    """Reads results of `store`; addresses of recordings come from `previews`."""

    def __init__(self, store: VisitorStore, previews: Previews) -> None:
        self._store, self._previews = store, previews

    def finetunes(self) -> list[ResultRow]:
        """The newest finetunes; damaged ones are left out."""
        rows = []
        for manifest in self._store.find("adapter")[:_RECENT]:
            try:
                rows.append(self._row(manifest.id))
            except SteeringError:
                continue  # the line about damage names it, or what it was made of is gone
        return rows

    def _row(self, adapter_id: str) -> ResultRow:
        result: FinetuneResult = self._store.load(adapter_id)
        demonstrations_id = self._store.manifest(adapter_id).parents[0]
        error = result.heldout_error
        return ResultRow(
            id=adapter_id,
            method=result.method,
            heads=heads_trained(result),
            steps=len(result.loss),
            rank=result.rank or (None if result.method in ("full", "dense_heads") else result.settings.rank),
            parameters=result.trainable_parameters,
            train_s=result.train_s,
            loss=float(result.loss[-10:].mean()),
            heldout=(float(error[0]), float(error[-1])) if len(error) else None,
            demonstrations=self._trained_on(adapter_id),
            origin=origin_words(pipeline.origin_of(self._store, adapter_id)) if heads_trained(result) else "",
            best_step=result.best_step,
            old=self._store.old_words(adapter_id),
            notice=pipeline.heldout_notice(self._store, adapter_id, demonstrations_id) if len(error) else "",
            own=self._store.owns(adapter_id),
            control=any(control_of(self._store, one) for one in self._store.manifest(adapter_id).parents),
        )

    def head_change(self, change_id: str) -> ShownChange:
        """The heads before and after a finetune."""
        change: HeadChange = self._store.load(change_id)
        adapter_id = self._store.manifest(change_id).parents[0]
        return ShownChange(
            method=change.method,
            demonstrations=self._trained_on(adapter_id),
            lines=(*pipeline.change_lines(change), *self._old(change_id)),
            figure=figures.plain(figures.head_change(change)),
        )

    def _trained_on(self, adapter_id: str) -> str:
        demonstrations = unless_damaged(self._store.kept, self._store.manifest(adapter_id).parents[0])
        if demonstrations is None:
            return "damaged demonstrations"
        return str(demonstrations.task or demonstrations.name).replace("_", " ")

    def last_run(self) -> str:
        """What was finished last here, in a few words; else that there is an example; empty where there is neither."""
        last = self._newest()
        if last is None:
            return READY if self._store.find("comparison") or self._store.find("adapter") else ""
        if last.kind == "comparison":
            return f"compared {len(last.parents)} method{'s' if len(last.parents) > 1 else ''}"
        method = str(last.params.get("method"))
        return f"finetuned {METHOD_LABELS.get(method, method)}"

    def newest(self) -> str:
        """Id of the run that was finished last here, else of the ready example. Raises InputError without either."""
        found = self._newest()
        ready = [] if found else self._store.find("comparison")[:1]
        if not found and not ready:
            raise InputError("There is no run to export yet. Finetune first, or compare.")
        return found.id if found else ready[0].id

    def _newest(self) -> Manifest | None:
        runs = [one for kind in ("adapter", "comparison") for one in self._own(kind)[:1]]
        return max(runs, key=lambda manifest: manifest.created, default=None)

    def _own(self, kind: str) -> list[Manifest]:
        return [manifest for manifest in self._store.find(kind) if self._store.owns(manifest.id)]

    def _sample(self, artefact_id: str) -> bool:
        return self._store.is_sample(artefact_id)

    def choices(self) -> list[Choice]:
        """The newest comparisons, one's own first; damaged ones are left out."""
        found = []
        for manifest in self._store.find("comparison")[:_MOST_CHOICES]:
            try:
                value: Comparison = self._store.load(manifest.id)
            except SteeringError:
                continue  # the line about damage names it
            words = {rate.method.partition("/")[2] for rate in value.rates}
            found.append(
                Choice(
                    manifest.id,
                    value.task,
                    value.variations,
                    next(iter(words)) or "original" if len(words) == 1 else "original",
                    len(value.rates),
                    len(value.seeds),
                    self._sample(manifest.id),
                    self._store.owns(manifest.id),
                )
            )
        return sorted(found, key=lambda one: one.sample)

    @staticmethod
    def chosen(choices: list[Choice], task: str, wanted: str) -> str | None:
        """The comparison to show: `wanted`, else one's own newest on `task`, one's own newest, the ready example.

        A check of the words follows what it checks.
        """
        known = [one.id for one in choices]
        if wanted in known:
            return wanted
        order = sorted(choices, key=lambda one: (one.sample, one.task != task, one.instruction != "original"))
        return order[0].id if order else None

    def comparison(self, comparison_id: str) -> Shown:
        """A comparison with its recordings, the table of its policies, and costs."""
        value: Comparison = self._store.load(comparison_id)
        parents = self._store.manifest(comparison_id).parents
        rollouts: list[Rollouts] = [self._store.load(parent) for parent in parents]
        videos, traces = (
            [
                {seed: self._previews.recording(parent, path) for seed, path in zip(one.recorded, paths, strict=False)}
                for parent, one in zip(parents, rollouts, strict=True)
                for paths in [getattr(one, kind)]
            ]
            for kind in ("videos", "traces")
        )
        costs = {one.method: self._trained(parent) for parent, one in zip(parents, rollouts, strict=True)}
        made = [self._store.manifest(parent).parents for parent in parents]
        adapters = {one.method: found[0] for one, found in zip(rollouts, made, strict=True) if found}
        table = self._same_policies(comparison_id)
        aside = f'<div class="wb-pair">{failures_card(value.outcomes)}{cost_card(rollouts, costs)}</div>'
        return Shown(
            id=comparison_id,
            task=value.task,
            made=self._made(value, costs) if self._sample(comparison_id) else "",
            sentence=compare_sentence(value),
            player=rollout_player(
                comparison_id, rollouts, value.disagreement, videos, traces, _drawn(rollouts, videos)
            ),
            success=success(
                value,
                (*verdict(value), *self._old(comparison_id)),
                self.origin_lines(adapters),
                _effects(value),
            ),
            tables=below(cells_card(cells(table), cell_tests(table)) + aside),
        )

    def origin_lines(self, adapters: Mapping[str, str]) -> list[str]:
        """Where the heads of methods come from, a line each. adapters: method -> id of its adapter."""
        lines = []
        for method, adapter_id in adapters.items():
            heads = heads_trained(self._store.load(adapter_id))
            if heads is not None:
                said = origin_words(pipeline.origin_of(self._store, adapter_id))
                lines.append(f"{label_of(method)}: {heads} head{'s' if heads > 1 else ''}. {said}.")
        return lines

    def old_lines(self, adapters: Mapping[str, str]) -> list[str]:
        """Which methods an older version trained, a line each."""
        return [f"{label_of(method)}: {old}" for method, one in adapters.items() for old in self._old(one)]

    def _old(self, artefact_id: str) -> tuple[str, ...]:
        """That an older version made an artefact, as a sentence, where one did."""
        return tuple(filter(None, [self._store.old_words(artefact_id)]))

    def _same_policies(self, comparison_id: str) -> list[Rollouts]:
        """Rollouts of every stored condition that the policies of a comparison were run under, its own first."""
        policies = self._policies(comparison_id)
        found: dict[tuple[Any, ...], str] = {}
        others = [one.id for one in self._store.find("comparison") if one.id != comparison_id]
        for one in (comparison_id, *others):
            if not policies.items() >= self._policies(one).items():
                continue
            for parent in self._store.manifest(one).parents:
                params = self._store.manifest(parent).params
                where = (params.get("task"), tuple(params.get("variations", ())), params.get("instruction"))
                found.setdefault((*where, params.get("method")), parent)
        return [self._store.load(parent) for parent in found.values()]

    def _policies(self, comparison_id: str) -> Mapping[str, tuple[str, ...]]:
        """Method -> what identifies the policy that ran: its adapter, or the weights."""
        manifests = [self._store.manifest(parent) for parent in self._store.manifest(comparison_id).parents]
        return {
            str(one.params.get("method")): one.parents
            or (
                str(
                    one.params.get("weights", ""),
                ),
            )
            for one in manifests
        }

    def _made(self, value: Comparison, costs: Mapping[str, FinetuneResult | None]) -> str:
        run = next((one for one in costs.values() if one), None)
        trained = (
            f"finetuned for {len(run.loss)} steps at rank {run.settings.rank} on the sample demonstrations, "
            if run
            else ""
        )
        return (
            f"The workbench's own policy, {trained}run in {len(value.seeds)} scenes of "
            f"{value.task.replace('_', ' ')}: the same scenes for every method."
        )

    def _trained(self, rollouts_id: str) -> FinetuneResult | None:
        parents = self._store.manifest(rollouts_id).parents
        return self._store.load(parents[0]) if parents else None


def heads_trained(result: FinetuneResult) -> int | None:
    """Heads that a finetune trained apart; None where it trained all. A rank-matched LoRA trains all: its selection
    says only how many parameters it was matched to.
    """
    return len(result.selection.heads) if result.selection and result.method in HEAD_RESTRICTED else None


def _drawn(rollouts: Sequence[Rollouts], videos: Sequence[Mapping[int, str]]) -> list[list[list[Any]]]:
    """`squares` as the player's script takes them."""
    return [[[one.seed, one.number, one.success, one.filmed] for one in row] for row in squares(rollouts, videos)]


def _effects(value: Comparison) -> list[Effects]:
    return [
        Effects(effect_words(one), 100 * one.difference, 100 * one.low, 100 * one.high, test.p_holm < LEVEL)
        for one, test in zip(effects(value), value.tests, strict=True)
    ]


def verdict(value: Comparison) -> tuple[str, ...]:
    """What the comparison shows, in sentences."""
    if len(value.rates) == 1:
        return ("One method alone cannot be compared: train another, or tick more methods.",)
    return tuple(verdicts(value))
