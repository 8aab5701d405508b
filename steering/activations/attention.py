"""Attention weights of every head: over one episode for display, and of one frame to every single token.

Rows of the eager weights, by default from the last prefix token in stacks on the prompt (the VLM) and from the first
action token in those on the actions (at t = 1, one fixed noise). Only these rows leave the hooks, so memory stays at
one batch of weights (about 40 MB for the embedded policy). Cost: about 100 frames/s on two cores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from steering.errors import InputError
from steering.models.flow import Batch
from steering.models.policy import SteerablePolicy
from steering.models.preprocessing import observe, of_wrist
from steering.models.query_attention import query_attention
from steering.models.sites import ACTIONS
from steering.models.tokens import instruction_words, named_tokens, names_of_tokens
from steering.progress import Progress
from steering.types import TOKEN_GROUPS, Attention, Demonstrations, Episode, FrameAttention

TOKENS = ("last_prefix", "first_action")


def attention(
    policy: SteerablePolicy, episode: Episode, *, seed: int = 0, batch_size: int = 16, progress: Progress | None = None
) -> Attention:
    """Attention over image patches and TOKEN_GROUPS for every frame of `episode`."""
    progress = progress or Progress()
    images, masses = [], []
    for start in range(0, episode.frames, batch_size):
        progress.report(start / episode.frames, f"Attention: frame {start} of {episode.frames}")
        frame = np.arange(start, min(start + batch_size, episode.frames))
        batch, weights = _batch_weights(policy, episode, frame, seed, names_of_tokens(policy, *TOKENS))
        image, mass = _by_group(weights, batch, policy, tuple(episode.cameras))
        images.append(image)
        masses.append(mass)
    progress.report(1.0, f"Attention of {episode.frames} frames")
    return Attention(np.concatenate(images), np.concatenate(masses), _grid(policy), policy.preprocessor.bar)


def attention_at(
    policy: SteerablePolicy, episode: Episode, frame: int, *, tokens: Sequence[str] = TOKENS, seed: int = 0
) -> FrameAttention:
    """Attention of one frame from the tokens named (for stacks on the prompt and on the actions) to every token.

    The weights of a head over `image`, `word`, `other`, `state` and `actions` sum to 1. Takes 30 ms on the embedded
    policy. Raises InputError for a frame that does not exist, NotFound for an unknown token.
    """
    if not 0 <= frame < episode.frames:
        raise InputError(f"Expected a frame of 0 to {episode.frames - 1} of {episode.name!r}; got {frame}.")
    cameras, (of_prompt, of_actions) = len(episode.cameras), tokens
    named = names_of_tokens(policy, of_prompt, of_actions)
    places = _places(policy, tuple(episode.cameras))
    batch, weights = _batch_weights(policy, episode, np.array([frame]), seed, named)
    patches, prefix = policy.preprocessor.tokens_per_image, batch["attention_mask"].shape[1]
    words = instruction_words(policy, episode.instruction_at(frame), cameras)
    first = prefix + policy.expert_tokens.get("first_action", 0)
    last = first + policy.chunk_size
    shape = policy.head_shape
    widths = {"image": (cameras, patches), "word": (len(words),), "other": (), "state": (), "actions": (last - first,)}
    parts = {name: np.zeros((*shape.grid, *width), np.float32) for name, width in widths.items()}
    for s, sites in enumerate(policy.layout.sites):
        row, cells = weights[sites.stack.name][0], (s, slice(sites.stack.layers), slice(sites.stack.heads))
        image = row[..., : cameras * patches].reshape(*row.shape[:2], cameras, patches)[..., places, :]
        word = np.stack([row[..., at].sum(-1) for _, at in words], axis=-1) if words else row[..., :0]
        on_actions = sites.sequence == ACTIONS
        actions = row[..., first:last] if on_actions else np.zeros((*row.shape[:2], last - first), np.float32)
        state = row[..., prefix:first].sum(-1)
        parts["other"][cells] = row.sum(-1) - image.sum((-1, -2)) - word.sum(-1) - actions.sum(-1) - state
        for name, part in (("image", image), ("word", word), ("state", state), ("actions", actions)):
            parts[name][cells] = part
    return FrameAttention(
        tokens=named,
        words=tuple(word for word, _ in words),
        grid=_grid(policy),
        **parts,
    )


def _places(policy: SteerablePolicy, cameras: Sequence[str]) -> list[int]:
    """Of each of the episode's cameras, its place among those that the policy sees."""
    seen = policy.preprocessor.seen(cameras)
    return [seen.index(name) for name in cameras]


def _grid(policy: SteerablePolicy) -> int:
    return round(policy.preprocessor.tokens_per_image**0.5)


def _batch_weights(
    policy: SteerablePolicy, episode: Episode, frame: np.ndarray, seed: int, tokens: tuple[str, ...]
) -> tuple[Batch, dict[str, np.ndarray]]:
    """The batch, and stack -> weights float32 [frame, layer, head, key] of the query tokens."""
    whole = Demonstrations(episode.name, "", (), (episode,))
    observation = observe(whole, np.zeros_like(frame), frame)
    noise = np.random.default_rng(seed).standard_normal((1, policy.chunk_size, policy.noise_dim), np.float32)
    with torch.inference_mode():
        batch = policy.prepare(observation)
        queries = named_tokens(policy, tokens, batch, observation.instruction, len(observation.cameras))
        weights = query_attention(policy, batch, torch.from_numpy(noise).to(policy.device), queries)
    return batch, {stack: row.cpu().numpy() for stack, row in weights.items()}


def _by_group(
    weights: dict[str, np.ndarray], batch: Batch, policy: SteerablePolicy, cameras: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Image weights as uint8 [frame, stack, layer, head, camera, patch] and mass [frame, stack, layer, head, group].

    Cameras without a wrist in their names count as `exterior` in the mass.
    """
    patches, count = policy.preprocessor.tokens_per_image, len(cameras)
    prefix = batch["attention_mask"].shape[1]
    first = prefix + policy.expert_tokens.get("first_action", 0)
    wrist = np.array([of_wrist(name) for name in cameras])
    shape = policy.head_shape
    images = np.zeros((len(batch["attention_mask"]), *shape.grid, count, patches), np.uint8)
    masses = np.zeros((*images.shape[:4], len(TOKEN_GROUPS)), np.float32)
    for s, one in enumerate(shape.stacks):
        row, cells = weights[one.name], (slice(None), s, slice(one.layers), slice(one.heads))
        image = row[..., : count * patches].reshape(*row.shape[:-1], count, patches)[..., _places(policy, cameras), :]
        by_camera = image.sum(-1)
        mass = {
            "exterior": by_camera[..., ~wrist].sum(-1),
            "wrist": by_camera[..., wrist].sum(-1),
            "instruction": row[..., count * patches : prefix].sum(-1),
            "state": row[..., prefix:first].sum(-1),
            "actions": row[..., first:].sum(-1),
        }
        masses[cells] = np.stack([mass[group] for group in TOKEN_GROUPS], axis=-1)
        images[cells] = np.rint(255 * image / image.max((-1, -2), keepdims=True).clip(1e-12)).astype(np.uint8)
    return images, masses
