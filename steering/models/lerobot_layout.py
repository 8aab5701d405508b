"""Policies as lerobot publishes them: what its `config.json` and processor files say, in this project's terms.

`lerobot/pi0_base` and its finetunes hold `config.json` (with `type` in place of `model_type`), `model.safetensors`,
and from lerobot 0.4 on `policy_preprocessor.json` with the normaliser's numbers in a small safetensors file; older ones
keep these numbers among the weights (`normalize_inputs.buffer_observation_state.mean`). Neither holds a tokenizer: they
name one. Every normalisation of lerobot is affine, so it becomes a mean and a standard deviation here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from steering import hub
from steering.errors import InputError
from steering.models import openpi_layout
from steering.models.checkpoint import WEIGHTS, Checkpoint
from steering.models.preprocessing import SMALLEST_STD, Statistics

PREPROCESSOR = "policy_preprocessor.json"
STATE, ACTION = "observation.state", "action"
IMAGES = "observation.images."
UNSUPPORTED = {
    "use_relative_actions": "actions relative to the state",
    "adapt_to_pi_aloha": "joints converted from ALOHA's conventions",
    "use_delta_joint_actions_aloha": "joint actions relative to the state",
    "use_visual_memory": "pictures of earlier frames",
    "use_proprioceptive_memory": "states of earlier frames",
}
BUFFERS = ("normalize_inputs.buffer_observation_state.", "normalize_targets.buffer_action.")
BOUNDS = {"MIN_MAX": ("min", "max"), "QUANTILES": ("q01", "q99"), "QUANTILE10": ("q10", "q90")}


def check_supported(checkpoint: Checkpoint) -> None:
    """Raise InputError for settings of lerobot that change what goes in or comes out and are not computed here."""
    for setting, words in UNSUPPORTED.items():
        if checkpoint.config.get(setting):
            raise InputError(
                f"Expected a policy from the present frame to the recorded actions; {checkpoint.source!r} uses {words} "
                f"({setting}). Choose a checkpoint without it."
            )


def cameras(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The policy's own camera names in its order, empty where the configuration names none."""
    features = checkpoint.config.get("input_features") or {}
    visual = [name for name, feature in features.items() if feature.get("type") == "VISUAL"]
    return tuple(name.removeprefix(IMAGES) for name in visual)


def tokenizer(checkpoint: Checkpoint, default: str) -> tuple[Path | hub.Repository, int | None]:
    """Where the tokenizer is and the most tokens of an instruction.

    What the checkpoint's files name is a repository of the hub and never a folder of this machine.
    """
    step = _step(checkpoint, "tokenizer_processor")
    limit = step.get("max_length") or checkpoint.config.get("tokenizer_max_length")
    own = any((checkpoint.folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model"))
    return checkpoint.folder if own else hub.beside(checkpoint.source, step.get("tokenizer_name") or default), limit


def statistics(checkpoint: Checkpoint) -> Statistics | None:
    """The normalisation that came with the checkpoint, None where none did."""
    numbers = _numbers(checkpoint)
    by = modes(checkpoint)
    moments = [_moments(numbers, name, mode) for (_, name), mode in zip(_KINDS, by, strict=True)]
    if moments[0] is None or moments[1] is None:
        return None
    return Statistics(*moments[0], *moments[1])


def modes(checkpoint: Checkpoint) -> tuple[str, str]:
    """How the checkpoint normalises state and action, in lerobot's words; where it says nothing, as its family does."""
    given = _step(checkpoint, "normalizer_processor").get("norm_map") or checkpoint.config.get("normalization_mapping")
    usual = "QUANTILES" if checkpoint.family == "pi05" else "MEAN_STD"
    state, action = ((given or {}).get(kind, usual) for kind, _ in _KINDS)
    return str(state), str(action)


_KINDS = (("STATE", STATE), ("ACTION", ACTION))


def _moments(numbers: dict[str, np.ndarray], name: str, mode: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Centre and scale, float32 [dim] each, of lerobot's normalisation `mode`."""
    low, high = BOUNDS.get(mode, ("mean", "std"))
    pair = [numbers.get(f"{name}.{key}") for key in (low, high)]
    if pair[0] is None or pair[1] is None or not all(np.isfinite(value).all() for value in pair if value is not None):
        return None
    first, second = (np.asarray(value, np.float32).reshape(-1) for value in pair if value is not None)
    if mode == "IDENTITY":
        return np.zeros_like(first), np.ones_like(first)
    if mode in BOUNDS:
        half = (second - first) / 2  # below 0 where a dimension is turned over (`steering.export.robots`)
        return (first + second) / 2, np.where(np.abs(half) < SMALLEST_STD, np.float32(SMALLEST_STD), half)
    return first, second


def _numbers(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """`observation.state.mean` and its like -> values."""
    for entry in checkpoint.read_json(PREPROCESSOR).get("steps", ()):
        name = Path(str(entry.get("state_file") or "")).name  # never outside the folder
        if entry.get("registry_name") == "normalizer_processor" and name and (checkpoint.folder / name).is_file():
            hub.refuse_pointer(checkpoint.folder / name)
            return load_file(checkpoint.folder / name)
    buffers = [name for name in checkpoint.tensors if name.startswith(BUFFERS)]
    if not buffers or checkpoint.files != (WEIGHTS,) or not (checkpoint.folder / WEIGHTS).is_file():
        return openpi_layout.numbers(checkpoint.folder)
    from safetensors import safe_open

    with safe_open(checkpoint.folder / WEIGHTS, "numpy") as file:
        values = {name.split(".buffer_")[1]: file.get_tensor(name) for name in buffers}
    return {name.replace("observation_state", STATE): value for name, value in values.items()}


def _step(checkpoint: Checkpoint, name: str) -> dict[str, Any]:
    steps = checkpoint.read_json(PREPROCESSOR).get("steps", ())
    return next((entry.get("config") or {} for entry in steps if entry.get("registry_name") == name), {})
