"""Running work: progress, time left, stop; and failures in words."""

from __future__ import annotations

from collections.abc import Sequence

from app.answers.jobs import JobLine
from app.views.markup import button, text
from app.words import duration

FIND = "find_heads"


def job_lines(jobs: Sequence[JobLine]) -> str:
    """A line for each job that runs or waits, for each that failed until it is dismissed or the same is started
    again, and for the newest where it was stopped, or has found heads. jobs: newest first.

    Finished work shows as its result instead. What each does is read aloud when that changes, not at every percent.
    """
    chosen = [job for i, job in enumerate(jobs) if not job.ended or _counts(job, jobs[:i])]
    if not chosen:
        return ""
    told = " ".join(f"{job.title}: {_stage(job)}." for job in reversed(chosen) if job.state != "failed")
    shown = "".join(_line(job) for job in reversed(chosen))
    return f'<div class="wb-jobs" data-testid="jobs"><p class="wb-told" role="status">{text(told)}</p>{shown}</div>'


def _counts(job: JobLine, newer: Sequence[JobLine]) -> bool:
    if job.state == "cancelled" or (job.state == "done" and job.function == FIND):
        return not newer and not job.dismissed
    again = any((one.function, one.arguments) == (job.function, job.arguments) for one in newer)
    return job.state == "failed" and not again and not job.dismissed


def _line(job: JobLine) -> str:
    again = button(job.again, "again", job.id, quiet=True) if job.again else ""
    if job.state == "failed":
        return (
            f'<div class="wb-job wb-failed" role="alert"><header><b>{text(job.title)}</b><span>failed</span></header>'
            f'<div class="wb-buttons">{again}{button("Dismiss", "dismiss", job.id, quiet=True)}</div>'
            f"<p>{text(job.error or 'The reason is not known; see worker.log in the store.')}</p></div>"
        )
    if job.state == "done":
        made = text(job.arguments.get("demonstrations_id", ""))
        to_map = f'<a href="?demonstrations={made}&amp;tab=heads">Open the head map</a>'
        return (
            f'<div class="wb-job" data-testid="found"><header><b>{text(job.title)}</b><span>done; the heads are found'
            f"</span></header>{to_map} {button('Dismiss', 'dismiss', job.id, quiet=True)}</div>"
        )
    if job.state == "cancelled":
        at = f"stopped at {job.fraction:.0%}; " if job.fraction else "stopped; "
        stopped = f"<span>{at}finished results are kept</span>"
        return f'<div class="wb-job"><header><b>{text(job.title)}</b>{stopped}</header>{again}</div>'
    stop = button("Stopping" if job.stopping else "Stop", "stop", job.id, quiet=True, disabled=job.stopping)
    percent = f"{100 * job.fraction:.1f}"
    return (
        f'<div class="wb-job" data-method="{text(job.method)}" data-testid="job"><header><b>{text(job.title)}</b>'
        f"<span>{text(_state(job))}</span></header>"
        f'<div class="wb-progress" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent}" '
        f'aria-label="{text(job.title)}"><i style="width:{percent}%"></i></div>{stop}</div>'
    )


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
