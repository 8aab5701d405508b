"""Where the things that the instruction names are in the images of recorded demonstrations.

A recorded episode is replayed from its seed, command by command, and its scene drawn as labels in place of colours;
nothing is stored. The replay must give the recorded states again, or it is refused. About 0.2 s an episode on one
core, and 4 ms for every image drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from steering.demonstrations.recording import replay
from steering.errors import InputError
from steering.progress import Progress
from steering.simulation.scene import Scene
from steering.simulation.world import World
from steering.types import CAMERAS, Demonstrations, Episode

MASK_PX = 96
STATE_TOLERANCE = 1e-3
"""Largest difference of a replayed state (rad; opening 0..1): physics may round otherwise on another processor."""


def named_things(scene: Scene) -> tuple[str, ...]:
    """The things that the scene's instruction names: the one to act on, and the target where there is one."""
    goal = scene.goal
    return (goal.thing,) if goal.target is None else (goal.thing, goal.target)


def named_masks(
    demonstrations: Demonstrations,
    episode: Sequence[int] | np.ndarray,
    frame: Sequence[int] | np.ndarray,
    *,
    size_px: int = MASK_PX,
    progress: Progress | None = None,
) -> np.ndarray:
    """Pixels of the named things at chosen frames: bool [frame, camera, size, size], cameras in the order of CAMERAS.

    `episode`, `frame`: int [frame] indices. Raises InputError for episodes that were not recorded in the simulator or
    do not come out again.
    """
    progress = progress or Progress()
    episode, frame = np.asarray(episode), np.asarray(frame)
    masks = np.zeros((len(frame), len(CAMERAS), size_px, size_px), bool)
    chosen = np.unique(episode)
    for done, index in enumerate(chosen):
        progress.report(done / len(chosen), f"Finding the named things: episode {done + 1} of {len(chosen)}")
        recorded = demonstrations.episodes[index]
        if not demonstrations.task or recorded.seed is None:
            raise InputError(
                "Expected demonstrations recorded in the simulator, whose scenes can be drawn again; "
                f"{recorded.name!r} has no scene. Choose another metric for recordings from outside."
            )
        _draw(demonstrations, recorded, np.flatnonzero(episode == index), frame, masks)
    progress.report(1.0, f"Found the named things in {len(frame)} frames")
    return masks


def _draw(
    demonstrations: Demonstrations, recorded: Episode, rows: np.ndarray, frame: np.ndarray, masks: np.ndarray
) -> None:
    """Fill `rows` of the masks, all of the episode `recorded`."""
    passed = 0

    def watch(world: World, action: np.ndarray) -> None:
        nonlocal passed
        at, passed = passed, passed + 1
        if at >= recorded.frames or np.abs(world.state() - recorded.state[at]).max() > STATE_TOLERANCE:
            raise InputError(
                f"The replay of {recorded.name!r} leaves the recording at frame {at}; it was made by another version "
                "of the simulator. Record the demonstrations again."
            )
        for row in rows[frame[rows] == at]:
            labels = [world.scene.things.index(world.scene.thing(name)) for name in named_things(world.scene)]
            masks[row] = [np.isin(world.segmentation(camera, masks.shape[-1]), labels) for camera in CAMERAS]

    replay(demonstrations, recorded, watch)
