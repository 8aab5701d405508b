"""An adapter's strength: runs of it at several, and what they showed of the new task and of what the policy knew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from app.answers.strength import SHARES, Weakened
from app.damage import readable
from app.questions import comparison
from app.questions.context import Context
from app.words import label_of
from steering import pipeline
from steering.errors import InputError
from steering.manifest import Manifest
from steering.types import StrengthSweep

_MOST = 12


def start(context: Context, adapter_id: str, shares: str, scenes: int, seed: int) -> str:
    """Queue an adapter at the strengths of SHARES, on its own task and on what was pretrained; the job's id."""
    if context.store.manifest(adapter_id).kind != "adapter":
        raise InputError("Only a finished finetune has a strength. Choose one of the results.")
    return context.submit(
        "sweep_strength", adapter_id=adapter_id, strengths=list(SHARES[shares]), trials=scenes, seed=seed
    )


def newest(context: Context, adapters: Mapping[str, str]) -> Weakened | None:
    """The newest of one of `adapters` (method -> id), None without one."""
    return next((one for one in _found(context) if one.adapter_id in adapters.values()), None)


def strengths(context: Context) -> list[Weakened]:
    """The newest that whoever asks sees; damaged ones are left out."""
    return list(_found(context))


def _found(context: Context) -> Iterator[Weakened]:
    return readable(_read, context, context.store.find("strength")[:_MOST])


def _read(context: Context, manifest: Manifest) -> Weakened:
    found = context.load(manifest.id, StrengthSweep)
    adapters = {found.method: manifest.parents[0]}
    trials = found.rates[found.task][0].trials
    scenes = pipeline.scene_seeds(int(str(manifest.params["seed"])), trials)
    return Weakened(
        id=manifest.id,
        adapter_id=manifest.parents[0],
        method=found.method,
        task=found.task,
        strengths=found.strengths,
        rates=found.rates,
        sentence=sentence(found),
        origins=(
            comparison.run_words(context, manifest.id, adapters, scenes=scenes),
            *comparison.origin_lines(context, adapters),
        ),
    )


def sentence(found: StrengthSweep) -> str:
    """What its own task gains and what was known loses, from the weakest strength to the strongest."""
    own, *kept = (
        f"{name.replace('_', ' ')}{', its own task,' if name == found.task else ''} {rates[-1].successes} instead of "
        f"{rates[0].successes}"
        for name, rates in found.rates.items()
    )
    strongest = "as trained" if found.strengths[-1] == 1 else f"at {found.strengths[-1]:g} of its strength"
    before = "the policy without it" if found.strengths[0] == 0 else f"{found.strengths[0]:g} of its strength"
    trials = found.rates[found.task][0].trials
    known = f"; of what was known, {', '.join(kept)}" if kept else ""
    return (
        f"{label_of(found.method)}, {strongest}, against {before}, of {trials} scene{'' if trials == 1 else 's'} each: "
        f"{own}{known}."
    )
