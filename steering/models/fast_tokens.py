"""FAST (arXiv 2501.09747, algorithm 1): a chunk of actions as a few tokens, and back.

Every action dimension is turned into frequencies over the chunk (DCT), rounded, and written as letters, low frequencies
first; a byte-pair tokenizer joins letters that come together often. Its files are an ordinary tokenizer and
`processor_config.json` with `scale` and `min_token`; the code that is published beside them is never run. Instant.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.fft import dct, idct

from steering import hub
from steering.errors import InputError
from steering.models.checkpoint import Checkpoint
from steering.models.pi0_checkpoint import TOKENIZER_FILES, load_tokenizer

PUBLISHED = "lerobot/fast-action-tokenizer"
FOLDER = "action_tokenizer"
SETTINGS = "processor_config.json"


@dataclass(frozen=True)
class ActionTokens:
    """tokenizer: of the letters. scale: steps that a frequency of 1 is rounded to. least: the number of letter 0."""

    tokenizer: Any
    scale: float
    least: int

    def encode(self, chunk: np.ndarray) -> list[int]:
        """Tokens of a normalised chunk, float [step, dim]."""
        rounded = np.around(dct(chunk.astype(np.float64), axis=0, norm="ortho") * self.scale)
        letters = "".join(map(chr, np.maximum(rounded.ravel() - self.least, 0).astype(int)))
        ids: list[int] = self.tokenizer(letters, add_special_tokens=False)["input_ids"]
        return ids

    def decode(self, tokens: Sequence[int], steps: int, dims: int) -> np.ndarray:
        """The chunk, float32 [step, dim], that tokens stand for; no motion where they do not make one, as published."""
        known = all(0 <= token < len(self.tokenizer) for token in tokens)
        letters = self.tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False) if known else ""
        if len(letters) != steps * dims:
            return np.zeros((steps, dims), np.float32)
        rounded = np.array([ord(letter) for letter in letters], np.float64) + self.least
        chunk: np.ndarray = idct(rounded.reshape(steps, dims) / self.scale, axis=0, norm="ortho")
        return chunk.astype(np.float32)


def read_action_tokens(checkpoint: Checkpoint) -> ActionTokens:
    """Those in the checkpoint's folder `action_tokenizer`, else those that its configuration names on the hub."""
    own = checkpoint.folder / FOLDER
    name = checkpoint.config.get("action_tokenizer_name") or PUBLISHED
    place = own if own.is_dir() else hub.beside(checkpoint.source, name)
    tokenizer = load_tokenizer(place)
    folder = place if isinstance(place, Path) else Path(place.snapshot("model", TOKENIZER_FILES))
    try:
        settings = json.loads((folder / SETTINGS).read_text("utf-8"))
        return ActionTokens(tokenizer, float(settings["scale"]), int(settings["min_token"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"Expected 'scale' and 'min_token' in {SETTINGS} of the action tokenizer {str(name)!r}; they cannot be "
            "read. Save the checkpoint's own action tokenizer in its folder as 'action_tokenizer'."
        ) from None
