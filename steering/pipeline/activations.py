"""What the policy computes on demonstrations: head outputs and attention weights."""

from __future__ import annotations

from typing import Any

from steering import policy_cache
from steering.errors import InputError
from steering.pipeline.making import load, made, weights
from steering.progress import Progress
from steering.store import Store
from steering.types import Activations, Demonstrations


def capture(
    store: Store,
    *,
    demonstrations_id: str,
    policy: str = "embedded",
    vlm_token: str = "last_prefix",
    expert_token: str = "first_action",
    timestep: float = 1.0,
    seed: int = 0,
    stride: int = 1,
    progress: Progress = Progress(),
) -> str:
    """Capture the output of every head at one token per stack, over the frames of the demonstrations."""
    tokens: dict[str, Any] = {"vlm_token": vlm_token, "expert_token": expert_token}
    tokens |= {"timestep": timestep, "seed": seed, "stride": stride}

    def make() -> Activations:
        from steering.activations import capture as stage

        demonstrations = load(store, demonstrations_id, Demonstrations)
        return stage.capture(policy_cache.get(policy), demonstrations, **tokens, progress=progress)

    return made(store, "activations", (demonstrations_id,), {**weights(policy), **tokens}, make)


def attention(
    store: Store,
    *,
    demonstrations_id: str,
    episode: int = 0,
    policy: str = "embedded",
    seed: int = 0,
    progress: Progress = Progress(),
) -> str:
    """Attention weights of every head over one episode, for display."""
    params = {**weights(policy), "episode": episode, "seed": seed}

    def make() -> object:
        from steering.activations import attention as stage

        episodes = load(store, demonstrations_id, Demonstrations).episodes
        if not 0 <= episode < len(episodes):
            raise InputError(f"There is no episode {episode}; the demonstrations have 0 to {len(episodes) - 1}.")
        return stage.attention(policy_cache.get(policy), episodes[episode], seed=seed, progress=progress)

    return made(store, "attention", (demonstrations_id,), params, make)
