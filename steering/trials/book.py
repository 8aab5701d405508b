"""The book of the trials: a folder with the plan, and a file in which every trial is a line, written at once.

    book = create(folder, plan)
    book.next()                      # block 1, usual, A
    book.record("success", note="slow")
    book.undo()

`plan.json` is never written again. `trials.jsonl` is only added to, each line on the disk before `record` returns; an
undo is a line too, so that nothing is ever lost. A line that a crash cut off was never confirmed and is passed over.
Several processes may use a book at a time (the operator's, the policy server's).
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from steering.errors import InputError, NotFound, unknown_name
from steering.trials.plan import schedule
from steering.types import NO_STAGE, TRIAL_OUTCOMES, Trial, TrialPlan, TrialSlot

PLAN, TRIALS, MEDIA = "plan.json", "trials.jsonl", "media"
MOST_NOTE = 2000
MEDIA_KINDS = (".jpg", ".jpeg", ".png", ".webp", ".mp4", ".mov", ".webm")
MOST_MEDIA_BYTES = 2 << 30


def create(folder: Path, plan: TrialPlan) -> Book:
    """A new book in a new or empty folder."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is in use; give an empty folder or a new name.")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TRIALS).touch()
    with (folder / PLAN).open("x", encoding="utf-8") as file:
        json.dump(dataclasses.asdict(plan), file, indent=1)
        _to_disk(file)
    return Book(folder, plan)


def open_book(folder: Path) -> Book:
    """The book in a folder. Raises NotFound where there is none, InputError where its plan cannot be read."""
    path = folder / PLAN
    if not path.is_file():
        raise NotFound(f"There is no trial book in {folder}. `python -m steering trial plan` makes one.")
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        lists = {name: tuple(given[name]) for name in ("methods", "conditions", "stages")}
        return Book(folder, TrialPlan(**{**given, **lists}))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"The plan of {folder} cannot be read ({error}). Copy the folder again.") from None


class Book:
    """See the module. slots: every trial of the plan, in order."""

    def __init__(self, folder: Path, plan: TrialPlan) -> None:
        self.folder, self.plan, self.slots = folder, plan, schedule(plan)
        self._known: tuple[tuple[int, int], TrialSlot | None] | None = None

    def trials(self) -> list[Trial]:
        """What was recorded and not undone, void trials among it, in the order in which it was recorded."""
        found: list[Trial] = []
        for line in self._lines():
            if "undo" in line:
                found = found[:-1]
            elif "outcome" in line:
                found.append(self._trial(line))
        return found

    @property
    def unblinded(self) -> bool:
        """Whether somebody has asked which letter was which method."""
        return any("unblinded" in line for line in self._lines())

    def next(self) -> TrialSlot | None:
        """The trial to run now: the first that has no outcome; None where all have."""
        return self._next(self.trials())

    def method_now(self) -> str:
        """The method of the trial to run now, for the policy server: microseconds while nothing is recorded.

        Raises InputError where every trial has an outcome.
        """
        stat = (self.folder / TRIALS).stat()
        state = (stat.st_mtime_ns, stat.st_size)
        if self._known is None or self._known[0] != state:
            self._known = (state, self.next())
        slot = self._known[1]
        if slot is None:
            raise InputError("Every trial of the plan has an outcome, so there is none to run.")
        return slot.method

    def _next(self, trials: list[Trial]) -> TrialSlot | None:
        done = {trial.slot.number for trial in trials if trial.outcome != "void"}
        return next((slot for slot in self.slots if slot.number not in done), None)

    def record(self, outcome: str, *, progress: str | None = None, note: str = "", media: Path | None = None) -> Trial:
        """Write how the trial that `next` names ended. progress: the last of the plan's stages reached, NO_STAGE where
        none was, None where nobody says.

        media: a photograph or film, copied into the book. Raises InputError, in words, and then writes nothing.
        """
        if outcome not in TRIAL_OUTCOMES:
            raise unknown_name("outcome", outcome, TRIAL_OUTCOMES)
        stages = self.plan.stages
        reachable = (NO_STAGE, *stages) if stages else ()
        if progress is not None and progress not in reachable:
            raise unknown_name("stage of this plan", progress, reachable)
        if len(note) > MOST_NOTE:
            raise InputError(f"Expected a note of at most {MOST_NOTE} characters, got {len(note)}.")
        with self._locked() as file:
            slot = self.next()
            if slot is None:
                raise InputError("Every trial of the plan has an outcome. `trial report` says what they show.")
            reached = None if progress is None else reachable.index(progress)
            if outcome == "success" and stages:
                reached = len(stages)
            line = {"slot": slot.number, "outcome": outcome, "progress": reached, "note": note}
            line |= {"media": "" if media is None else self._keep(slot, media), "at": _now()}
            self._append(file, line)
            return self._trial(line)

    def undo(self) -> Trial:
        """Take back the last trial that was recorded; it is run again."""
        with self._locked() as file:
            trials = self.trials()
            if not trials:
                raise InputError("No trial is recorded, so there is none to undo.")
            self._append(file, {"undo": trials[-1].slot.number, "at": _now()})
            return trials[-1]

    def unblind(self) -> None:
        """Keep that the methods' names were asked for: trials after that were not blinded."""
        if not self.unblinded:
            with self._locked() as file:
                self._append(file, {"unblinded": True, "at": _now()})

    def _trial(self, line: Mapping[str, Any]) -> Trial:
        rest = {name: line[name] for name in ("outcome", "progress", "note", "media", "at")}
        return Trial(self.slots[line["slot"]], **rest)

    def _lines(self) -> list[dict[str, Any]]:
        path = self.folder / TRIALS
        found = []
        for number, line in enumerate(path.read_bytes().split(b"\n")[:-1]):  # what follows the last end was cut off
            try:
                value = json.loads(line)
                if not isinstance(value, dict) or not 0 <= int(value.get("slot", 0)) < len(self.slots):
                    raise ValueError("no trial of this plan")
            except (ValueError, TypeError) as error:
                raise InputError(
                    f"Line {number + 1} of {path} cannot be read ({error}). Take it from a copy of the file; nothing "
                    "is written into a book that is damaged."
                ) from None
            found.append(value)
        return found

    @contextmanager
    def _locked(self) -> Iterator[IO[bytes]]:
        with (self.folder / TRIALS).open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._lines()  # damaged: nothing is written
            yield file

    def _append(self, file: IO[bytes], line: Mapping[str, Any]) -> None:
        content = file.read()
        file.seek(content.rfind(b"\n") + 1)
        file.truncate()  # what a crash cut off
        file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        _to_disk(file)

    def _keep(self, slot: TrialSlot, media: Path) -> str:
        kind = media.suffix.lower()
        if kind not in MEDIA_KINDS or not media.is_file() or media.stat().st_size > MOST_MEDIA_BYTES:
            raise InputError(f"Expected a picture or film ({', '.join(MEDIA_KINDS)}) of at most 2 GB; {media} is none.")
        (self.folder / MEDIA).mkdir(exist_ok=True)
        number = len([one for one in (self.folder / MEDIA).iterdir() if one.name.startswith(f"{slot.number:04d}-")])
        name = f"{slot.number:04d}-{number}{kind}"
        shutil.copyfile(media, self.folder / MEDIA / name)
        return name


def _to_disk(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
