"""Load and save policies: the embedded one, a folder, or a hub id; the family is found by `config.json`.

A folder that `save_policy` writes holds `config.json`, `model.safetensors`, the tokenizer's files and a
`processor_config.json` in the format of transformers' PI0Processor, with the normalisation statistics. It loads
without network access, here and by plain `PI0ForConditionalGeneration.from_pretrained`. Before any weight is read the
memory it takes is compared with what is free. Loading the embedded policy takes a second, π0 (7 GB) up to a minute.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from peft.utils import ModulesToSaveWrapper
from safetensors import SafetensorError
from safetensors.torch import load_model
from transformers import PI0ForConditionalGeneration

from steering.errors import InputError, NotFound, SteeringError
from steering.models import lerobot_layout
from steering.models.checkpoint import EMBEDDED as EMBEDDED
from steering.models.checkpoint import EMBEDDED_FOLDER as EMBEDDED_FOLDER
from steering.models.checkpoint import WEIGHTS, Checkpoint, open_checkpoint
from steering.models.families import Family, family_of
from steering.models.flow import FlowPolicy
from steering.models.kept_statistics import read_statistics
from steering.models.memory import place
from steering.models.pi0_checkpoint import PROCESSOR_FILE
from steering.models.preprocessing import MEAN_STD, Statistics, dataset_statistics
from steering.progress import Progress
from steering.types import Demonstrations

PIL_BOX = 4


def load_policy(
    source: str | Path = EMBEDDED,
    adapter: Path | None = None,
    statistics_from: Demonstrations | None = None,
    progress: Progress | None = None,
    *,
    statistics: Statistics | None = None,
    strength: float = 1.0,
    device: str | None = None,
    precision: str | None = None,
    tokenizer: str | None = None,
) -> FlowPolicy:
    """Load a policy: `embedded`, a folder, or a hub id (from the local hub cache when offline).

    `adapter`: the folder that finetuning wrote: a PEFT adapter, merged into the weights, or the weights of a full
    finetune in their place; it runs under the statistics that it was trained under. `statistics_from`: demonstrations
    whose statistics are used where the checkpoint has none or is of a robot with other dimensions; a notice says so.
    Give those to train on, without what is held out. `statistics`: used whatever the checkpoint has. `strength`:
    the share of the adapter's change of every weight that is made, 0 to 1 (weight interpolation); at 0 the checkpoint
    is loaded without the adapter, at 1 the adapter as it is. `device`,
    `precision` (`float32`, `bfloat16`): chosen by what the machine has unless given. `tokenizer`: folder or hub id,
    where it is not where the checkpoint says. Raises InputError before loading when the memory is too small, or when
    there are no statistics at all.
    """
    progress = progress or Progress()
    if not 0 <= strength <= 1:
        raise InputError(f"Expected a strength of the adapter from 0 to 1, got {strength}.")
    adapter = adapter if strength else None
    checkpoint = open_checkpoint(source)
    family = family_of(checkpoint)
    config = _config(family, checkpoint)
    kept = None if adapter is None else read_statistics(Path(adapter))
    own, modes = kept or family.statistics(checkpoint), lerobot_layout.modes(checkpoint)
    chosen, notice = statistics, ""
    if chosen is None:
        chosen, notice = fitting_statistics(own, statistics_from, checkpoint.source, modes, trained=kept is not None)
    preprocessor = family.preprocessor(checkpoint, config, chosen, tokenizer)
    placement = place(checkpoint, device, precision)
    progress.report(0.0, f"Loading {checkpoint.name}: {placement.words()}")
    model: Any = family.model(checkpoint, config, placement, progress)
    name = checkpoint.name
    if adapter is not None:
        model, name = _merged(model, Path(adapter), strength), f"{name} + {Path(adapter).name}"
        model.eval().requires_grad_(False)
    policy = family.policy(model, preprocessor, name)
    policy.own_statistics, policy.normalisation, policy.trained = own, modes, kept is not None
    policy.notices = (notice,) if notice else ()
    return policy


def _config(family: Family, checkpoint: Checkpoint) -> Any:
    """The family's configuration, its heads found. Raises InputError where config.json makes no sense."""
    try:
        config = family.config(checkpoint)
        family.layout(config)
    except SteeringError:
        raise
    except (StrictDataclassError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise InputError(
            f"Expected the configuration of a {checkpoint.family} at {checkpoint.source!r}; its config.json does not "
            f"make one ({' '.join(str(error).split())[:200]}). Use the checkpoint's own config."
        ) from error
    return config


def fitting_statistics(
    own: Statistics | None,
    demonstrations: Demonstrations | None,
    source: str,
    modes: tuple[str, str] = MEAN_STD,
    *,
    trained: bool = False,
) -> tuple[Statistics, str]:
    """The statistics to use with `demonstrations`, and what to tell the user, empty when it is the checkpoint's own.

    modes: how the checkpoint normalises state and action, where they come from the demonstrations. trained: `own` are
    those that an adapter was trained under, so that no others will do. Raises InputError when there are none.
    """
    if demonstrations is None:
        if own is None:
            raise InputError(
                f"Expected normalisation statistics with the checkpoint {source!r}; it has none. Pass your "
                "demonstrations: load_policy(..., statistics_from=demonstrations)."
            )
        return own, ""
    first = demonstrations.episodes[0] if demonstrations.episodes else None
    own = own if own is None or first is None else own.without_padding(first)
    if own is not None and (first is None or own.fits(first)):
        return own, ""
    if first is None:
        raise InputError("Expected at least one episode to take the statistics from; the demonstrations hold none.")
    if own is not None and trained:
        raise InputError(
            f"The adapter was trained on {len(own.state_mean)} state and {len(own.actions_mean)} action dimensions; "
            f"these demonstrations have {first.state.shape[1]} and {first.action.shape[1]}. Choose demonstrations of "
            "the robot that it was trained on."
        )
    why = "the checkpoint has none"
    if own is not None:
        why = f"the checkpoint's are of {len(own.state_mean)} state and {len(own.actions_mean)} action dimensions"
    count = len(demonstrations.episodes)
    notice = f"Normalised by the statistics of {demonstrations.name!r} ({count} episodes): {why}."
    return dataset_statistics(demonstrations, modes), notice


def save_policy(
    model: PI0ForConditionalGeneration,
    tokenizer: Any,
    statistics: Statistics,
    folder: Path,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a policy folder. `dtype` is that of the saved weights; the model given stays as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.to(dtype) for name, tensor in model.state_dict().items()}
    model.save_pretrained(folder, state_dict=state)
    tokenizer.save_pretrained(folder)
    write_processor(folder, model.config, statistics)


def write_processor(folder: Path, config: Any, statistics: Statistics) -> None:
    """`processor_config.json` of transformers' PI0Processor, with the statistics. config: a π0's."""
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


def _merged(model: Any, adapter: Path, strength: float) -> Any:
    if (adapter / WEIGHTS).is_file():
        return _replaced(model, adapter, strength)
    if not (adapter / "adapter_config.json").is_file():
        raise NotFound(
            f"Expected a PEFT adapter folder with adapter_config.json; there is none in {adapter}. "
            "Give the folder that finetuning wrote."
        )
    try:
        with without_peft_warning():
            adapted = PeftModel.from_pretrained(model, str(adapter), token=False)
            if strength < 1:
                _weaken(adapted, strength)
            return adapted.merge_and_unload()
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"Expected an adapter that was trained on this policy; the one in {adapter} does not fit it "
            f"({str(error).splitlines()[0]}). Load the policy that it was trained on."
        ) from error


def _weaken(adapted: PeftModel, strength: float) -> None:
    """Scale an adapter's change of every weight: low-rank factors by their scale, whole modules by their weights."""
    for module in adapted.modules():
        if isinstance(module, LoraLayer):
            module.scale_layer(strength)
        elif isinstance(module, ModulesToSaveWrapper):
            before = dict(module.original_module.named_parameters())
            with torch.no_grad():
                for name, weight in module.modules_to_save["default"].named_parameters():
                    weight.copy_(before[name].lerp(weight, strength))


def _replaced(model: Any, adapter: Path, strength: float) -> Any:
    """The model with the weights of a full finetune, in the precision that it has, or on the way to them."""
    before = {} if strength == 1 else {name: weight.clone() for name, weight in model.named_parameters()}
    try:
        load_model(model, adapter / WEIGHTS)
        with torch.no_grad():
            for name, weight in before.items():
                trained = model.get_parameter(name)
                trained.copy_(weight.lerp(trained, strength))
    except (RuntimeError, SafetensorError) as error:
        raise InputError(
            f"Expected a full finetune of this policy; the one in {adapter} does not fit it "
            f"({str(error).splitlines()[0]}). Load the policy that it was trained on."
        ) from error
    return model


@contextmanager
def without_peft_warning() -> Iterator[None]:
    """Silence the one warning that PEFT 0.21 raises under transformers 5 whenever it wraps a model."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield
