"""π0, π0.5 and SmolVLA as lerobot (0.4 to 0.6) reads them: `config.json`, both processors, `train_config.json`.

`PI0Policy.from_pretrained(folder)` and its like take merged weights; `lerobot-eval`, `lerobot-record` and `make_policy`
also an adapter, over the policy that it names. The processors carry the statistics and the names of the cameras.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.numpy import save_file

from steering.export.robots import Carried
from steering.models.lerobot_layout import ACTION, IMAGES, PREPROCESSOR, STATE
from steering.models.pi0_checkpoint import TOKENIZER
from steering.models.smolvla import TOKENIZER as SMOLVLM
from steering.types import FinetuneSettings

POSTPROCESSOR = "policy_postprocessor.json"
SIZES = ("chunk_size", "max_state_dim", "max_action_dim", "num_inference_steps", "min_period", "max_period")
TIMES = ("time_sampling_beta_alpha", "time_sampling_beta_beta", "time_sampling_scale", "time_sampling_offset")
OF_ADAPTERS = ("use_peft", "pretrained_path", "repo_id")
FROM_BASE = ("paligemma_variant", "action_expert_variant", "dtype", "n_action_steps", "empty_cameras")
VARIANTS = {"paligemma_variant": "gemma_2b", "action_expert_variant": "gemma_300m"}


def policy_config(family: str, config: Any, base: Mapping[str, Any], carried: Carried) -> dict[str, Any]:
    """The contents of `config.json`. config: of the model, for its sizes; base: of the checkpoint's own file."""
    if family == "smolvla":  # its own file says all sizes, and which VLM
        written = {name: value for name, value in base.items() if name not in OF_ADAPTERS}
    else:
        written = _pi0_config(family, config, base, carried)
    written |= {"tokenizer_max_length": carried.limit, "normalization_mapping": _modes(carried)}
    features = _features(carried)
    written["output_features"] = {ACTION: features.pop(ACTION)}
    return {**written, "input_features": features, "push_to_hub": False}


def _pi0_config(family: str, config: Any, base: Mapping[str, Any], carried: Carried) -> dict[str, Any]:
    written: dict[str, Any] = {"type": family, "n_obs_steps": 1, **VARIANTS, "dtype": "float32"}
    written |= {name: getattr(config, name) for name in (*SIZES, *TIMES)}
    written["n_action_steps"] = written["chunk_size"]
    if "type" in base:
        written |= {name: base[name] for name in FROM_BASE if base.get(name) is not None}
        written["n_action_steps"] = min(int(written["n_action_steps"]), int(written["chunk_size"]))
    return written | {"image_resolution": [carried.size_px] * 2}


def _modes(carried: Carried) -> dict[str, str]:
    return {"VISUAL": "IDENTITY", "STATE": carried.modes[0], "ACTION": carried.modes[1]}


def _features(carried: Carried) -> dict[str, Any]:
    shape = [3, carried.size_px, carried.size_px]
    features: dict[str, Any] = {
        f"{IMAGES}{slot}": {"type": "VISUAL", "shape": shape} for slot in carried.slots.values()
    }
    features[STATE] = {"type": "STATE", "shape": [len(carried.statistics.state_mean)]}
    features[ACTION] = {"type": "ACTION", "shape": [len(carried.statistics.actions_mean)]}
    return features


def write_processors(folder: Path, family: str, base: Mapping[str, Any], carried: Carried) -> None:
    """Both pipelines as lerobot saves them, with their numbers beside them. base: of the checkpoint's own file."""
    norm = {"eps": 1e-8, "features": _features(carried), "norm_map": _modes(carried)}
    relative = _step("relative_actions_processor", enabled=False, exclude_joints=["gripper"], action_names=None)
    words = {"max_length": carried.limit, "task_key": "task", "padding_side": "right", "padding": "max_length"}
    words |= {"truncation": True, "tokenizer_name": TOKENIZER}
    if family == "smolvla":
        words |= {"padding": base.get("pad_language_to", "longest")}
        words |= {"tokenizer_name": base.get("vlm_model_name") or SMOLVLM}
    tokens = _step("tokenizer_processor", **words)
    device = _step("device_processor", device="cpu", float_dtype=None)
    normalise = _step("normalizer_processor", **norm)
    steps = [_step("rename_observations_processor", rename_map=carried.rename_map), _step("to_batch_processor")]
    if family == "pi05":  # the state is read as text, so it is normalised first
        steps += [relative, normalise, _step("pi05_prepare_state_tokenizer_processor_step"), tokens, device]
    elif family == "smolvla":
        steps += [_step("smolvla_new_line_processor"), tokens, device, normalise]
    else:
        steps += [_step("pi0_new_line_processor"), tokens, device, relative, normalise]
    _write_pipeline(folder, PREPROCESSOR, steps, carried)
    only_action = {**norm, "features": {ACTION: _features(carried)[ACTION]}}
    after = [_step("unnormalizer_processor", **only_action)]
    after += [] if family == "smolvla" else [_step("absolute_actions_processor", enabled=False)]
    _write_pipeline(folder, POSTPROCESSOR, [*after, device], carried)


def _step(name: str, **config: Any) -> dict[str, Any]:
    return {"registry_name": name, "config": config}


def _write_pipeline(folder: Path, file: str, steps: list[dict[str, Any]], carried: Carried) -> None:
    name = file.removesuffix(".json")
    for i, step in enumerate(steps):
        if "normalizer" in step["registry_name"]:
            step["state_file"] = f"{name}_step_{i}_{step['registry_name']}.safetensors"
            numbers = {f"{key}.{what}": v for key, values in carried.numbers.items() for what, v in values.items()}
            save_file(numbers, folder / step["state_file"])
    write_json(folder / file, {"name": name, "steps": steps})


def train_config(
    config: Mapping[str, Any], settings: FinetuneSettings, dataset: str, episodes: list[int], carried: Carried
) -> dict[str, Any]:
    """The contents of `train_config.json`: what lerobot's trainer would be told of this run, where it has a word."""
    rate = settings.learning_rate
    betas = {"betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.0, "grad_clip_norm": 1.0}
    decay = {"num_warmup_steps": settings.warmup_steps, "num_decay_steps": settings.steps}
    return {
        "dataset": {"repo_id": dataset, "episodes": episodes},
        "policy": dict(config),
        "seed": settings.seed,
        "batch_size": settings.batch_size,
        "steps": settings.steps,
        "use_policy_training_preset": False,
        "optimizer": {"type": "adamw", "lr": rate, **betas},
        "scheduler": {"type": "cosine_decay_with_warmup", "peak_lr": rate, "decay_lr": rate / 10, **decay},
        "rename_map": carried.rename_map,
    }


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
