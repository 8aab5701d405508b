"""The families of policies, by the `model_type` (or lerobot's `type`) in a checkpoint's `config.json`.

Adding one: a file that ends in `FAMILY = Family(...)`, and its line here; or, from outside this package, a call of
`register` before `load_policy`. `docs/ADAPTERS.md` goes through an example.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from steering.errors import InputError
from steering.models.checkpoint import Checkpoint
from steering.models.flow import FlowPolicy
from steering.models.memory import Placement
from steering.models.openpi_layout import NORMALISATION, family_of_weights
from steering.models.other_folders import NOT_LOADED
from steering.models.preprocessing import Preprocessor, Statistics
from steering.models.sites import HeadLayout, pair_layout
from steering.progress import Progress


@dataclass(frozen=True)
class Family:
    """How checkpoints of one family become a policy; each function reads only what it is given.

    policy: made of (model, preprocessor, name). config: the model's configuration, from small files and headers.
    model: with its weights in place. statistics: those of the checkpoint, None where it has none. preprocessor: of
    (checkpoint, config, statistics, where the tokenizer is if not where the checkpoint says). layout: where the heads
    sit in a model of that configuration, π0's modules unless said.
    """

    policy: type[FlowPolicy]
    config: Callable[[Checkpoint], Any]
    model: Callable[[Checkpoint, Any, Placement, Progress], nn.Module]
    statistics: Callable[[Checkpoint], Statistics | None]
    preprocessor: Callable[[Checkpoint, Any, Statistics, str | None], Preprocessor]
    layout: Callable[[Any], HeadLayout] = pair_layout


FAMILIES: dict[str, str | Family] = {
    "pi0": "steering.models.pi0_checkpoint",
    "pi05": "steering.models.pi05",
    "pi0_fast": "steering.models.pi0_fast",
    "smolvla": "steering.models.smolvla",
}
"""model_type -> the family, or the module that holds it as FAMILY (imported when it is needed)."""


def register(model_type: str, family: Family) -> None:
    """Make `load_policy` load checkpoints whose config.json says `model_type` by `family`."""
    FAMILIES[model_type] = family


def family_of(checkpoint: Checkpoint) -> Family:
    """The family of a checkpoint. Raises InputError, with the choices, where there is none."""
    found = FAMILIES.get(checkpoint.family)
    if found is None:
        known = NOT_LOADED.get(checkpoint.family)
        raise InputError(
            f"Expected a policy of a known family ({', '.join(sorted(FAMILIES))}) at {checkpoint.source!r}; its "
            f"config.json says {checkpoint.family or 'nothing'!r}{f', {known}' if known else ''}. Choose a checkpoint "
            "such as 'lerobot/pi0_base', or add its family (docs/ADAPTERS.md)."
        )
    weights = family_of_weights(checkpoint.tensors)
    if checkpoint.family in NORMALISATION and weights not in ("", checkpoint.family):
        raise InputError(
            f"Expected the weights of a {checkpoint.family} at {checkpoint.source!r}, as its config.json says; they "
            f"are those of a {weights}. Write {weights!r} as the type in config.json, or fetch their own config."
        )
    if isinstance(found, str):
        family: Family = importlib.import_module(found).FAMILY
        return family
    return found
