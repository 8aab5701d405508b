"""Settings by name. `paper` and `paper_ffn` are the recipe of arXiv 2511.22697 and of the code released with it.

The sources give ranks from 8 to 32; 16 lies between, and openpi uses it for PaliGemma. The release also trains an
adapter on every FFN of the VLM, which makes up four fifths of its trainable parameters: `paper_ffn`. AdamW's betas
(0.9, 0.95), clipping at norm 1 and the decay to a tenth are those of every run. `release` is all that the release
trains (method `steering`): factors of its own for every head, FFN adapters of the VLM, state, action and time
projections whole. `openpi_lora` is openpi's `gemma_2b_lora` and `gemma_300m_lora` (method `lora`): factors per head,
rank 16 in the VLM and 32 in the expert, the projections whole. Torch-free.
"""

from __future__ import annotations

from collections.abc import Mapping

from steering.errors import unknown_name
from steering.types import FinetuneSettings

_RECIPE = {"steps": 3000, "batch_size": 32, "learning_rate": 2.5e-5, "warmup_steps": 200, "noise_samples": 1}
_OPENPI = {"head_factors": True, "projections": True, "time_mlp": True}

PRESETS: Mapping[str, FinetuneSettings] = {
    "default": FinetuneSettings(),
    "paper": FinetuneSettings(**_RECIPE),  # type: ignore[arg-type]
    "paper_ffn": FinetuneSettings(**_RECIPE, ffn="all"),  # type: ignore[arg-type]
    "release": FinetuneSettings(**_RECIPE, **_OPENPI, ffn="all"),  # type: ignore[arg-type]
    "openpi_lora": FinetuneSettings(**_RECIPE, **_OPENPI, expert_rank=32),  # type: ignore[arg-type]
}


def preset(name: str) -> FinetuneSettings:
    """The settings of a preset. Raises NotFound, with the choices, for unknown names."""
    if name not in PRESETS:
        raise unknown_name("finetuning preset", name, PRESETS)
    return PRESETS[name]
