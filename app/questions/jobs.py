"""The jobs of whoever asks."""

from __future__ import annotations

import time
from dataclasses import replace

from app.answers.jobs import JobLine
from app.questions import training
from app.questions.context import Context
from app.visitors import owner
from app.words import without_places
from steering.errors import InputError
from steering.jobs.queue import JobStatus
from steering.pipeline import RESUMABLE

_TITLES = {
    "record": "Recording demonstrations",
    "inspect_upload": "Looking at your upload",
    "import_upload": "Importing your upload",
    "find_heads": "Finding heads",
    "attention": "Computing attention",
    "measure": "Measuring heads",
    "attribute": "Measuring heads with the policy",
    "head_change": "Scoring the finetuned heads",
    "package_policy": "Exporting the policy",
    "trust": "Measuring intervals and chance",
    "select": "Growing a head set",
    "evaluate": "Running the methods in the same scenes",
    "operate": "Running scenes with heads changed",
    "sweep_strength": "Running an adapter at several strengths",
    "open_loop": "Predicting held-out action chunks",
    "open_policy": "Opening a policy",
}


_AGAIN_ELSEWHERE = ("inspect_upload", "import_upload", "open_policy")  # their forms stay, filled in


_KEEP_ENDED_S, _KEPT_JOBS = 3600.0, 40


def work(context: Context) -> list[JobLine]:
    """The jobs of whoever asks, newest first; ended ones for an hour."""
    since_s = time.time() - _KEEP_ENDED_S
    return [
        replace(_line(context, status), dismissed=status.id in context.dismissed)
        for status in context.jobs.recent(owner(), limit=_KEPT_JOBS)
        if not status.ended or (status.ended_s or 0) > since_s
    ]


def stop(context: Context, job_id: str) -> None:
    """Stop one's own job."""
    context.jobs.cancel(_own_job(context, job_id).id)


def again(context: Context, job_id: str) -> None:
    """Start an ended job of one's own once more, as it was asked for; a training goes on from its checkpoint."""
    job = _own_job(context, job_id)
    if job.ended:
        context.submit(job.function, **job.arguments)


def dismiss(context: Context, job_id: str) -> None:
    """Show the failure of a job of one's own no more."""
    context.dismissed.add(_own_job(context, job_id).id)


def _own_job(context: Context, job_id: str) -> JobStatus:
    """A job of whoever asks; on a server of one's own, any. Raises InputError for somebody else's."""
    status = context.jobs.status(job_id)
    if context.store.apart and status.visitor != owner():
        raise InputError("This is somebody else's job. You can stop, repeat and dismiss your own.")
    return status


def _again(function: str) -> str:
    if function in _AGAIN_ELSEWHERE:
        return ""
    return "Continue" if function in RESUMABLE else "Try again"


def _line(context: Context, status: JobStatus) -> JobLine:
    method = str(status.arguments.get("method", ""))
    title = (
        f"Finetuning: {training.name_of(context, status.arguments)}"
        if status.function == "finetune"
        else _TITLES.get(status.function, status.function)
    )
    return JobLine(
        id=status.id,
        title=title,
        state=status.state,
        fraction=status.fraction,
        message=status.message,
        left_s=status.left_s,
        position=status.position,
        error=None if status.error is None else without_places(status.error),
        result=status.result,
        method=method,
        function=status.function,
        arguments=status.arguments,
        stopping=status.cancel_requested and not status.ended,
        again=_again(status.function),
        starts_in_s=status.starts_in_s,
    )
