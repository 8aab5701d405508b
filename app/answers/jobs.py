"""Jobs as the page shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class JobLine:
    """A job as the page shows it. state: one of steering.jobs.queue.STATES. method: where the work has one. again: what
    starting it once more is called, empty where that is offered elsewhere. dismissed: whether its failure was read.
    starts_in_s: about how long it waits, None where it does not.
    """

    id: str
    title: str
    state: str
    fraction: float
    message: str
    left_s: float | None
    position: int = 0
    error: str | None = None
    result: str | None = None
    method: str = ""
    function: str = ""
    arguments: Mapping[str, object] = field(default_factory=dict)
    stopping: bool = False
    again: str = ""
    dismissed: bool = False
    starts_in_s: float | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state not in ("queued", "running")


@dataclass(frozen=True)
class Pending:
    """A job that an answer waits for, in words; `failed` where there will be none. job_id: to stop it. left_s: None
    where not known.
    """

    message: str
    failed: bool = False
    job_id: str = ""
    left_s: float | None = None


@dataclass(frozen=True)
class Ended:
    """A job asked below the map that ended well: `function` of the pipeline, the id of its result, and when."""

    function: str
    result: str
    ended_s: float
