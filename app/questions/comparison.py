"""Comparisons: those that can be shown, one with its recordings, and rollouts or predictions to be made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.answers.comparison import Choice, Compared, Effects, Predictions
from app.damage import unless_damaged
from app.questions import results
from app.questions.compare_sentence import LEVEL, compare_sentence, effect_words, effects, squares
from app.questions.context import Context
from app.questions.methods import trained_as
from app.words import label_of
from steering import pipeline
from steering.comparison.cells import cell_tests, cells
from steering.comparison.compare import verdicts
from steering.comparison.open_loop import open_loop_report
from steering.comparison.stopping import MATTERS
from steering.errors import InputError, SteeringError
from steering.types import (
    CONTROL_LABELS,
    INSTRUCTIONS,
    METHOD_LABELS,
    Comparison,
    Demonstrations,
    FinetuneResult,
    OpenLoop,
    OpenLoopComparison,
    Rollouts,
    origin_words,
)

FEWEST_EPISODES = 3


_MOST_CHOICES = 40


def choices(context: Context) -> list[Choice]:
    """The newest comparisons, one's own first; damaged ones are left out."""
    found = []
    for manifest in context.store.find("comparison")[:_MOST_CHOICES]:
        try:
            value = context.load(manifest.id, Comparison)
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
                context.store.is_sample(manifest.id),
                manifest.created[:10],
                context.store.owns(manifest.id),
            )
        )
    return sorted(found, key=lambda one: one.sample)


def chosen(choices: list[Choice], task: str, wanted: str) -> str | None:
    """The comparison to show: `wanted`, else one's own newest on `task`, one's own newest, the ready example.

    A check of the words follows what it checks.
    """
    known = [one.id for one in choices]
    if wanted in known:
        return wanted
    order = sorted(choices, key=lambda one: (one.sample, one.task != task, one.instruction != "original"))
    return order[0].id if order else None


def comparison(context: Context, comparison_id: str) -> Compared:
    """A comparison with its recordings, the table of its policies, and costs."""
    value = context.store.kept(comparison_id)
    if not isinstance(value, Comparison):
        raise InputError(f"{comparison_id} is no comparison. `comparisons` lists those that you see, with their ids.")
    parents = context.store.manifest(comparison_id).parents
    rollouts = [context.load(parent, Rollouts) for parent in parents]
    videos, traces = (
        tuple(
            {seed: context.media.recording(parent, path) for seed, path in zip(one.recorded, paths, strict=False)}
            for parent, one in zip(parents, rollouts, strict=True)
            for paths in [getattr(one, kind)]
        )
        for kind in ("videos", "traces")
    )
    costs = {one.method: _trained(context, parent) for parent, one in zip(parents, rollouts, strict=True)}
    made = [context.store.manifest(parent).parents for parent in parents]
    adapters = {one.method: found[0] for one, found in zip(rollouts, made, strict=True) if found}
    table = _same_policies(context, comparison_id)
    return Compared(
        id=comparison_id,
        comparison=value,
        rollouts=tuple(rollouts),
        videos=videos,
        traces=traces,
        squares=squares(rollouts, videos),
        costs=costs,
        cells=tuple(cells(table)),
        tests=tuple(cell_tests(table)),
        effects=tuple(shown_effects(value)),
        sentence=compare_sentence(value),
        sentences=(*verdict(value), *_old(context, comparison_id)),
        origins=(
            run_words(context, comparison_id, adapters, scenes=value.seeds),
            *origin_lines(context, adapters),
        ),
        made=_made(value, costs) if context.store.is_sample(comparison_id) else "",
    )


def run_words(
    context: Context, run_id: str, adapters: Mapping[str, str], scenes: Sequence[int] = (), seed: int | None = None
) -> str:
    """When something was run, in which scenes or with which seed, and with which seeds its methods were trained.

    adapters: method -> id of its adapter. scenes: their seeds, in order; seed: of what was drawn otherwise.
    """
    said = [f"Run on {context.store.manifest(run_id).created[:10]}"]
    if scenes:
        said.append(f"scenes of the seeds {scenes[0]} to {scenes[-1]}" if len(scenes) > 1 else f"seed {scenes[0]}")
    if seed is not None:
        said.append(f"seed {seed}")
    trained = {label_of(method): context.load(one, FinetuneResult).settings.seed for method, one in adapters.items()}
    if len(set(trained.values())) == 1:
        said.append(f"trained with seed {min(trained.values())}")
    elif trained:
        said.append(f"trained with seeds {', '.join(f'{one} ({method})' for method, one in trained.items())}")
    return f"{'; '.join(said)}."


def origin_lines(context: Context, adapters: Mapping[str, str]) -> list[str]:
    """Where the heads of methods come from, a line each. adapters: method -> id of its adapter."""
    lines = []
    for method, adapter_id in adapters.items():
        heads = results.heads_trained(context.load(adapter_id, FinetuneResult))
        if heads is not None:
            said = origin_words(pipeline.origin_of(context.store, adapter_id, context.store.kept))
            lines.append(f"{label_of(method)}: {heads} head{'s' if heads > 1 else ''}. {said}.")
    return lines


def old_lines(context: Context, adapters: Mapping[str, str]) -> list[str]:
    """Which methods an older version trained, a line each."""
    return [f"{label_of(method)}: {old}" for method, one in adapters.items() for old in _old(context, one)]


def start(
    context: Context,
    demonstrations_id: str,
    task: str,
    methods: Sequence[str],
    trials: int,
    seed: int,
    variations: Sequence[str],
    words: Sequence[str] = (),
    stop_early: bool = False,
) -> list[str]:
    """Queue rollouts of every method on the same scenes, and again for each of `words` (types.INSTRUCTIONS).

    stop_early: they end once every two methods are told apart, or no difference that matters is likely.
    """
    adapters = _adapters(context, demonstrations_id, methods)
    if stop_early and len(adapters) < 2:
        raise InputError("A comparison may stop early where there are two or more methods. Tick another one.")
    return [
        context.submit(
            "evaluate",
            task=task,
            adapters=adapters,
            trials=trials,
            seed=seed,
            variations=list(variations),
            instruction=instruction,
            policy=context.policy,
            **({"matters": MATTERS} if stop_early else {}),
        )
        for instruction in INSTRUCTIONS
        if instruction == "original" or instruction in words
    ]


def start_open_loop(context: Context, demonstrations_id: str, methods: Sequence[str]) -> str:
    """Queue predictions of every method on the episodes that finetuning left out."""
    if not demonstrations_id:
        raise InputError("There are no demonstrations to compare on. Record or upload some first.")
    episodes = len(context.load(demonstrations_id, Demonstrations).episodes)
    if episodes < FEWEST_EPISODES:
        raise InputError(
            f"This set has {episodes} episode{'' if episodes == 1 else 's'}, so none is held out. "
            f"Record or upload {FEWEST_EPISODES} or more."
        )
    return context.submit(
        "open_loop",
        demonstrations_id=demonstrations_id,
        adapters=_adapters(context, demonstrations_id, methods),
        policy=context.policy,
    )


def predictions(context: Context, demonstrations_id: str) -> Predictions | None:
    """The newest open-loop comparison on a set, None where there is none."""
    for manifest in context.store.find("open_loop_comparison"):
        try:
            if demonstrations_id in context.store.manifest(manifest.parents[0]).parents:
                return read_predictions(context, manifest.id)
        except (SteeringError, IndexError):
            continue  # the line about damage names it, or what it was made of is gone
    return None


def trained(context: Context, demonstrations_id: str) -> dict[str, str]:
    """Method, or control, -> the newest adapter trained on a set with the policy in use."""
    found: dict[str, str] = {}
    for manifest in context.store.find("adapter") if demonstrations_id else ():
        ours = demonstrations_id in manifest.parents and context.policies.made(manifest)
        if ours and (name := unless_damaged(trained_as, context.store, manifest)):
            found.setdefault(name, manifest.id)
    return found


def read_predictions(context: Context, comparison_id: str) -> Predictions:
    """An open-loop comparison with what it was made of and what it says."""
    store = context.store
    value: OpenLoopComparison = store.load(comparison_id)
    manifest = store.manifest(comparison_id)
    made: list[OpenLoop] = [store.load(parent) for parent in manifest.parents]
    said = open_loop_report(value, pipeline.open_loop_notices(store, comparison_id))
    old = store.old_words(comparison_id)
    kin = [store.manifest(parent).parents for parent in manifest.parents]
    adapters = {one.method: found[1] for one, found in zip(made, kin, strict=True) if len(found) > 1}
    seed = manifest.params.get("seed")
    lines = (run_words(context, comparison_id, adapters, seed=seed), *origin_lines(context, adapters))
    return Predictions(comparison_id, value, tuple(made), (*said.splitlines(), *([old] if old else [])), lines)


def _adapters(context: Context, demonstrations_id: str, methods: Sequence[str]) -> dict[str, str | None]:
    known = trained(context, demonstrations_id)
    found = {
        m: known.get(m) for m in (*METHOD_LABELS, *CONTROL_LABELS) if m in methods and (m == "zero_shot" or m in known)
    }
    if not found:
        raise InputError("Tick at least one method to compare. Methods appear here once they are trained.")
    return found


def _old(context: Context, artefact_id: str) -> tuple[str, ...]:
    """That an older version made an artefact, as a sentence, where one did."""
    return tuple(filter(None, [context.store.old_words(artefact_id)]))


def _same_policies(context: Context, comparison_id: str) -> list[Rollouts]:
    """Rollouts of every stored condition that the policies of a comparison were run under, its own first."""
    policies = _policies(context, comparison_id)
    found: dict[tuple[object, ...], str] = {}
    others = [one.id for one in context.store.find("comparison") if one.id != comparison_id]
    for one in (comparison_id, *others):
        if not policies.items() >= _policies(context, one).items():
            continue
        for parent in context.store.manifest(one).parents:
            params = context.store.manifest(parent).params
            where = (params.get("task"), tuple(params.get("variations", ())), params.get("instruction"))
            found.setdefault((*where, params.get("method")), parent)
    return [context.load(parent, Rollouts) for parent in found.values()]


def _policies(context: Context, comparison_id: str) -> Mapping[str, tuple[str, ...]]:
    """Method -> what identifies the policy that ran: its adapter, or the weights."""
    manifests = [context.store.manifest(parent) for parent in context.store.manifest(comparison_id).parents]
    return {
        str(one.params.get("method")): one.parents
        or (
            str(
                one.params.get("weights", ""),
            ),
        )
        for one in manifests
    }


def _made(value: Comparison, costs: Mapping[str, FinetuneResult | None]) -> str:
    run = next((one for one in costs.values() if one), None)
    trained = (
        f"finetuned for {len(run.loss)} steps at rank {run.settings.rank} on the sample demonstrations, " if run else ""
    )
    return (
        f"The workbench's own policy, {trained}run in {len(value.seeds)} scenes of "
        f"{value.task.replace('_', ' ')}: the same scenes for every method."
    )


def _trained(context: Context, rollouts_id: str) -> FinetuneResult | None:
    parents = context.store.manifest(rollouts_id).parents
    return context.load(parents[0], FinetuneResult) if parents else None


def shown_effects(value: Comparison) -> list[Effects]:
    """Every pair's difference with its interval, in words and in percentage points."""
    return [
        Effects(effect_words(one), 100 * one.difference, 100 * one.low, 100 * one.high, test.p_holm < LEVEL)
        for one, test in zip(effects(value), value.tests, strict=True)
    ]


def verdict(value: Comparison) -> tuple[str, ...]:
    """What the comparison shows, in sentences."""
    if len(value.rates) == 1:
        return ("One method alone cannot be compared: train another, or tick more methods.",)
    return tuple(verdicts(value))
