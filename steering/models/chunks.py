"""The demonstrated action chunks of an episode, as policies are trained on them. Without torch; instant."""

from __future__ import annotations

import numpy as np


def action_chunks(action: np.ndarray, chunk: int, *, absolute: bool = False) -> np.ndarray:
    """The actions [t, t + chunk) of every frame t of one episode: float32 [frame, step, dim].

    Past the end the arm rests. Motions are zero there in every dimension but the last, the gripper, which keeps its
    value; positions to reach (`absolute`, see `Episode`) repeat the last action whole.
    """
    rest = np.repeat(action[-1:].astype(np.float32), chunk - 1, axis=0)
    if not absolute:
        rest[:, :-1] = 0
    padded = np.concatenate([action.astype(np.float32), rest])
    return np.lib.stride_tricks.sliding_window_view(padded, chunk, axis=0).transpose(0, 2, 1).copy()
