"""Finished finetunes and comparisons, read from the store for the Finetune and Compare steps. Milliseconds each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.previews import Previews
from app.views.comparison import cost, rollout_player, success
from app.views.finetune import ResultRow
from steering.comparison.compare import report
from steering.errors import SteeringError
from steering.store import Store
from steering.types import METHOD_LABELS, Comparison, FinetuneResult, Rollouts

_RECENT = 12


@dataclass(frozen=True)
class Shown:
    """A comparison as the page shows it: markup of success and cost, data of the rollout player."""

    id: str
    task: str
    success: str
    cost: str
    player: dict[str, Any]


class Results:
    """Reads results of `store`; addresses of videos come from `previews`."""

    def __init__(self, store: Store, previews: Previews) -> None:
        self._store, self._previews = store, previews

    def finetunes(self) -> list[ResultRow]:
        """The newest finetunes; damaged ones are left out."""
        rows = []
        for manifest in self._store.find("adapter")[:_RECENT]:
            try:
                rows.append(self._row(manifest.id))
            except SteeringError:
                continue
        return rows

    def _row(self, adapter_id: str) -> ResultRow:
        result: FinetuneResult = self._store.load(adapter_id)
        demonstrations = self._store.load(self._store.manifest(adapter_id).parents[0])
        error = result.heldout_error
        return ResultRow(
            id=adapter_id,
            method=result.method,
            heads=len(result.selection.heads) if result.selection else None,
            steps=len(result.loss),
            rank=result.settings.rank,
            parameters=result.trainable_parameters,
            train_s=result.train_s,
            loss=float(result.loss[-10:].mean()),
            heldout=(float(error[0]), float(error[-1])) if len(error) else None,
            demonstrations=(demonstrations.task or demonstrations.name).replace("_", " "),
        )

    def last_run(self) -> str:
        """What was finished last, in a few words; empty when nothing was."""
        runs = [*self._store.find("adapter")[:1], *self._store.find("comparison")[:1]]
        if not runs:
            return ""
        last = max(runs, key=lambda manifest: manifest.created)
        if last.kind == "comparison":
            return f"compared {len(last.parents)} method{'s' if len(last.parents) > 1 else ''}"
        method = str(last.params.get("method"))
        return f"finetuned {METHOD_LABELS.get(method, method)}"

    def newest_comparison(self, task: str) -> str | None:
        """The newest comparison on `task`, else the newest of all."""
        newest = None
        for manifest in self._store.find("comparison"):
            newest = newest or manifest.id
            if self._store.load(manifest.id).task == task:
                return manifest.id
        return newest

    def comparison(self, comparison_id: str) -> Shown:
        """A comparison with its videos and costs."""
        value: Comparison = self._store.load(comparison_id)
        parents = self._store.manifest(comparison_id).parents
        rollouts: list[Rollouts] = [self._store.load(parent) for parent in parents]
        videos = [
            [self._previews.video(parent, path) for path in one.videos]
            for parent, one in zip(parents, rollouts, strict=True)
        ]
        costs = {one.method: self._trained(parent) for parent, one in zip(parents, rollouts, strict=True)}
        return Shown(
            id=comparison_id,
            task=value.task,
            success=success(value, verdict(value)),
            cost=cost(value, costs, {one.method: one.wall_s for one in rollouts}),
            player=rollout_player(comparison_id, rollouts, value.disagreement, videos),
        )

    def _trained(self, rollouts_id: str) -> FinetuneResult | None:
        parents = self._store.manifest(rollouts_id).parents
        return self._store.load(parents[0]) if parents else None


def verdict(value: Comparison) -> tuple[str, ...]:
    """What the comparison shows, in sentences: the report without its first lines, the rates, which bars show."""
    if len(value.rates) == 1:
        return ("One method alone cannot be compared: train another, or tick more methods.",)
    return tuple(report(value).splitlines()[1 + len(value.rates) :])
