"""What the policy would do with some heads turned up, down or off. One forward pass of the whole policy a call."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from steering.errors import InputError
from steering.models.hooks import switched_heads
from steering.models.policy import SteerablePolicy
from steering.models.preprocessing import observe
from steering.types import Demonstrations, Episode, Head


def predicted_path(
    policy: SteerablePolicy, episode: Episode, frame: int, gains: Mapping[Head, float], *, seed: int = 0
) -> np.ndarray:
    """The action chunk predicted at one frame, float32 [step, dim] in the demonstrations' units.

    `gains`: head -> factor on its output, 0 = switched off; heads that are not named keep theirs, so an empty mapping
    gives the policy's own path. `seed`: of the noise, the same for every frame and set of gains. 20 ms on the embedded
    policy. Raises InputError for a frame or head that does not exist.
    """
    if not 0 <= frame < episode.frames:
        raise InputError(f"Expected a frame of 0 to {episode.frames - 1} of {episode.name!r}; got {frame}.")
    whole = Demonstrations(episode.name, "", (), (episode,))
    observation = observe(whole, np.array([0]), np.array([frame]))
    noise = np.random.default_rng(seed).standard_normal((1, policy.chunk_size, policy.noise_dim), np.float32)
    with switched_heads(policy.model, gains):
        return policy.act(observation, noise)[0]
