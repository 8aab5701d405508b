"""The demonstrated action chunks of an episode, as policies are trained on them. Without torch; instant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from steering.types import Demonstrations, Robot


def action_chunks(action: np.ndarray, chunk: int, *, absolute: bool = False, robot: Robot | None = None) -> np.ndarray:
    """The actions [t, t + chunk) of every frame t of one episode: float32 [frame, step, dim].

    Past the end the arms rest. Motions are zero there in every dimension but the grippers of the `robot`, which keep
    their values; positions to reach (`absolute`, see `Episode`) repeat the last action whole.
    """
    rest = np.repeat(action[-1:].astype(np.float32), chunk - 1, axis=0)
    if not absolute:
        rest[:, [i for i in range(rest.shape[1]) if i not in (robot or Robot()).grippers(rest.shape[1])]] = 0
    padded = np.concatenate([action.astype(np.float32), rest])
    return np.lib.stride_tricks.sliding_window_view(padded, chunk, axis=0).transpose(0, 2, 1).copy()


def demonstrated_chunks(
    demonstrations: Demonstrations, chunk: int, episodes: Sequence[int] | None = None
) -> list[np.ndarray]:
    """`action_chunks` of each of the episodes (indices, None for all), as their robot has them."""
    chosen = range(len(demonstrations.episodes)) if episodes is None else episodes
    return [
        action_chunks(one.action, chunk, absolute=one.absolute_actions, robot=demonstrations.robot)
        for one in (demonstrations.episodes[index] for index in chosen)
    ]
