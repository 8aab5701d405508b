"""The form of the Finetune step: what it asks for, read from the browser within bounds, and written back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

from app import untrusted
from steering.finetune.presets import PRESETS
from steering.types import FFN_CHOICES, PRECISIONS, FinetuneSettings

Choice = TypeVar("Choice")
CONTROLS = ("random", "bottom", "other_task")
OFFERS = ("steering", "lora", "lora_rank_matched", "dense_heads", *CONTROLS, "full")
RANKS = (2, 4, 8, 16, 32, 64)
BATCHES = (4, 8, 16, 24, 32, 64)
TICKS = ("shared_kv", "projections", "time_mlp", "head_factors", "keep_best")
MAX_STEPS = 3000
MAX_HELDOUT = 100


@dataclass(frozen=True)
class Asked:
    """The form. preset: what `settings` started from. heldout: the last so many episodes; None: a tenth."""

    methods: tuple[str, ...] = ("steering", "lora")
    preset: str = "default"
    settings: FinetuneSettings = FinetuneSettings()
    heldout: int | None = None


def read(form: Mapping[str, object]) -> Asked:
    """The form's fields, each within its bounds: they come from the client."""
    preset = next((name for name in PRESETS if name == form.get("preset")), "default")
    base = PRESETS[preset]

    def among(name: str, choices: Sequence[Choice], default: Choice) -> Choice:
        return next((choice for choice in choices if str(choice) == str(form.get(name))), default)

    def whole(name: str, low: int, high: int) -> int:
        return untrusted.whole(form.get(name), low, high, getattr(base, name))

    def real(name: str, low: float, high: float, default: float) -> float:
        try:
            value = float(str(form.get(name)))
        except ValueError:
            return default
        return min(max(value, low), high) if math.isfinite(value) else default

    steps, rank = whole("steps", 1, MAX_STEPS), among("rank", RANKS, base.rank)
    batch = among("batch_size", BATCHES, base.batch_size)
    settings = FinetuneSettings(
        steps=steps,
        batch_size=batch,
        rank=rank,
        alpha=real("alpha", 0.1, 1024, base.alpha / base.rank * rank),  # unset it follows the rank
        learning_rate=real("learning_rate", 1e-7, 0.1, base.learning_rate),
        warmup_steps=min(base.warmup_steps, max(1, steps // 5)),
        noise_samples=whole("noise_samples", 1, 16),
        seed=whole("seed", 0, 999_999),
        shared_kv="shared_kv" in _ticked(form, base.shared_kv, "shared_kv"),
        ffn=among("ffn", FFN_CHOICES, base.ffn),
        projections="projections" in _ticked(form, base.projections, "projections"),
        time_mlp="time_mlp" in _ticked(form, base.time_mlp, "time_mlp"),
        head_factors="head_factors" in _ticked(form, base.head_factors, "head_factors"),
        expert_rank=next((r for r in RANKS if str(r) == str(form["expert_rank"])), None)
        if "expert_rank" in form
        else base.expert_rank,
        accumulation=min(whole("accumulation", 1, 64), batch),
        precision=among("precision", PRECISIONS, base.precision),
        keep_best="keep_best" in _ticked(form, base.keep_best, "keep_best"),
        patience=untrusted.whole(form.get("patience"), 0, 50, 0) or None,
    )
    methods = Asked().methods if "methods" not in form else tuple(untrusted.names(form["methods"], OFFERS))
    heldout = untrusted.whole(form["heldout"], 0, MAX_HELDOUT, 0) if str(form.get("heldout", "")).strip() else None
    return Asked(methods, preset, settings, heldout)


def _ticked(form: Mapping[str, object], default: bool, name: str) -> Sequence[str]:
    found = form.get("options")
    return found if isinstance(found, list) else [name] * default


def fields(asked: Asked) -> dict[str, str | list[str]]:
    """The form's fields of `asked`, as the browser keeps them: `read` takes them back."""
    values = asdict(asked.settings)
    options = [name for name in TICKS if values.pop(name)]
    values.pop("warmup_steps"), values.pop("evaluations")
    base = PRESETS[asked.preset]
    if asked.settings.alpha == base.alpha / base.rank * asked.settings.rank:
        values["alpha"] = ""
    values["patience"] = values["patience"] or 0
    values["expert_rank"] = values["expert_rank"] or ""
    values["heldout"] = "" if asked.heldout is None else asked.heldout
    return {
        **{k: str(v) for k, v in values.items()},
        "options": options,
        "methods": list(asked.methods),
        "preset": asked.preset,
    }


def from_preset(asked: Asked, preset: str) -> Asked:
    """The form with the settings of a preset; methods, seed and held-out episodes stay."""
    settings = dataclasses.replace(PRESETS[preset], seed=asked.settings.seed)
    return dataclasses.replace(asked, preset=preset, settings=settings)
