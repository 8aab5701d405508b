"""The numbers of a finetune in the logger that people have: TensorBoard, trackio or Weights & Biases.

accelerate's trackers do the writing, so whatever they are told by environment variables (WANDB_MODE, TRACKIO_DIR, …)
holds. Loss and held-out error are logged at the steps at which the run reports them. What a logger prints goes to
standard error. None of the three is needed for anything else, and none is installed with this package (the extra
`loggers`). Costs what the logger costs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from steering.errors import InputError, unknown_name
from steering.progress import Report

LOGGERS = {"tensorboard": "tensorboard", "trackio": "trackio", "wandb": "wandb"}
"""Name -> the package to install."""
STEP = "step"

Sink = Callable[[Report], None]


@contextmanager
def logged(name: str | None, project: str, settings: Mapping[str, Any], folder: Path, beside: Sink) -> Iterator[Sink]:
    """A sink of progress that also logs its numbers, while the context is open; `beside` alone where `name` is None.

    project: what the logger calls these runs. settings: plain values of this run. folder: for loggers that write files.
    Raises NotFound for an unknown logger, InputError where it is not installed.
    """
    if name is None:
        yield beside
        return
    with redirect_stdout(sys.stderr):
        tracker = _tracker(name, project, folder)
    last: dict[str, float] = {}

    def sink(report: Report) -> None:
        beside(report)
        numbers = dict(report.metrics)
        step = numbers.pop(STEP, None)
        moved = {key: value for key, value in numbers.items() if last.get(key) != value}
        if step is not None and moved:  # a held-out error is reported until there is a newer one
            last.update(moved)
            tracker.log(moved, step=int(step))

    try:
        tracker.store_init_configuration({key: _plain(value) for key, value in settings.items()})
        yield sink
    finally:
        with redirect_stdout(sys.stderr):
            _finish(name, tracker)


def _tracker(name: str, project: str, folder: Path) -> Any:
    """accelerate's tracker of that name, started."""
    if name not in LOGGERS:
        raise unknown_name("logger", name, LOGGERS)
    from accelerate import PartialState, tracking  # type: ignore[import-untyped]

    PartialState()  # trackers ask it which process they are
    if name not in [one.value for one in tracking.get_available_trackers()]:
        raise InputError(f"The logger {name!r} is not installed; install it: pip install {LOGGERS[name]}")
    kind = tracking.LOGGER_TYPE_TO_CLASS[name]
    needs_folder = {"logging_dir": folder} if kind.requires_logging_directory else {}
    tracker = kind(project, **needs_folder)
    tracker.start()
    return tracker


def _finish(name: str, tracker: Any) -> None:
    if name == "trackio":  # by its module: a run that is ended by itself is ended again at exit, and printed of
        import trackio

        trackio.finish()
    else:
        tracker.finish()


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)
