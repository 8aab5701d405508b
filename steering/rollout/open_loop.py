"""Without a simulator: what a policy would have done at the frames of held-out demonstrations.

The prediction of a frame is the mean of `samples` denoised chunks, whose noise depends on (seed, episode, frame)
alone, so methods are paired. The embedded policy takes 15 ms a frame and sample on one core.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from steering.errors import InputError
from steering.models.policy import Policy
from steering.progress import Progress
from steering.types import ACTION_NAMES, Demonstrations, Observation, OpenLoop

BATCH_FRAMES = 8


def predict_chunks(
    policy: Policy,
    demonstrations: Demonstrations,
    episodes: Sequence[int],
    *,
    method: str,
    stride: int = 5,
    samples: int = 2,
    seed: int = 0,
    progress: Progress | None = None,
) -> OpenLoop:
    """Predicted and demonstrated chunks at every `stride`-th frame of `episodes` (indices into the demonstrations)."""
    progress = progress or Progress()
    count = len(demonstrations.episodes)
    if not episodes or any(not 0 <= e < count for e in episodes):
        raise InputError(
            f"Expected held-out episodes among 0 to {count - 1}, got {list(episodes)}. Choose at least one of them."
        )
    if stride < 1 or samples < 1:
        raise InputError(f"Expected a stride and a number of samples of at least 1, got {stride} and {samples}.")
    rows = [(e, f) for e in episodes for f in range(0, demonstrations.episodes[e].frames, stride)]
    predicted = []
    for at in range(0, len(rows), BATCH_FRAMES):
        batch = rows[at : at + BATCH_FRAMES]
        full = batch + batch[:1] * (BATCH_FRAMES - len(batch))  # always the same size: sums round the same way
        observation = _observe(demonstrations, full)
        draws = [policy.act(observation, _noise(policy, full, seed, sample)) for sample in range(samples)]
        predicted.append(np.stack(draws).mean(axis=0, dtype=np.float64)[: len(batch)])
        progress.report((at + len(batch)) / len(rows), f"{at + len(batch)} of {len(rows)} frames")
    demonstrated, valid = _demonstrated(demonstrations, rows, policy.chunk_size)
    actions = np.concatenate([episode.action for episode in demonstrations.episodes]).astype(np.float64)
    names = ACTION_NAMES if actions.shape[1] == len(ACTION_NAMES) else _numbered(actions.shape[1])
    return OpenLoop(
        method=method,
        episode=np.array([e for e, _ in rows], np.int32),
        frame=np.array([f for _, f in rows], np.int32),
        predicted=np.concatenate(predicted).astype(np.float32)[..., : actions.shape[1]],
        demonstrated=demonstrated,
        valid=valid,
        spread=actions.std(0).astype(np.float32),
        action_names=names,
        rate_hz=float(demonstrations.episodes[0].rate_hz),
    )


def _observe(demonstrations: Demonstrations, rows: Sequence[tuple[int, int]]) -> Observation:
    found = [(demonstrations.episodes[e], f) for e, f in rows]
    return Observation(
        cameras={name: np.stack([e.cameras[name][f] for e, f in found]) for name in found[0][0].cameras},
        state=np.stack([e.state[f] for e, f in found]),
        instruction=tuple(e.instruction_at(f) for e, f in found),
    )


def _noise(policy: Policy, rows: Sequence[tuple[int, int]], seed: int, sample: int) -> np.ndarray:
    shape = (policy.chunk_size, policy.noise_dim)
    draws = [np.random.default_rng([seed, 19, e, f, sample]).standard_normal(shape) for e, f in rows]
    return np.stack(draws).astype(np.float32)


def _demonstrated(
    demonstrations: Demonstrations, rows: Sequence[tuple[int, int]], steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Chunks float32 [frame, step, dim] and bool [frame, step]; past an episode's end 0 and False."""
    dim = demonstrations.episodes[0].action.shape[1]
    chunks, valid = np.zeros((len(rows), steps, dim), np.float32), np.zeros((len(rows), steps), bool)
    for i, (e, f) in enumerate(rows):
        following = demonstrations.episodes[e].action[f : f + steps]
        chunks[i, : len(following)] = following
        valid[i, : len(following)] = True
    return chunks, valid


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"action_{i + 1}" for i in range(count))
