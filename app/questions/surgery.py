"""Head surgery in the twin: paired runs to be made, and those that were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.answers.comparison import Effects
from app.answers.surgery import SurgerySummary
from app.damage import readable
from app.questions import comparison, head_sets
from app.questions.compare_sentence import LEVEL, effect_words
from app.questions.context import Context
from steering.comparison.surgery import surgery_effects, surgery_sentence
from steering.errors import InputError
from steering.manifest import Manifest
from steering.types import Head, Rollouts, SurgeryRun

_MOST = 12


def start(
    context: Context,
    task: str,
    heads: Sequence[Head],
    factor: float,
    from_s: float,
    scenes: int,
    seed: int,
    demonstrations_id: str = "",
    method: str = "zero_shot",
) -> str:
    """Queue a paired run; the job's id. method: one trained on `demonstrations_id`, or the policy as it is."""
    adapter_id = None
    if method != "zero_shot":
        adapter_id = comparison.trained(context, demonstrations_id).get(method)
        if adapter_id is None:
            raise InputError("No such method was trained on these demonstrations. Finetune first, or use zero_shot.")
    return context.submit(
        "operate",
        task=task,
        heads=[[one.stack, one.layer, one.head] for one in heads],
        factor=factor,
        from_s=from_s,
        adapter_id=adapter_id,
        trials=scenes,
        seed=seed,
        policy=context.policy,
    )


def newest(context: Context) -> SurgerySummary | None:
    """The newest paired run of the policy in use, None without one."""
    return next(_found(context), None)


def surgeries(context: Context) -> list[SurgerySummary]:
    """The newest paired runs of the policy in use; damaged ones are left out."""
    return list(_found(context))


def _found(context: Context) -> Iterator[SurgerySummary]:
    return readable(_summary, context, context.store.find("surgery")[:_MOST])


def _summary(context: Context, manifest: Manifest) -> SurgerySummary | None:
    run = context.load(manifest.id, SurgeryRun)
    if any(head not in context.size.head_shape for head in run.surgery.heads):
        return None  # of another policy
    rollouts = [context.load(one, Rollouts) for one in manifest.parents]
    trained = context.store.manifest(manifest.parents[0]).parents
    adapters = {rollouts[0].method: trained[0]} if trained else {}
    pairs = zip(surgery_effects(run), run.comparison.tests, strict=True)
    return SurgerySummary(
        id=manifest.id,
        task=run.comparison.task,
        heads=head_sets.digits_of(context, run.surgery.heads),
        control=head_sets.digits_of(context, run.control.instead) if run.control else "",
        factor=run.surgery.factor,
        from_s=run.surgery.from_step / run.rate_hz,
        sentence=surgery_sentence(run),
        told=comparison.run_words(context, manifest.id, adapters, scenes=run.comparison.seeds),
        rates=run.comparison.rates,
        effects=tuple(
            Effects(effect_words(one), 100 * one.difference, 100 * one.low, 100 * one.high, test.p_holm < LEVEL)
            for one, test in pairs
        ),
        films=tuple(
            {
                str(seed): context.media.recording(parent, path)
                for seed, path in zip(one.recorded, one.videos, strict=True)
            }
            for parent, one in zip(manifest.parents, rollouts, strict=True)
        ),
    )
