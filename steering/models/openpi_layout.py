"""Policies as openpi's conversion to PyTorch writes them (`examples/convert_jax_model_to_pytorch.py`).

Their `config.json` names no family: `action_horizon`, `action_dim` and the variants alone. The weights have lerobot's
names without the prefix `model.`, and say by the time's projections whether they are π0 or π0.5. Statistics lie in
`assets/<robot>/norm_stats.json`; openpi normalises π0 by mean and deviation and π0.5 by quantiles. Torch-free.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from steering.errors import InputError

STATISTICS = "assets/**/norm_stats.json"
HORIZON, DIM, TEXT = "action_horizon", "action_dim", "max_token_len"
NORMALISATION = {"pi0": "MEAN_STD", "pi05": "QUANTILES"}
FIELDS = {"state": "observation.state", "actions": "action"}


def family_of_weights(names: Iterable[str]) -> str:
    """`pi0` or `pi05` by the names of the tensors, empty where they are of neither."""
    modules = {name.split(".")[-2] for name in names if "." in name}
    if {"action_time_mlp_in", "state_proj"} <= modules and "action_out_proj" in modules:
        return "pi0"
    return "pi05" if {"time_mlp_in", "action_in_proj"} <= modules else ""


def in_lerobots_words(config: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The contents of openpi's `config.json` as lerobot would write them, also where somebody added the type.

    Any other configuration comes back as it is.
    """
    if HORIZON not in config or "chunk_size" in config:
        return dict(config)
    family = str(config.get("model_type") or config.get("type") or family_of_weights(names))
    if family not in NORMALISATION:
        return dict(config)
    mode = NORMALISATION[family]
    written: dict[str, Any] = {"type": family, "chunk_size": config[HORIZON]}
    written["normalization_mapping"] = {"STATE": mode, "ACTION": mode}
    if DIM in config:
        written |= {"max_state_dim": config[DIM], "max_action_dim": config[DIM]}
    if config.get(TEXT):
        written["tokenizer_max_length"] = config[TEXT]
    return {**config, **written}


def numbers(folder: Path) -> dict[str, np.ndarray]:
    """`observation.state.mean` and its like -> values, of openpi's statistics; empty where there are none.

    Raises InputError where there are those of several robots, or they cannot be read.
    """
    found = sorted(folder.glob(STATISTICS))
    if not found:
        return {}
    if len(found) > 1:
        robots = ", ".join(str(path.parent.relative_to(folder / "assets")) for path in found)
        raise InputError(
            f"Expected the statistics of one robot under assets of {folder.name!r}; there are those of {robots}. "
            "Keep the one that you use."
        )
    try:
        given = json.loads(found[0].read_text(encoding="utf-8"))
        given = given.get("norm_stats", given)
        return {
            f"{name}.{key}": np.asarray(value, np.float32)
            for field, name in FIELDS.items()
            for key, value in given[field].items()
            if value is not None
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"Expected openpi's statistics (state and actions, each mean, std, q01, q99) in {found[0].name} of "
            f"{folder.name!r}; they cannot be read ({type(error).__name__}: {error}). Copy the file again."
        ) from error
