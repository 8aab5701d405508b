"""Lessons, and classes that take them together: predictions, votes and runs without names, in one chart.

Whoever makes a class is its teacher, known by cookie or by the secret that making it told; whoever opens its link is a
learner. A learner sees their own things and the samples, and what links opened for them, on every server.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from app.answers.classes import ClassCard, ClassChart, ClassRun, Lesson, Tally
from app.classbook import KEEP_S, Answer, Entry
from app.lessons import LESSONS
from app.questions import results
from app.questions.context import Context
from app.untrusted import one_of
from app.visitors import owner, party
from app.words import LABELS
from steering.errors import InputError, SteeringError
from steering.types import Comparison

SAME = "same"
"""The vote for no difference."""
MOST_TITLE = 80
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def lessons(context: Context) -> list[Lesson]:
    """The lessons of the Learn step in their order: what each asks, its choices, and what there is to do."""
    del context
    return list(LESSONS)


def make_class(context: Context, title: str = "") -> ClassCard:
    """A new class of whoever asks, its teacher. Its code goes into the learners' link as `class=`; its secret opens the
    teacher's view in another browser, and is told only now.
    """
    called = " ".join(title.split())[:MOST_TITLE] or time.strftime("Class of %-d %B")
    code, secret = context.classes.make(called, owner(), party())
    return _card(context.classes.entry(code), secret=secret)


def classes(context: Context) -> list[ClassCard]:
    """The classes that you made, the last used first."""
    return [_card(one) for one in context.classes.taught(owner())]


def join_class(context: Context, code: str) -> ClassCard:
    """Take part in a class: what you predict, vote and train from here on counts there, without your name. Its teacher
    does not become a learner.
    """
    found = context.classes.entry(code)
    since_s = 0.0 if found.teacher == owner() else context.classes.join(code, owner())
    return _card(context.classes.entry(code), since_s=since_s)


def leave_class(context: Context, code: str) -> None:
    """Take part no more; what you answered there is deleted."""
    context.classes.leave(code, owner())


def class_prediction(
    context: Context, code: str, lesson: str, choice: str, found: str = "", revealed: bool = False
) -> None:
    """Tell a class what you predict in a lesson. A later one takes the place of an earlier one until the reveal.
    revealed: this is the reveal; found: the choice that your own data then showed to be right, empty where they do
    not say.
    """
    one = next(one for one in LESSONS if one.id == one_of(lesson, [one.id for one in LESSONS], "lesson"))
    names = [choice.name for choice in one.choices]
    answer, said = one_of(choice, names, "choice"), one_of(found, ["", *names], "found")
    _learner(context, code)
    context.classes.note(code, owner(), "prediction", lesson, answer, found=said if revealed else "", final=revealed)


def class_vote(context: Context, code: str, comparison_id: str, scene: int, method: str) -> None:
    """Tell a class which method did a scene of a comparison best, by a blind vote; `same` for no difference. scene: its
    seed. The first vote on a scene counts.
    """
    shown = context.store.kept(comparison_id)
    if not isinstance(shown, Comparison):
        raise InputError("Expected the id of a comparison, such as `comparisons` lists.")
    one_of(method, [SAME, *(rate.method for rate in shown.rates)], "method")
    if scene not in shown.seeds:
        raise InputError(f"This comparison has no scene of seed {scene}. `compared` lists its seeds.")
    _learner(context, code)
    context.classes.note(code, owner(), "vote", f"{comparison_id}/{scene}", method)


def class_run(context: Context, code: str, run_id: str) -> None:
    """Tell a class of a finetune of yours, asked for since you joined; what it tells is read from the run itself."""
    since_s = _learner(context, code)
    if context.store.owners.own(owner()).get(run_id, 0.0) < since_s or not run_id.startswith("adapter-"):
        raise InputError("This is no finetune that you asked for since you joined the class. Finetune first.")
    row = results.row(context, run_id)
    before, after = row.heldout or (None, None)
    run = ClassRun(row.method, row.control, row.demonstrations, row.heads, row.steps, row.seed, before, after)
    context.classes.note(code, owner(), "run", run_id, json.dumps(asdict(run)))


def class_chart(context: Context, code: str, secret: str = "") -> ClassChart:
    """What a class has answered so far, for its teacher: counts alone. secret: as making the class told it, needed
    where another browser made it.
    """
    found = context.classes.teaches(code, owner(), secret)
    given = context.classes.answers(code)
    votes = Counter(LABELS.get(one.answer, one.answer) for one in given if one.kind == "vote")
    runs = tuple(_run(one) for one in given if one.kind == "run")
    return ClassChart(found.title, found.learners, _tallies(given), dict(votes), runs)


def class_table(context: Context, code: str, secret: str = "") -> str:
    """Every answer of a class as comma-separated values, for its teacher: a number for the learner, drawn at random,
    and no name.
    """
    context.classes.teaches(code, owner(), secret)
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    columns = ("method", "control", "demonstrations", "heads", "steps", "seed", "before", "after")
    table.writerow(["learner", "kind", "question", "answer", "data_say", *columns])
    for one in sorted(context.classes.answers(code), key=lambda one: (one.number, one.kind, one.question)):
        run = asdict(_run(one)) if one.kind == "run" else {}
        answer = "" if run else one.answer
        cells = [one.kind, one.question, answer, one.found, *(run.get(name, "") for name in columns)]
        table.writerow([one.number, *("" if cell is None else _cell(cell) for cell in cells)])
    return file.getvalue()


def close_class(context: Context, code: str, secret: str = "") -> None:
    """Delete a class with everything that was answered there."""
    context.classes.teaches(code, owner(), secret)
    context.classes.close(code)


def join_by_link(context: Context, code: str) -> str:
    """Join the class of a link; what stands in the way, in words, else an empty string."""
    if not code:
        return ""
    try:
        join_class(context, code)
    except SteeringError as error:
        return str(error)
    return ""


def _learner(context: Context, code: str) -> float:
    """Since when whoever asks takes part, which they do from here on, in seconds since the epoch. Raises InputError for
    the teacher, who does not.
    """
    since_s = join_class(context, code).since_s
    if since_s == 0:
        raise InputError("You are the teacher of this class, so your own answers do not count. Use another browser.")
    return since_s


def _tallies(given: Sequence[Answer]) -> tuple[Tally, ...]:
    found = []
    for lesson in LESSONS:
        own = [one for one in given if one.kind == "prediction" and one.question == lesson.id]
        answers, said = Counter(one.answer for one in own), Counter(one.found for one in own if one.found)
        names = [choice.name for choice in lesson.choices]
        found.append(
            Tally(
                lesson.id, {name: answers[name] for name in names}, {name: said[name] for name in names if said[name]}
            )
        )
    return tuple(found)


def _run(one: Answer) -> ClassRun:
    return ClassRun(**json.loads(one.answer))


def _card(found: Entry, secret: str = "", since_s: float = 0.0) -> ClassCard:
    until = time.strftime("%-d %B", time.gmtime(found.used_s + KEEP_S))
    return ClassCard(found.code, found.title, found.learners, until, secret, since_s)


def _cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
