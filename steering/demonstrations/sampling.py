"""What a health report looks at: states and actions of many episodes, and a few pictures of some of them."""

from __future__ import annotations

from collections.abc import Mapping as Mapped
from dataclasses import dataclass, field

import numpy as np

from steering.demonstrations.dataset import Dataset
from steering.demonstrations.mapping import Mapping
from steering.errors import InputError
from steering.progress import Progress
from steering.types import Episode, Robot

SHOWN_EPISODES = 8
SHOWN_FRAMES = 4
SHOWN_PX = 96


@dataclass(frozen=True)
class Problem:
    """Something wrong. severity: `error` (not usable), `warning` or `note`. kind: a word for programs.

    words: what it is, a sentence. meaning: what it does to head selection, and what to do. episodes: whose, () for all.
    """

    severity: str
    kind: str
    words: str
    meaning: str
    episodes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sample:
    """What was read. episodes: index -> episode without pictures. unreadable: index -> why.

    pictures: role -> index -> uint8 [SHOWN_FRAMES or fewer, height, width, 3], evenly over the episode, upright as
    mapped, at most SHOWN_PX a side. first_pictures: role -> one picture in its full size [1, height, width, 3].
    dims: numbers of state and action.
    """

    dataset: Dataset
    mapping: Mapping
    episodes: Mapped[int, Episode]
    unreadable: Mapped[int, str]
    pictures: Mapped[str, Mapped[int, np.ndarray]]
    first_pictures: Mapped[str, np.ndarray]
    picture_errors: Mapped[str, str] = field(default_factory=dict)

    @property
    def dims(self) -> tuple[int, int]:
        """Numbers of state and action, (0, 0) where nothing could be read."""
        first = next(iter(self.episodes.values()), None)
        return (0, 0) if first is None else (first.state.shape[1], first.action.shape[1])

    @property
    def robot(self) -> Robot:
        """What the columns of state and action are."""
        return self.dataset.robot_of(self.mapping) or Robot()

    @property
    def alike(self) -> dict[int, Episode]:
        """The episodes of the first one's dimensions, with frames and finite numbers: what statistics are made of."""
        return {
            index: episode
            for index, episode in self.episodes.items()
            if (episode.state.shape[1], episode.action.shape[1]) == self.dims
            and episode.frames
            and np.isfinite(episode.state).all()
            and np.isfinite(episode.action).all()
        }


def read_sample(dataset: Dataset, mapping: Mapping, most: int, progress: Progress) -> Sample:
    """Read up to `most` episodes, evenly over the dataset; what cannot be read is noted, not raised."""
    count = len(dataset.candidates)
    places = np.unique(np.linspace(0, count - 1, min(count, most)).astype(int)).tolist() if count else []
    chosen = [dataset.candidates[place] for place in places]
    episodes: dict[int, Episode] = {}
    unreadable: dict[int, str] = {}
    for done, index in enumerate(chosen):
        progress.report(0.5 * done / len(chosen), f"Reading episode {done + 1} of {len(chosen)}")
        try:
            episodes[index] = dataset.episode(index, _with_rate(dataset, mapping), cameras=False)
        except InputError as error:
            unreadable[index] = str(error)
    shown = [index for index in chosen if index in episodes and episodes[index].frames]
    shown = [shown[i] for i in np.unique(np.linspace(0, len(shown) - 1, SHOWN_EPISODES).astype(int))] if shown else []
    pictures: dict[str, dict[int, np.ndarray]] = {}
    first: dict[str, np.ndarray] = {}
    errors: dict[str, str] = {}
    for at, (role, camera) in enumerate(mapping.cameras.items()):
        alone = Mapping({role: camera}, (), (), rate_hz=1.0)
        for done, index in enumerate(shown):
            progress.report(0.5 + 0.5 * (at + done / len(shown)) / len(mapping.cameras), f"Looking through {role}")
            frames = dataset.episodes[index].frames
            wanted = np.unique(np.linspace(0, frames - 1, SHOWN_FRAMES).astype(int)).tolist()
            try:
                if role not in first:
                    first[role] = dataset.episode(index, alone, frames=wanted[:1]).cameras[role]
                seen = dataset.episode(index, alone, frames=wanted, image_px=SHOWN_PX).cameras[role]
                pictures.setdefault(role, {})[index] = seen
            except InputError as error:
                errors.setdefault(role, str(error))
    return Sample(dataset, mapping, episodes, unreadable, pictures, first, errors)


def _with_rate(dataset: Dataset, mapping: Mapping) -> Mapping:
    """The mapping with some rate, so that episodes of an unknown one can be looked at too."""
    from dataclasses import replace

    known = mapping.rate_hz or all(episode.rate_hz for episode in dataset.episodes)
    return mapping if known else replace(mapping, rate_hz=1.0)
