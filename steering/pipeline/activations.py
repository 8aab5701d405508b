"""What the policy computes on demonstrations: head outputs and attention weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from steering import policy_cache
from steering.cluster import Cluster
from steering.errors import InputError
from steering.pipeline.making import LOADING, load, made, weights
from steering.pipeline.spreading import captured
from steering.progress import Progress
from steering.serialisation import content_digest
from steering.store import Store
from steering.types import Activations, Demonstrations, Episode

UNSEEN = ("name", "task", "variations", "rate_hz", "phase", "success", "seed", "ground_truth", "policy")
"""Fields of demonstrations that a policy does not see, so that captures do not depend on them."""


def capture(
    store: Store,
    *,
    demonstrations_id: str,
    policy: str = "embedded",
    vlm_token: str = "last_prefix",
    expert_token: str = "first_action",
    timestep: float | Sequence[float] = 1.0,
    seed: int = 0,
    samples: int = 1,
    stride: int = 1,
    cluster: Cluster | None = None,
    progress: Progress = Progress(),
) -> str:
    """Capture the output of every head at one token per stack, over the frames of the demonstrations.

    The policy runs only where nothing was captured from the same images, states, actions and instructions with the
    same weights and settings; demonstrations that hold the same under another name or id share the work. cluster: where
    it runs, in parts; by default here. The result is the same.
    """
    settings: dict[str, Any] = {"vlm_token": vlm_token, "expert_token": expert_token, "timestep": timestep}
    settings |= {"seed": seed, "samples": samples, "stride": stride}
    params = {**weights(policy), **settings}

    def make() -> Activations:
        if twin := _captured_from_same(store, demonstrations_id, params):
            found: Activations = load(store, twin, Activations)
            return found
        from steering.activations import capture as stage

        demonstrations = load(store, demonstrations_id, Demonstrations)
        if cluster is not None:
            return captured(cluster, params, demonstrations, settings, progress)
        loaded = policy_cache.get(policy, None, demonstrations, progress.part(0, LOADING))
        return stage.capture(loaded, demonstrations, **settings, progress=progress.part(LOADING, 1))

    return made(store, "activations", (demonstrations_id,), params, make)


def _captured_from_same(store: Store, demonstrations_id: str, params: dict[str, Any]) -> str | None:
    """Activations made with the same parameters from other demonstrations of the same content; not from those of
    somebody else, with whom they would go.
    """
    content = content_digest(store.folder(demonstrations_id), UNSEEN)
    for other in store.find("demonstrations"):
        owners = store.owners.of(other.id)
        if other.id == demonstrations_id or (store.owner and owners and store.owner not in owners):
            continue
        found = store.find_made("activations", (other.id,), params, claim=False)
        if found and content_digest(store.folder(other.id), UNSEEN) == content:
            store.claim(found)
            return found
    return None


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

        demonstrations, chosen = _episode(store, demonstrations_id, episode)
        loaded = policy_cache.get(policy, None, demonstrations, progress.part(0, LOADING))
        return stage.attention(loaded, chosen, seed=seed, progress=progress.part(LOADING, 1))

    return made(store, "attention", (demonstrations_id,), params, make)


def attention_at(
    store: Store,
    *,
    demonstrations_id: str,
    episode: int,
    frame: int,
    tokens: Sequence[str] = ("last_prefix", "first_action"),
    policy: str = "embedded",
    seed: int = 0,
    progress: Progress = Progress(),
) -> str:
    """Attention weights of every head at one frame, from the named tokens to every patch, word, state and action."""
    params = {**weights(policy), "episode": episode, "frame": frame, "tokens": list(tokens), "seed": seed}

    def make() -> object:
        from steering.activations import attention as stage

        demonstrations, chosen = _episode(store, demonstrations_id, episode)
        loaded = policy_cache.get(policy, None, demonstrations, progress.part(0, LOADING))
        progress.report(LOADING, "Attention of one frame")
        return stage.attention_at(loaded, chosen, frame, tokens=tokens, seed=seed)

    return made(store, "frame_attention", (demonstrations_id,), params, make)


def _episode(store: Store, demonstrations_id: str, index: int) -> tuple[Demonstrations, Episode]:
    demonstrations: Demonstrations = load(store, demonstrations_id, Demonstrations)
    episodes = demonstrations.episodes
    if not 0 <= index < len(episodes):
        raise InputError(f"There is no episode {index}; the demonstrations have 0 to {len(episodes) - 1}.")
    return demonstrations, episodes[index]
