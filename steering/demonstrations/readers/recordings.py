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
from steering.types import ACTION_NAMES, STATE_NAMES, Demonstrations


def open_recordings(folder: Path, limits: Limits) -> Dataset:
    """The dataset of one artefact folder; names of cameras, state and action are those of `Episode`."""
    value = serialisation.decode(folder)
    if not isinstance(value, Demonstrations):
        raise InputError(f"{folder.name} holds {type(value).__name__}, not demonstrations. Choose another folder.")
    summaries = tuple(EpisodeSummary(e.name, e.frames, e.instruction, e.rate_hz, e.success) for e in value.episodes)
    features: dict[str, Feature] = {}
    if value.episodes:
        first = value.episodes[0]
        features = {camera: Feature(camera, "image", (0, 0, 3), "video") for camera in first.cameras}
        for name, array, names in (("state", first.state, STATE_NAMES), ("action", first.action, ACTION_NAMES)):
            known = names if array.ndim == 2 and array.shape[1] == len(names) else ()
            features[name] = Feature(name, "number", array.shape[1:], str(array.dtype), known)
    source = _Source(value)
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
    )


class _Source:
    def __init__(self, value: Demonstrations) -> None:
        self._value = value

    def numbers(self, episode: int, feature: str) -> np.ndarray:
        one = self._value.episodes[episode]
        return one.state if feature == "state" else one.action

    def images(self, episode: int, feature: str, frames: Sequence[int]) -> Iterator[np.ndarray]:
        stored = self._value.episodes[episode].cameras
        if feature not in stored:
            raise InputError(f"{self._value.episodes[episode].name} has no camera {feature!r}.")
        images = stored[feature]
        yield from (images[frame] for frame in frames if frame < len(images))

    def extra(self, episode: int, frames: np.ndarray) -> dict[str, Any]:
        """What only our own recordings know: phases, the scene's seed, where things were."""
        one = self._value.episodes[episode]
        truth = {name: array[frames] for name, array in one.ground_truth.items()}
        return {"phase": None if one.phase is None else one.phase[frames], "seed": one.seed, "ground_truth": truth}

    def close(self) -> None:
        pass
