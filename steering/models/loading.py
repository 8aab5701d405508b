"""Load and save policies as ordinary Hugging Face folders.

A policy folder holds `config.json`, `model.safetensors`, the tokenizer's files and a `processor_config.json` in the
format of transformers' PI0Processor, with the normalisation statistics. It loads without network access, here and by
plain `PI0ForConditionalGeneration.from_pretrained`. Loading the embedded policy takes about a second.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from transformers import AutoConfig, AutoTokenizer, PI0Config, PI0ForConditionalGeneration
from transformers.utils import logging
from transformers.utils.hub import cached_file

from steering.errors import InputError, NotFound
from steering.models.attention import GROUPED_MATMUL
from steering.models.pi0 import PI0Policy
from steering.models.preprocessing import Preprocessor, Statistics

EMBEDDED = "embedded"
EMBEDDED_FOLDER = Path(__file__).resolve().parents[2] / "assets" / "policy"
PROCESSOR_FILE = "processor_config.json"
PIL_BOX = 4


def load_policy(
    source: str | Path = EMBEDDED,
    adapter: Path | None = None,
    *,
    statistics: Statistics | None = None,
    device: str | None = None,
) -> PI0Policy:
    """Load a π0: `embedded`, a folder, or a hub id (from the local hub cache when offline).

    `adapter`: a PEFT adapter folder, merged into the weights. `statistics` replace the folder's own, which
    checkpoints such as `lerobot/pi0_base` lack. `device`: `cuda` where there is one, unless given.
    """
    folder = _locate(source)
    config = _config(folder)
    statistics = _statistics(folder) if statistics is None else statistics
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    logging.disable_progress_bar()
    model: Any = PI0ForConditionalGeneration.from_pretrained(
        folder,
        config=config,
        dtype=torch.float32,
        attn_implementation=GROUPED_MATMUL if device == "cpu" else "sdpa",
    )
    model = model.to(device)
    name = EMBEDDED if str(source) == EMBEDDED else Path(source).name
    if adapter is not None:
        model, name = _merged(model, Path(adapter)), f"{name} + {Path(adapter).name}"
    model.eval().requires_grad_(False)
    return PI0Policy(model, _preprocessor(folder, config, statistics), name)


def save_policy(
    model: PI0ForConditionalGeneration,
    tokenizer: Any,
    statistics: Statistics,
    folder: Path,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a policy folder. `dtype` is that of the saved weights; the model given stays as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    config: Any = model.config
    state = {name: tensor.to(dtype) for name, tensor in model.state_dict().items()}
    model.save_pretrained(folder, state_dict=state)
    tokenizer.save_pretrained(folder)
    vision = config.vlm_config.vision_config
    processor = {
        "processor_class": "PI0Processor",
        "chunk_size": config.chunk_size,
        "max_state_dim": config.max_state_dim,
        "state_mean": statistics.state_mean.tolist(),
        "state_std": statistics.state_std.tolist(),
        "actions_mean": statistics.actions_mean.tolist(),
        "actions_std": statistics.actions_std.tolist(),
        "image_processor": {
            "image_processor_type": "SiglipImageProcessor",
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
            "image_seq_length": (vision.image_size // vision.patch_size) ** 2,
            "resample": PIL_BOX,
            "rescale_factor": 1 / 255,
            "size": {"height": vision.image_size, "width": vision.image_size},
        },
    }
    (folder / PROCESSOR_FILE).write_text(json.dumps(processor, indent=2, sort_keys=True) + "\n")


def _locate(source: str | Path) -> str:
    """A folder's path as it is, or the hub id when it can be found."""
    if str(source) == EMBEDDED:
        if not (EMBEDDED_FOLDER / "config.json").is_file():
            raise NotFound(
                f"The embedded policy is not in {EMBEDDED_FOLDER}. Fetch the repository's assets, or make it with "
                "`python -m steering.pretraining`."
            )
        return str(EMBEDDED_FOLDER)
    if Path(source).is_dir():
        return str(source)
    if str(source).startswith(("/", ".", "~")) or str(source).count("/") != 1:
        raise NotFound(
            f"Expected '{EMBEDDED}', the folder of a π0 checkpoint, or a hub id such as 'lerobot/pi0_base'; there is "
            f"no folder {str(source)!r}. Check the path."
        )
    return str(source)


def _config(folder: str) -> Any:
    try:
        config = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise NotFound(
            f"Expected a π0 checkpoint in the transformers format at {folder!r}; its config.json cannot be read "
            f"({str(error).splitlines()[0]}). Check the name; without network access only downloaded ones load."
        ) from error
    if not isinstance(config, PI0Config):
        raise InputError(
            f"Expected a π0 (model_type 'pi0') at {folder!r}; its config.json says {config.model_type!r}. "
            "Choose a π0 checkpoint such as 'lerobot/pi0_base'."
        )
    return config


def _statistics(folder: str) -> Statistics:
    names = ("state_mean", "state_std", "actions_mean", "actions_std")
    path = cached_file(
        folder,
        PROCESSOR_FILE,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    values = json.loads(Path(path).read_text()) if path else {}
    missing = [name for name in names if not values.get(name)]
    if missing:
        raise InputError(
            f"Expected normalisation statistics in {PROCESSOR_FILE} at {folder!r}; {', '.join(missing)} missing. "
            "Pass those of your demonstrations: load_policy(..., statistics=dataset_statistics(demonstrations))."
        )
    return Statistics(*(np.asarray(values[name], np.float32) for name in names))


def _preprocessor(folder: str, config: Any, statistics: Statistics) -> Preprocessor:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise NotFound(
            f"Expected the tokenizer's files (tokenizer.json, tokenizer_config.json) at {folder!r}; they cannot be "
            f"read ({str(error).splitlines()[0]}). Save the checkpoint's tokenizer beside it."
        ) from error
    if tokenizer.convert_tokens_to_ids("<image>") != config.vlm_config.image_token_id:
        raise InputError(
            f"Expected '<image>' to be token {config.vlm_config.image_token_id} as in config.json; the tokenizer at "
            f"{folder!r} says {tokenizer.convert_tokens_to_ids('<image>')}. Use the checkpoint's own tokenizer."
        )
    vision = config.vlm_config.vision_config
    return Preprocessor(
        tokenizer=tokenizer,
        statistics=statistics,
        image_px=vision.image_size,
        tokens_per_image=(vision.image_size // vision.patch_size) ** 2,
        state_dim=config.max_state_dim,
        action_dim=config.max_action_dim,
    )


def _merged(model: Any, adapter: Path) -> Any:
    if not (adapter / "adapter_config.json").is_file():
        raise NotFound(
            f"Expected a PEFT adapter folder with adapter_config.json; there is none in {adapter}. "
            "Give the folder that finetuning wrote."
        )
    try:
        with without_peft_warning():
            return PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"Expected an adapter that was trained on this policy; the one in {adapter} does not fit it "
            f"({str(error).splitlines()[0]}). Load the policy that it was trained on."
        ) from error


@contextmanager
def without_peft_warning() -> Iterator[None]:
    """Silence the one warning that PEFT 0.21 raises under transformers 5.23 whenever it wraps a model."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield
