"""Our own recordings: the folder of a `demonstrations` artefact in a store, read by its own checked format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from steering import serialisation
from steering.demonstrations.dataset import Dataset, EpisodeSummary, Feature
from steering.demonstrations.limits import Limits
from steering.errors import InputError
from steering.lossless_video import LazyArrays
from steering.types import ACTION_NAMES, STATE_NAMES, Demonstrations, Episode


def open_recordings(folder: Path, limits: Limits) -> Dataset:
    """The dataset of one artefact folder; names of cameras, state and action are those of `Episode`."""
    value = serialisation.decode(folder)
    if not isinstance(value, Demonstrations):
        raise InputError(f"{folder.name} holds {type(value).__name__}, not demonstrations. Choose another folder.")
    summaries = tuple(
        EpisodeSummary(e.name, e.frames, e.instruction, e.rate_hz, e.success, e.instructions) for e in value.episodes
    )
    features: dict[str, Feature] = {}
    if value.episodes:
        first = value.episodes[0]
        features = {camera: Feature(camera, "image", _shape(first, camera)[1:], "video") for camera in first.cameras}
        for name, array, names in (("state", first.state, STATE_NAMES), ("action", first.action, ACTION_NAMES)):
            given = getattr(value.robot, f"{name}_names", ()) or names
            known = given if array.ndim == 2 and array.shape[1] == len(given) else ()
            features[name] = Feature(name, "number", array.shape[1:], str(array.dtype), known)
    source = _Source(value, limits)
    kind = "workbench recording"
    absolute = any(e.absolute_actions for e in value.episodes)
    return Dataset(
        value.name,
        kind,
        features,
        summaries,
        source,
        limits,
        task=value.task,
        variations=value.variations,
        absolute_actions=absolute,
        robot="" if value.robot is None else value.robot.name,
        made_by=value.robot,
        policy=value.policy,
    )


def _shape(episode: Episode, camera: str) -> tuple[int, ...]:
    """[frame, height, width, 3] of a camera, without decoding it."""
    cameras = episode.cameras
    return cameras.shapes[camera] if isinstance(cameras, LazyArrays) else cameras[camera].shape


class _Source:
    def __init__(self, value: Demonstrations, limits: Limits) -> None:
        self._value, self._limits = value, limits

    def numbers(self, episode: int, feature: str) -> np.ndarray:
        one = self._value.episodes[episode]
        return one.state if feature == "state" else one.action

    def images(self, episode: int, feature: str, frames: Sequence[int]) -> Iterator[np.ndarray]:
        stored = self._value.episodes[episode].cameras
        if feature not in stored:
            raise InputError(f"{self._value.episodes[episode].name} has no camera {feature!r}.")
        size = int(np.prod(_shape(self._value.episodes[episode], feature), dtype=np.float64))
        if size > self._limits.array_bytes:  # they are decoded all at once
            raise InputError(
                f"{feature} of {self._value.episodes[episode].name} has {size >> 20} MB of pictures; at most "
                f"{self._limits.array_bytes >> 20} MB an episode are read."
            )
        images = stored[feature]
        yield from (images[frame] for frame in frames if frame < len(images))

    def told(self, episode: int) -> list[str] | None:
        """The instruction of every frame, where it changes."""
        one = self._value.episodes[episode]
        return None if one.told is None else [one.instruction_at(frame) for frame in range(one.frames)]

    def extra(self, episode: int, frames: np.ndarray) -> dict[str, Any]:
        """What only our own recordings know: phases, the scene's seed, where things were."""
        one = self._value.episodes[episode]
        truth = {name: array[frames] for name, array in one.ground_truth.items()}
        return {"phase": None if one.phase is None else one.phase[frames], "seed": one.seed, "ground_truth": truth}

    def close(self) -> None:
        pass
