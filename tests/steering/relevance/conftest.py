from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from steering.types import Activations

Build = Callable[..., Activations]


@pytest.fixture(scope="session")
def build() -> Build:
    """Random activations of `lengths` frames an episode; keyword arguments replace fields."""

    def make(lengths: tuple[int, ...] = (12, 15, 14, 13), seed: int = 0, **fields: np.ndarray) -> Activations:
        generator = np.random.default_rng(seed)
        count = sum(lengths)
        action = generator.uniform(-1, 1, (count, 7)).astype(np.float32)
        values = {
            "outputs": generator.standard_normal((count, 2, 3, 4, 6)).astype(np.float32),
            "episode": np.repeat(np.arange(len(lengths)), lengths).astype(np.int32),
            "frame": np.concatenate([np.arange(length) for length in lengths]).astype(np.int32),
            "action": action,
            "chunk": action[:, None],
            "state": generator.standard_normal((count, 8)).astype(np.float32),
            "time_in_episode": np.concatenate([np.linspace(0, 1, n) for n in lengths]).astype(np.float32),
        }
        values = {**values, **fields}
        values.setdefault("inert", np.zeros(values["outputs"].shape[1:4], bool))
        return Activations(**values, tokens=("last_prefix", "state"), timestep=1.0, seed=0)

    return make
