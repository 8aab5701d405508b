"""What people open in place of a policy, each by its name and with what to do: adapters, JAX checkpoints, runs' roots.

Also the families that are known and not loaded. Cost: a look at a folder's names. Torch-free.
"""

from __future__ import annotations

import json
from pathlib import Path

NOT_LOADED = {
    "groot": "GR00T",
    "xvla": "X-VLA",
    "molmoact2": "MolmoAct 2",
    "fastwam": "FastWAM",
    "wall_x": "WALL-X",
    "eo1": "EO-1",
    "openvla": "OpenVLA",
    "act": "ACT, which is no vision-language-action policy",
    "diffusion": "a diffusion policy, which is no vision-language-action policy",
    "multi_task_dit": "a multi-task diffusion transformer",
    "vqbet": "VQ-BeT, which is no vision-language-action policy",
    "tdmpc": "TD-MPC, which is no vision-language-action policy",
    "sac": "SAC, which is no vision-language-action policy",
}
"""lerobot's or transformers' name of a family that is not loaded here -> what people call it."""

JAX_FILES = ("_METADATA", "_CHECKPOINT_METADATA", "manifest.ocdbt")
ADAPTER = "adapter_config.json"
INNER = "pretrained_model"  # lerobot's folder with the policy of a checkpoint


def what_it_is(folder: Path) -> str:
    """One or two sentences about a folder that holds no policy and is something known; empty otherwise."""
    if (folder / ADAPTER).is_file():
        return f"It holds an adapter (PEFT){_base(folder / ADAPTER)}: open that policy and give this as its adapter."
    if any((place / name).exists() for place in (folder, folder / "params") for name in JAX_FILES):
        return (
            "It holds a JAX checkpoint of openpi: convert it with openpi's examples/convert_jax_model_to_pytorch.py "
            "and open what that writes."
        )
    if (folder / INNER / "config.json").is_file():
        return f"There is one in {INNER} below it: give that folder."
    saved = _saved(folder)
    if saved:
        return f"It is the root of a training run: its latest checkpoint is {saved.relative_to(folder)}, open that."
    return ""


def _base(adapter: Path) -> str:
    try:
        base = json.loads(adapter.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (ValueError, AttributeError, OSError):
        base = None
    return f", trained on {Path(base).name!r}" if isinstance(base, str) and base else ", trained on a policy"


def _saved(folder: Path) -> Path | None:
    """The checkpoint of the most steps in a run's root, as lerobot (`checkpoints/N`) and openpi (`N`) keep them."""
    places = [place for root in (folder / "checkpoints", folder) if root.is_dir() for place in root.iterdir()]
    numbered = [place for place in places if place.name.isdigit() and place.is_dir()]
    for place in sorted(numbered, key=lambda place: int(place.name), reverse=True):
        if (place / INNER / "config.json").is_file():
            return place / INNER
        if (place / "params").is_dir() or (place / "model.safetensors").is_file():
            return place
    return None
