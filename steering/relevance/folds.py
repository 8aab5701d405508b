"""Which frames may predict which: leave one episode out, or one frame and its surroundings for a single episode.

The rule of the Robotic Steering release (arXiv 2511.22697): a query frame is predicted from the frames of all other
episodes. With a single episode it is predicted from the frames more than EXCLUSION_FRAMES away.
Cost: a mask of one byte per query and frame, made for a block of queries at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from steering.errors import InputError

EXCLUSION_FRAMES = 30


def excluded(episode: np.ndarray, frame: np.ndarray, rows: np.ndarray | slice) -> np.ndarray:
    """bool [row, frame]: True where a frame may not be used to predict the query frame `rows[row]`.

    episode, frame: int [frame], where each captured frame came from.
    """
    if np.all(episode == episode[0]):
        return np.abs(frame[rows, None].astype(np.int64) - frame[None, :]) <= EXCLUSION_FRAMES
    return episode[rows, None] == episode[None, :]


def iterate(episode: np.ndarray, frame: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (query rows, excluded rows) so that each frame is a query once; queries of a fold share a training set."""
    if np.all(episode == episode[0]):
        for row in range(len(episode)):
            yield np.array([row]), np.flatnonzero(excluded(episode, frame, np.array([row]))[0])
    else:
        for one in np.unique(episode):
            rows = np.flatnonzero(episode == one)
            yield rows, rows


def rows_by_episode(episode: np.ndarray, frame: np.ndarray) -> list[np.ndarray]:
    """The rows of each episode in the order of their frames; episodes in increasing order."""
    order = np.lexsort((frame, episode))
    return np.split(order, np.flatnonzero(np.diff(episode[order])) + 1)


def fewest_training_frames(episode: np.ndarray, frame: np.ndarray) -> int:
    """The smallest number of frames that any query frame is predicted from."""
    return len(episode) - max(len(left_out) for _, left_out in iterate(episode, frame))


def most_training_frames(episode: np.ndarray, frame: np.ndarray) -> int:
    """The largest number of frames that any query frame is predicted from."""
    return len(episode) - min(len(left_out) for _, left_out in iterate(episode, frame))


def check(episode: np.ndarray, frame: np.ndarray, needed: int, what: str) -> None:
    """Raise InputError when some query frame has fewer than `needed` training frames; `what` needs them."""
    if len(episode) == 0:
        raise InputError("Expected activations of at least one frame, got none. Capture an episode first.")
    fewest = fewest_training_frames(episode, frame)
    if fewest < needed:
        rule = (
            f"one episode, leaving out {EXCLUSION_FRAMES} frames on each side"
            if np.all(episode == episode[0])
            else "leaving one episode out"
        )
        raise InputError(
            f"{what} needs {needed} training frames for every query frame, but {rule} leaves only {fewest} of "
            f"{len(episode)}. Choose a smaller k or use more or longer demonstrations."
        )
