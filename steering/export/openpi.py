"""π0 and π0.5 as openpi's conversion to PyTorch writes them: `config.json`, and statistics under `assets`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steering.export.lerobot import VARIANTS, write_json
from steering.export.robots import Carried
from steering.models.openpi_layout import DIM, FIELDS, HORIZON, TEXT


def policy_config(config: Any, base: Mapping[str, Any], carried: Carried) -> dict[str, Any]:
    """The contents of `config.json`. config: of the model; base: of the checkpoint's own file."""
    variants = {name: base.get(name) or usual for name, usual in VARIANTS.items()}
    sizes = {DIM: config.max_action_dim, HORIZON: config.chunk_size, TEXT: carried.limit}
    return {**sizes, **variants, "precision": "float32"}


def write_statistics(folder: Path, carried: Carried) -> None:
    """`assets/<robot>/norm_stats.json`: mean and std, and quantiles of which they are the middle and the half."""
    place = folder / "assets" / (re.sub(r"[^\w.-]+", "_", carried.robot.name) or "robot")
    place.mkdir(parents=True)
    found = {}
    for field, name in FIELDS.items():
        mean, std = carried.numbers[name]["mean"], carried.numbers[name]["std"]
        values = {"mean": mean, "std": std, "q01": mean - std, "q99": mean + std}
        found[field] = {what: value.tolist() for what, value in values.items()}
    write_json(place / "norm_stats.json", {"norm_stats": found})
