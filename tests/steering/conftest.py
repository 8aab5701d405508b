"""A tiny randomly initialised π0 and small random demonstrations, shared by the tests of all stages."""

from __future__ import annotations

import copy
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PI0ForConditionalGeneration

from steering.demonstrations import guard
from steering.models.architecture import SmallPI0, small_pi0_config, train_tokenizer
from steering.models.loading import load_policy, save_policy
from steering.models.pi0 import PI0Policy
from steering.models.preprocessing import dataset_statistics
from steering.progress import Progress
from steering.types import CAMERAS, Demonstrations, Episode

TINY = SmallPI0(
    image_px=32,
    width=32,
    layers=3,
    heads=4,
    head_dim=8,
    mlp=48,
    expert_width=24,
    expert_mlp=40,
    vision_width=16,
    vision_layers=1,
    vision_heads=2,
    vision_mlp=24,
    chunk=4,
    denoising_steps=3,
)
INSTRUCTIONS = ("press the button", "place the marker in the mug")


@pytest.fixture(scope="session")
def demonstrations() -> Demonstrations:
    """Four short episodes of noise, 64-px frames, two instructions of different length."""
    rng = np.random.default_rng(0)
    episodes = []
    for index in range(4):
        frames = 6 + index
        cameras = {name: rng.integers(0, 256, (frames, 64, 64, 3), dtype=np.uint8) for name in CAMERAS}
        state = rng.standard_normal((frames, 8), dtype=np.float32)
        action = rng.uniform(-1, 1, (frames, 7)).astype(np.float32)
        episodes.append(Episode(f"episode_{index}", INSTRUCTIONS[index % 2], 20.0, cameras, state, action))
    return Demonstrations("noise", "", (), tuple(episodes))


@pytest.fixture(scope="session")
def policy_folder(tmp_path_factory: pytest.TempPathFactory, demonstrations: Demonstrations) -> Path:
    """A policy folder with large random weights, so that every part of the model shows in its output."""
    folder = tmp_path_factory.mktemp("policies") / "tiny"
    torch.manual_seed(0)
    tokenizer = train_tokenizer(INSTRUCTIONS * 5, vocab_size=300)
    config = small_pi0_config(TINY, len(tokenizer), tokenizer.convert_tokens_to_ids("<image>"))
    model = PI0ForConditionalGeneration(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2 and "embed" not in name.split(".")[-2]:
                parameter.normal_(std=1.2 / parameter.shape[1] ** 0.5)
    save_policy(model, tokenizer, dataset_statistics(demonstrations), folder)
    return folder


@pytest.fixture(scope="session")
def loaded_policy(policy_folder: Path) -> PI0Policy:
    return load_policy(policy_folder)


@pytest.fixture
def policy(loaded_policy: PI0Policy) -> PI0Policy:
    """The tiny policy as it is loaded, a copy for each test; copying takes a fifth of loading."""
    return copy.deepcopy(loaded_policy)


@pytest.fixture
def read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads other people's files in this process, for tests whose point is not the child, which takes half a second
    to start: tests/steering/demonstrations/test_hostile.py and test_fuzz.py are of the child.
    """

    def run(request: Mapping[str, Any], temporary: Path, name: str, limits: object, progress: Progress) -> Any:
        asked = json.loads(json.dumps(request))
        module, _, function = asked["function"].partition(":")
        found = getattr(importlib.import_module(module), function)(**asked["arguments"], progress=progress)
        return json.loads(json.dumps(found))

    monkeypatch.setattr(guard, "_run", run)
