"""A policy folder with random weights at the embedded policy's layout: `python random_policy.py DIR`.

For tests of the page before, or apart from, the embedded policy; runs in its own process, so that the tests of the
page import no torch.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from transformers import PI0ForConditionalGeneration

from steering.models.architecture import SmallPI0, small_pi0_config, train_tokenizer
from steering.models.loading import save_policy
from steering.models.preprocessing import dataset_statistics
from steering.types import CAMERAS, Demonstrations, Episode


def make(folder: Path) -> None:
    """Write the folder."""
    rng = np.random.default_rng(0)
    cameras = {name: np.zeros((20, 32, 32, 3), np.uint8) for name in CAMERAS}
    state, action = rng.normal(size=(20, 8)).astype(np.float32), rng.uniform(-1, 1, (20, 7)).astype(np.float32)
    some = Demonstrations("some", "", (), (Episode("0", "press the button", 20.0, cameras, state, action),))
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["press the button", "place the red cube in the blue bowl"] * 5, vocab_size=400)
    config = small_pi0_config(SmallPI0(), len(tokenizer), tokenizer.convert_tokens_to_ids("<image>"))
    save_policy(PI0ForConditionalGeneration(config), tokenizer, dataset_statistics(some), folder)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
