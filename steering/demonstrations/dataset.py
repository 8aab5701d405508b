"""A dataset from outside, opened but not read: its episodes, its features, and one episode at a time as an `Episode`.

    with open_dataset(path) as dataset:
        episode = dataset.episode(0, guess(dataset).mapping)

A reader makes a `Dataset` with a `Source`, which gives the numbers and pictures of one episode. Everything that a
source gives is checked here against what the reader announced, so that no reader has to.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from steering.demonstrations import column_roles, pictures
from steering.demonstrations.limits import Limits
from steering.demonstrations.mapping import Columns
from steering.demonstrations.mapping import Mapping as DatasetMapping
from steering.errors import InputError, unknown_name
from steering.types import Episode, Robot


@dataclass(frozen=True)
class Feature:
    """What a dataset holds for every frame. kind: `number` or `image`. shape: of one frame, () for a plain number.

    names: of the components where the dataset has them, e.g. of joints. role: of a camera where the dataset says it.
    bgr: whether its red and blue are swapped, None where the dataset does not say.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    dtype: str
    names: tuple[str, ...] = ()
    role: str = ""
    bgr: bool | None = None

    @property
    def either_order(self) -> bool:
        """Whether its red and blue may well be swapped: JPEGs in arrays, which some recorders of ALOHA write so."""
        return self.dtype == "JPEG" and self.bgr is None

    @property
    def size(self) -> int:
        """Numbers in one frame."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class EpisodeSummary:
    """What is known of an episode before it is read. rate_hz: None where the dataset does not say.

    instructions: where there are several in the episode, all of them.
    """

    name: str
    frames: int
    instruction: str
    rate_hz: float | None
    success: bool | None = None
    instructions: tuple[str, ...] = ()

    @property
    def all_instructions(self) -> tuple[str, ...]:
        """The different instructions that are known of it."""
        return self.instructions or ((self.instruction,) if self.instruction else ())


class Source(Protocol):
    """Gives the content of one episode. Raises InputError where a file is not what it should be.

    A source may also have `extra(episode, frames)`, further fields of `Episode`, and `told(episode)`, the instruction
    of every frame, or None where it is that of the summary.
    """

    def numbers(self, episode: int, feature: str) -> np.ndarray:
        """Every frame of a number feature, [frame, ...]."""
        ...

    def images(self, episode: int, feature: str, frames: Sequence[int]) -> Iterator[np.ndarray]:
        """The pictures of the `frames`, which rise: [height, width, 3] or another form that `pictures.rgb` knows, of
        8 bits or of numbers that `pictures.scale_of` brings to them.
        """
        ...

    def close(self) -> None:
        """Close files, and remove what was unpacked."""
        ...


@dataclass(frozen=True)
class Dataset:
    """An open dataset. format: of the files, e.g. `LeRobotDataset v3.0`. robot: what the dataset calls it, or empty.

    task, variations, made_by, policy: of our own recordings, else empty. notices: what the reader passed over, as
    sentences. absolute_actions: whether actions are positions to reach, None where the dataset does not say.
    scales: camera -> what brought its pictures to 8 bits, of those read so far that were other numbers.
    among: the only episodes to look at before some are asked for, as others are fetched first; None for any.
    cleanup: called when it is closed, after the source. absent: episode -> why it cannot be read, as far as is known
    without reading: its files are not there.
    """

    name: str
    format: str
    features: Mapping[str, Feature]
    episodes: tuple[EpisodeSummary, ...]
    source: Source
    limits: Limits
    robot: str = ""
    notices: tuple[str, ...] = ()
    task: str = ""
    variations: tuple[str, ...] = ()
    cleanup: Callable[[], None] | None = None
    absolute_actions: bool | None = None
    made_by: Robot | None = None
    absent: Mapping[int, str] = field(default_factory=dict)
    among: tuple[int, ...] | None = None
    scales: dict[str, float] = field(default_factory=dict)
    policy: str = ""

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; the dataset is not used afterwards."""
        self.source.close()
        if self.cleanup is not None:
            self.cleanup()

    @property
    def rate_hz(self) -> float | None:
        """The rate that all episodes share; None where they differ or none is given."""
        rates = {episode.rate_hz for episode in self.episodes}
        return rates.pop() if len(rates) == 1 else None

    @property
    def candidates(self) -> Sequence[int]:
        """Episodes that guesses and reports may look at."""
        return range(len(self.episodes)) if self.among is None else self.among

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the image features."""
        return tuple(name for name, feature in self.features.items() if feature.kind == "image")

    def robot_of(self, mapping: DatasetMapping) -> Robot | None:
        """What the columns that `mapping` takes are; None for the simulator's own."""
        plain = mapping.grippers is None and mapping.arms is None and mapping.gripper_range is None
        if mapping.layout == "workbench" and plain:
            return self.made_by
        return column_roles.robot_of(self.robot, self.features, mapping)

    def signature(self) -> str:
        """16 hex digits that datasets of the same layout share: format, feature names and sizes, but no content."""
        rows = [(name, f.kind, f.size if f.kind == "number" else 0) for name, f in sorted(self.features.items())]
        return hashlib.sha256(repr((self.format, self.robot, rows)).encode()).hexdigest()[:16]

    def numbers(self, index: int, feature: str) -> np.ndarray:
        """A number feature of an episode: float64 [frame, dim], the axes of one frame flattened."""
        described, summary = self._feature(feature, "number"), self._summary(index)
        if described.size > self.limits.dims:
            raise InputError(f"{feature} has {described.size} numbers a frame; at most {self.limits.dims} are read.")
        found = np.asarray(self.source.numbers(index, feature))
        if found.dtype.kind not in "biuf" or found.shape != (summary.frames, *described.shape):
            raise InputError(
                f"{feature} of {summary.name} should be {summary.frames} frames of {list(described.shape)} numbers, "
                f"but is {found.dtype} {list(found.shape)}. Write the dataset again, or leave this episode out."
            )
        return found.reshape(summary.frames, described.size).astype(np.float64)

    def images(
        self, index: int, feature: str, frames: Sequence[int] | None = None, *, image_px: int | None = None
    ) -> np.ndarray:
        """Pictures of an episode: uint8 [frame, height, width, 3], RGB, as they are stored. `frames` must rise.

        image_px: longest side, larger ones are made smaller; None leaves them.
        """
        announced = self._feature(feature, "image").shape
        if len(announced) > 1 and max(announced) > self.limits.side_px:  # known before a byte is read
            raise InputError(
                f"{feature} has pictures of {list(announced)}; at most {self.limits.side_px} px a side are read."
            )
        summary = self._summary(index)
        wanted = list(range(summary.frames)) if frames is None else [int(frame) for frame in frames]
        if wanted != sorted(set(wanted)) or (wanted and not 0 <= wanted[0] <= wanted[-1] < summary.frames):
            raise InputError(
                f"Expected rising frames of 0 to {summary.frames - 1} of {summary.name}, got {wanted[:8]}."
            )
        found: list[np.ndarray] = []
        for image in self.source.images(index, feature, wanted):
            if image.dtype.kind in "iuf" and image.dtype != np.uint8:
                image = pictures.eight_bits(image, self._scale(feature), feature)
            picture = pictures.smaller(pictures.rgb(image, feature, self.limits.side_px), image_px)
            if found and picture.shape != found[0].shape:
                raise InputError(f"The pictures of {feature} in {summary.name} differ in size; they must be one size.")
            found.append(picture)
            if picture.nbytes * len(wanted) > self.limits.image_bytes:
                raise InputError(
                    f"{len(wanted)} pictures of {feature} would take {picture.nbytes * len(wanted) >> 20} MB; at most "
                    f"{self.limits.image_bytes >> 20} MB are read. Import at a smaller image size or fewer episodes."
                )
        if len(found) != len(wanted):
            raise InputError(
                f"{feature} of {summary.name} has {len(found)} of the {len(wanted)} pictures asked for; "
                "its video or array is cut short. Copy the dataset again, or leave this episode out."
            )
        return np.stack(found) if found else np.zeros((0, 1, 1, 3), np.uint8)

    def episode(
        self,
        index: int,
        mapping: DatasetMapping,
        *,
        frames: Sequence[int] | None = None,
        image_px: int | None = None,
        cameras: bool = True,
    ) -> Episode:
        """Episode `index` as `mapping` says: cameras under their roles, upright; state and action columns in order.

        frames: only those, rising; None for all. cameras: False leaves the pictures out.
        """
        summary = self._summary(index)
        chosen = np.arange(summary.frames) if frames is None else np.asarray(frames, int)
        roles = mapping.cameras.items() if cameras else ()
        shown = {
            role: pictures.turned(self.images(index, camera.feature, list(chosen), image_px=image_px), camera)
            for role, camera in roles
        }
        state, action = (self._columns(index, columns)[chosen] for columns in (mapping.state, mapping.action))
        if mapping.gripper_range is not None and (robot := self.robot_of(mapping)) is not None:
            action, grippers = action.copy(), list(robot.grippers(action.shape[1]))
            action[:, grippers] = sum(mapping.gripper_range) - action[:, grippers]
        rate_hz = mapping.rate_hz or summary.rate_hz
        if rate_hz is None:
            raise InputError(f"{self.name} does not say how many frames a second it has; give the mapping a rate_hz.")
        extra, told = getattr(self.source, "extra", None), getattr(self.source, "told", None)
        pictures_alone = not mapping.state and not mapping.action
        by_frame = None if told is None or mapping.instruction or pictures_alone else told(index)
        return Episode(
            name=summary.name,
            **_said(mapping.instruction or summary.instruction, by_frame, chosen),
            rate_hz=float(rate_hz),
            cameras=shown,
            state=state.astype(np.float32),
            action=action.astype(np.float32),
            success=summary.success,
            absolute_actions=mapping.absolute_actions,
            **({} if extra is None else extra(index, chosen)),
        )

    def _columns(self, index: int, columns: Sequence[Columns]) -> np.ndarray:
        parts = []
        for one in columns:
            values = self.numbers(index, one.feature)
            if one.indices is not None:
                if not all(0 <= i < values.shape[1] for i in one.indices):
                    raise InputError(f"{one.feature} has the columns 0 to {values.shape[1] - 1}, not {one.indices}.")
                values = values[:, list(one.indices)]
            parts.append(values)
        frames = self._summary(index).frames
        return np.concatenate(parts, axis=1) if parts else np.zeros((frames, 0))

    def _scale(self, feature: str) -> float:
        """What brings a camera's pictures to 8 bits, by nine of them: of the dataset's begin, middle and end."""
        if feature not in self.scales:
            seen: list[np.ndarray] = []
            indices = [i for i in self.candidates if self.episodes[i].frames and i not in self.absent] or [0]
            for index in dict.fromkeys((indices[0], indices[len(indices) // 2], indices[-1])):
                last = self._summary(index).frames - 1
                with contextlib.suppress(InputError):  # that episode is named when it is read
                    seen += self.source.images(index, feature, sorted({0, last // 2, last}))
            self.scales[feature] = pictures.scale_of(seen, feature) if seen else 1.0
        return self.scales[feature]

    def _feature(self, name: str, kind: str) -> Feature:
        of_kind = {key: feature for key, feature in self.features.items() if feature.kind == kind}
        if name not in of_kind:
            raise unknown_name(f"{kind} feature", name, of_kind)
        return of_kind[name]

    def _summary(self, index: int) -> EpisodeSummary:
        if not 0 <= index < len(self.episodes):
            raise InputError(f"{self.name} has the episodes 0 to {len(self.episodes) - 1}; there is no {index}.")
        summary = self.episodes[index]
        if not 0 <= summary.frames <= self.limits.frames:
            raise InputError(f"{summary.name} claims {summary.frames} frames; 0 to {self.limits.frames} are read.")
        return summary


def _said(instruction: str, by_frame: Sequence[str] | None, chosen: np.ndarray) -> dict[str, Any]:
    """Fields of an `Episode`: its instruction, and where it changes among the `chosen` frames, that of each."""
    texts = [instruction] if by_frame is None else [by_frame[frame] for frame in chosen] or [instruction]
    different = tuple(dict.fromkeys(texts))
    if len(different) == 1:
        return {"instruction": different[0]}
    told = np.array([different.index(text) for text in texts], np.int16)
    return {"instruction": texts[0], "instructions": different, "told": told}
