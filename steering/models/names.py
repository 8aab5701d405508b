"""What published checkpoints call their tensors, and the same tensors' names in the models here. Torch-free.

The rules are the whole mapping of a family's weights; a test compares π0's with transformers' own conversion. With them
the sizes of every projection are read from the files' headers, where the configuration names sizes only by variant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

Rules = Sequence[tuple[str, str]]
"""(pattern at the start of a name, what replaces it); the first that fits is applied."""

_VLM = r"(?:model\.)?paligemma_with_expert\.paligemma\.(?:model\.)?"
_EXPERT = r"(?:model\.)?paligemma_with_expert\.gemma_expert\."
_SMOLVLM = r"model\.vlm_with_expert\.vlm\.model\."

RULES: dict[str, Rules] = {
    "pi0": (
        (
            rf"{_VLM}(?:language_model\.)?lm_head\.",
            "model.vlm.language_model.embed_tokens.",
        ),  # tied; often the only copy
        (rf"{_VLM}language_model\.(?:model\.)?", "model.vlm.language_model."),
        (rf"{_VLM}vision_tower\.(?:vision_model\.)?", "model.vlm.vision_tower."),
        (rf"{_VLM}multi_modal_projector\.", "model.vlm.multi_modal_projector."),
        (rf"{_EXPERT}lm_head\.", "model.dit.embed_tokens."),
        (rf"{_EXPERT}model\.", "model.dit."),
        (r"model\.vlm\.vision_tower\.vision_model\.", "model.vlm.vision_tower."),
        (r"model\.vlm\.language_model\.model\.", "model.vlm.language_model."),
        (
            r"(?:model\.)?(state_proj|action_in_proj|action_time_mlp_in|action_time_mlp_out)\.",
            r"embed_action_time.\1.",
        ),
        (r"model\.action_out_proj\.", "action_out_proj."),
    ),
    "smolvla": (
        (rf"{_SMOLVLM}text_model\.", "model.vlm.language_model."),
        (_SMOLVLM, "model.vlm."),
        (r"model\.vlm_with_expert\.lm_expert\.", "model.dit."),
        (r"model\.(state_proj|action_in_proj|action_out_proj|action_time_mlp_in|action_time_mlp_out)\.", r"\1."),
    ),
}
RULES["pi0_fast"] = RULES["pi0"]  # its VLM, without an expert
RULES["pi05"] = ((r"(?:model\.)?(action_in_proj|action_out_proj|time_mlp_in|time_mlp_out)\.", r"\1."), *RULES["pi0"])
"""Family -> published names to those of its model."""

_PUBLISHED: Rules = (
    (r"model\.vlm\.language_model\.embed_tokens\.", "paligemma_with_expert.paligemma.lm_head."),
    (r"model\.vlm\.vision_tower\.", "paligemma_with_expert.paligemma.model.vision_tower.vision_model."),
    (r"model\.vlm\.", "paligemma_with_expert.paligemma.model."),
    (r"model\.dit\.embed_tokens\.", "paligemma_with_expert.gemma_expert.lm_head."),
    (r"model\.dit\.", "paligemma_with_expert.gemma_expert.model."),
    (r"embed_action_time\.", ""),
)
PUBLISHED: dict[str, Rules] = {
    "pi0": _PUBLISHED,
    "pi05": _PUBLISHED,
    "smolvla": (
        (r"model\.vlm\.language_model\.", "vlm_with_expert.vlm.model.text_model."),
        (r"model\.vlm\.", "vlm_with_expert.vlm.model."),
        (r"model\.dit\.", "vlm_with_expert.lm_expert."),
        (r"model\.(?=vlm_with_expert\.)", ""),  # the VLM's word head, which no model here has
    ),
}
"""Family -> its model's names to those of openpi's conversion; lerobot's have `model.` before them."""
OPENPI = ("pi0", "pi05")
"""Families of openpi. lerobot names sizes of theirs by variant alone."""

STACKS = {"pi0_fast": ("vlm",)}
"""Family -> its stacks, where they are not a VLM and an expert."""

HEAD_DIM = {"pi0": 256, "pi05": 256, "pi0_fast": 256, "smolvla": 64}
"""Family -> dimensions of a head: of every published Gemma and SmolLM2 base; not to be read from shapes."""


def translated(name: str, rules: Rules) -> str:
    """The model's name of a tensor that the file calls `name`."""
    for pattern, replacement in rules:
        new, count = re.subn(f"^{pattern}", replacement, name)
        if count:
            return new
    return name
