"""Prompts that hold the state as text, as π0.5 and π0-FAST read it: "Task: pick up the cube, State: 12 130 …;".

Each state dimension, normalised, falls into one of 256 bins over [-1, 1]; below the first stands -1, as in openpi and
lerobot. So the prompt changes at every frame, and prompts are padded to `max_text_tokens`, to have one length. A prompt
that is cut off there loses its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from steering.models.preprocessing import Preprocessor
from steering.types import Observation

MAX_TEXT_TOKENS = 200
BINS = 256  # of each state dimension over [-1, 1]


@dataclass(frozen=True)
class StateInText(Preprocessor):
    """See `Preprocessor`. behind: what follows the state. padded_state: padding dimensions are written too."""

    behind: ClassVar[str] = ";\n"
    padded_state: ClassVar[bool] = False

    def text_tokens(self, instruction: str) -> list[int]:
        """See `Preprocessor.text_tokens`; of the prompt as far as the instruction."""
        return self._ids(f"Task: {_clean(instruction)}")

    def tokens(self, instructions: Sequence[str], cameras: int) -> dict[str, torch.Tensor]:
        """See `Preprocessor.tokens`; of every prompt the same number."""
        return self._padded([self.row(text, cameras) for text in instructions], cameras)

    def prompts(self, observation: Observation, cameras: int) -> dict[str, torch.Tensor]:
        """`input_ids` and `attention_mask` of the prompts with their states, int64 [batch, token]."""
        states = self.state(observation.state).numpy()
        states = states if self.padded_state else states[:, : observation.state.shape[-1]]
        bins = np.digitize(states, np.linspace(-1, 1, BINS + 1)[:-1]) - 1
        rows = []
        for instruction, state in zip(observation.instruction, bins, strict=True):
            text = f"Task: {_clean(instruction)}, State: {' '.join(map(str, state))}{self.behind}"
            rows.append([self.image_token_id or 0] * (self.tokens_per_image * cameras) + self._ids(text))
        return self._padded(rows, cameras)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer((self.tokenizer.bos_token or "") + text, add_special_tokens=False)["input_ids"]
        return ids[: self.max_text_tokens]

    def _padded(self, rows: Sequence[Sequence[int]], cameras: int) -> dict[str, torch.Tensor]:
        length = self.tokens_per_image * cameras + (self.max_text_tokens or MAX_TEXT_TOKENS)
        ids = torch.full((len(rows), length), self.tokenizer.pad_token_id or 0)
        mask = torch.zeros_like(ids)
        for index, row in enumerate(rows):
            ids[index, : len(row)], mask[index, : len(row)] = torch.tensor(row), 1
        return {"input_ids": ids, "attention_mask": mask}


def settings_of(plain: Preprocessor, tokenizer_max_length: int | None) -> dict[str, Any]:
    """The fields of a `StateInText` for a checkpoint that `plain` was read from."""
    return {**vars(plain), "max_text_tokens": tokenizer_max_length or MAX_TEXT_TOKENS}


def _clean(instruction: str) -> str:
    return instruction.strip().replace("_", " ").replace("\n", " ")
