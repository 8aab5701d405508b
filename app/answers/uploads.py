"""Uploads, their mapping and the health of a dataset."""

from __future__ import annotations

from dataclasses import dataclass

from steering.types import Head

MOST_ROWS = 8


@dataclass(frozen=True)
class Finding:
    """One problem. severity: one of SEVERITIES; meaning: what it does to head selection, and what to do. episodes: of
    the dataset, () for all.
    """

    severity: str
    words: str
    meaning: str
    episodes: tuple[int, ...] = ()


@dataclass(frozen=True)
class HealthCard:
    """A report. usable: one of VERDICTS. cameras: (role, height, width). dims: of state and action."""

    name: str
    usable: str
    format: str
    robot: str
    episodes: int
    frames: int
    shortest: int
    longest: int
    rate_hz: float | None
    cameras: tuple[tuple[str, int, int], ...]
    dims: tuple[int, int]
    instructions: tuple[str, ...]
    findings: tuple[Finding, ...]
    examined: int


@dataclass(frozen=True)
class Camera:
    """An image feature. url: of its first picture, empty with `words` where there is none. size: (height, width).

    role: empty where it is left out. rotate: degrees clockwise, then mirror; bgr: red and blue are swapped;
    either_order: they may well be, so that both pictures are shown.
    """

    feature: str
    url: str
    size: tuple[int, ...]
    words: str
    role: str
    rotate: int
    mirror: bool
    bgr: bool
    either_order: bool = False


@dataclass(frozen=True)
class Columns:
    """Columns of a number feature: `0-6, 13`, or empty for all."""

    feature: str
    chosen: str


@dataclass(frozen=True)
class NumberFeature:
    """Numbers of every frame, and what the dataset calls them where it does."""

    name: str
    shape: tuple[int, ...]
    components: tuple[str, ...]


@dataclass(frozen=True)
class UploadCard:
    """An upload as the page shows it. phase: one of PHASES. error: of the last job, empty where it ended well.

    episodes: how many there are, `chosen` which are imported (`0-6, 13`, empty for all), left_out: those with problems.
    gripper: the range that is turned over. grippers: their places in the action, arms: the arms' in the state, as
    `0-6, 13`, `none`, or empty where names and sizes say it; arms_are: `joints` or `pose`.
    tasks: of a file of head outputs instead of demonstrations. made: id of what was imported; heads, selection: the
    best heads of head outputs, and the file to keep.
    """

    id: str
    name: str
    phase: str
    error: str = ""
    layout: str = ""
    reasons: tuple[str, ...] = ()
    cameras: tuple[Camera, ...] = ()
    numbers: tuple[NumberFeature, ...] = ()
    state: tuple[Columns, ...] = ()
    action: tuple[Columns, ...] = ()
    gripper: tuple[float, ...] | None = None
    grippers: str = ""
    arms: str = ""
    arms_are: str = "joints"
    absolute_actions: bool = False
    instruction: str = ""
    instructions: tuple[str, ...] = ()
    rate_hz: float | None = None
    episodes: int = 0
    chosen: str = ""
    left_out: tuple[int, ...] = ()
    health: HealthCard | None = None
    tasks: tuple[str, ...] = ()
    made: str = ""
    heads: tuple[Head, ...] = ()
    errors: tuple[float, float] | None = None
    selection: str = ""
