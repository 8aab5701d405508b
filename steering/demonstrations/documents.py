"""The JSON documents of a dataset as programs read them: its mapping, its health report, and what an upload holds.

`Mapping.document`, `HealthReport.document` and `pipeline.inspect_upload` write them. Fields that older versions did not
write are of a document that may lack some.
"""

from __future__ import annotations

from typing import Literal, TypedDict


class CameraDocument(TypedDict, total=False):
    """A camera of a mapping, as `mapping.Camera`."""

    feature: str
    rotate: int
    mirror: bool
    bgr: bool


class ColumnsDocument(TypedDict):
    """Columns of a mapping, as `mapping.Columns`."""

    feature: str
    indices: list[int] | None


class MappingDocument(TypedDict, total=False):
    """A mapping, or the fields of one that replace those guessed, as `mapping.Mapping`."""

    cameras: dict[str, CameraDocument]
    state: list[ColumnsDocument]
    action: list[ColumnsDocument]
    gripper_range: list[float] | None
    instruction: str | None
    rate_hz: float | None
    layout: str
    absolute_actions: bool
    grippers: list[int] | None
    arms: list[int] | None
    arms_are: str


class FeatureDocument(TypedDict):
    """A feature of a report, as `health.FeatureLine`."""

    name: str
    kind: str
    shape: list[int]
    dtype: str
    used: list[str]


class ProblemDocument(TypedDict):
    """A problem of a report, as `sampling.Problem`."""

    severity: str
    kind: str
    words: str
    meaning: str
    episodes: list[int]


class ReportDocument(TypedDict):
    """A health report, as `health.HealthReport`, and whether the dataset is usable."""

    usable: str
    name: str
    format: str
    robot: str
    episodes: int
    frames: int
    shortest: int
    longest: int
    rate_hz: float | None
    instructions: list[str]
    cameras: dict[str, list[int]]
    state_dims: int
    action_dims: int
    state_names: list[str]
    action_names: list[str]
    features: list[FeatureDocument]
    problems: list[ProblemDocument]
    mapping: MappingDocument
    reasons: list[str]
    examined: int
    signature: str


class PictureDocument(TypedDict, total=False):
    """The first picture of a camera: file, its name beside the document, and size (height, width) as stored; words
    instead where none could be read. either_order: red and blue may well be swapped.
    """

    feature: str
    file: str
    size: list[int]
    words: str
    either_order: bool


class DatasetDocument(TypedDict):
    """What an upload of demonstrations holds. components: number feature -> the names of its numbers; episodes: rows of
    name, frames and instruction.
    """

    kind: Literal["demonstrations"]
    report: ReportDocument
    guessed: MappingDocument
    components: dict[str, list[str]]
    pictures: list[PictureDocument]
    episodes: list[list[str | int]]


class OutputsDocument(TypedDict):
    """What an upload of head outputs holds: the tasks in the file of this name."""

    kind: Literal["activations"]
    name: str
    tasks: list[str]
