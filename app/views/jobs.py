"""Running work: progress, time left, stop; and failures in words."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from app.answers.jobs import JobLine
from app.views.templates import Macros
from app.words import duration

HTML = Macros("jobs.html")

FIND = "find_heads"


def job_lines(jobs: Sequence[JobLine]) -> Markup:
    """A line for each job that runs or waits, for each that failed until it is dismissed or the same is started
    again, and for the newest where it was stopped, or has found heads. jobs: newest first.

    Finished work shows as its result instead. What each does is read aloud when that changes, not at every percent.
    """
    chosen = [job for i, job in enumerate(jobs) if not job.ended or _counts(job, jobs[:i])]
    if not chosen:
        return Markup()
    told = " ".join(f"{job.title}: {_stage(job)}." for job in reversed(chosen) if job.state != "failed")
    return HTML.lines(told, [(job, _state(job)) for job in reversed(chosen)])


def _counts(job: JobLine, newer: Sequence[JobLine]) -> bool:
    if job.state == "cancelled" or (job.state == "done" and job.function == FIND):
        return not newer and not job.dismissed
    again = any((one.function, one.arguments) == (job.function, job.arguments) for one in newer)
    return job.state == "failed" and not again and not job.dismissed


def _stage(job: JobLine) -> str:
    """What the job does, without how far it is."""
    if job.stopping:
        return "stopping at the next step"
    if job.state == "queued":
        return "starts next" if job.position <= 1 else f"waits, place {job.position} in the queue"
    if job.state == "done":
        return "the heads are found"
    return "stopped" if job.state == "cancelled" else "running"


def _state(job: JobLine) -> str:
    if job.stopping or job.state == "queued":
        soon = job.starts_in_s is None or job.starts_in_s < 5 or job.stopping
        return _stage(job) if soon else f"{_stage(job)}, starts in about {duration(job.starts_in_s or 0)}"
    left = f", {duration(job.left_s)} left" if job.left_s is not None else ""
    return f"{job.message or 'starting'}{left}"
