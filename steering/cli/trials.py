"""`trial`: trials on a robot, planned, blinded, recorded by a key, and judged at every look (docs/ROBOT.md)."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from steering.cli.frame import PolicyOption, SeedOption, app, print_json
from steering.errors import InputError
from steering.trials import exchange
from steering.trials.book import Book, create, open_book
from steering.trials.plan import power_words
from steering.trials.progress import progress_verdicts
from steering.trials.report import report as report_text
from steering.trials.report import sentences
from steering.trials.verdict import judge, verdicts, words
from steering.types import METHOD_LABELS, NO_STAGE, TRIAL_OUTCOMES, TrialPlan

KEYS = {"s": "success", "f": "failure", "v": "void"}
BookArgument = Annotated[Path, typer.Argument(help="The folder of the trial book.")]
_trial = typer.Typer(help="Trials on a robot: plan, run, record, judge.", no_args_is_help=True)
app.add_typer(_trial, name="trial")


@_trial.command("plan")
def plan_trials(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder for the book.")],
    method: Annotated[
        list[str],
        typer.Option(help="A name, or name=adapter's id; repeatable, the first is what others are compared with."),
    ],
    condition: Annotated[list[str] | None, typer.Option(help="Of the set-up; repeatable.")] = None,
    blocks: Annotated[int, typer.Option(help="Most blocks; in each every method runs once from the same start.")] = 40,
    matters: Annotated[float, typer.Option(help="The difference of success rates that matters, 0 to 1.")] = 0.2,
    expected: Annotated[float, typer.Option(help="The first method's success rate, as expected.")] = 0.5,
    alpha: Annotated[float, typer.Option(help="Chance of showing a difference that is none.")] = 0.05,
    stage: Annotated[list[str] | None, typer.Option(help="Of partial progress, in order; repeatable.")] = None,
    policy: PolicyOption = "embedded",
    seed: SeedOption = 0,
) -> None:
    """Make a book: blocks in random order, letters drawn in each, and what the plan can show."""
    named = [one.partition("=") for one in method]
    plan = TrialPlan(
        methods=tuple(name for name, _, _ in named),
        conditions=tuple(condition or ("usual",)),
        blocks=blocks,
        matters=matters,
        expected=expected,
        alpha=alpha,
        stages=tuple(stage or ()),
        adapters={name: adapter for name, _, adapter in named if adapter},
        policy=policy,
        seed=seed,
    )
    said = power_words(plan)
    book = create(folder, plan)
    print(said)
    print_json({"book": str(folder), "trials": len(book.slots)})


@_trial.command("next")
def next_trial(folder: BookArgument) -> None:
    """The trial to run now, by its letter."""
    print(_now(open_book(folder)))


@_trial.command("record")
def record_trial(
    folder: BookArgument,
    outcome: Annotated[str, typer.Argument(help=", ".join(TRIAL_OUTCOMES))],
    progress: Annotated[str | None, typer.Option(help="The last of the plan's stages reached, or nothing.")] = None,
    note: str = "",
    media: Annotated[Path | None, typer.Option(help="A photograph or film, copied into the book.")] = None,
) -> None:
    """Write how the trial that `next` names ended, then say what all of them show."""
    book = open_book(folder)
    book.record(outcome, progress=progress, note=note, media=media)
    print(*_verdicts(book), _now(book), sep="\n")


@_trial.command("undo")
def undo_trial(folder: BookArgument) -> None:
    """Take back the last trial; it is run again."""
    book = open_book(folder)
    taken = book.undo()
    print(f"Taken back: block {taken.slot.block}, {taken.slot.letter}, {taken.outcome}.", _now(book), sep="\n")


@_trial.command("run")
def run_trials(folder: BookArgument) -> None:
    """One key for each trial, until q: s success, f failure, v void, u undo, n a note to the next key."""
    book, note = open_book(folder), ""
    print(*_verdicts(book), _now(book), sep="\n")
    while book.next() is not None:
        key = (typer.getchar() if sys.stdin.isatty() else sys.stdin.read(1) or "q").lower()
        if key in ("q", "\x03", "\x04"):
            break
        if key == "n":
            note = typer.prompt("note")
        elif key == "u":
            _undo(book)
        elif key in KEYS:
            book.record(KEYS[key], progress=_stage(book, KEYS[key]), note=note)
            note = ""
            print(f"{KEYS[key]}.", *_verdicts(book), _now(book), sep="\n")


def _undo(book: Book) -> None:
    try:
        taken = book.undo()
        print(f"Taken back: block {taken.slot.block}, {taken.slot.letter}, {taken.outcome}.", _now(book), sep="\n")
    except InputError as error:
        print(error)


def _stage(book: Book, outcome: str) -> str | None:
    """Of a failure, how far it came: one digit, on a terminal."""
    stages = book.plan.stages
    if outcome != "failure" or not stages or not sys.stdin.isatty():
        return None
    print(f"How far? 0 {NO_STAGE}, " + ", ".join(f"{i + 1} {stage}" for i, stage in enumerate(stages)))
    key = typer.getchar()
    return (NO_STAGE, *stages)[int(key)] if key.isdigit() and int(key) <= len(stages) else None


@_trial.command("status")
def status(folder: BookArgument) -> None:
    """What the trials show so far, without the methods' names."""
    book = open_book(folder)
    print(*_verdicts(book), _now(book), sep="\n")
    done = len({trial.slot.number for trial in book.trials() if trial.outcome != "void"})
    print_json({"book": str(folder), "done": done, "trials": len(book.slots), "unblinded": book.unblinded})


@_trial.command("report")
def report(
    folder: BookArgument,
    csv: Annotated[Path | None, typer.Option(help="Also write every trial to this CSV file.")] = None,
    eval_info: Annotated[
        Path | None, typer.Option(help="Also write METHOD/eval_info.json, as lerobot-eval does, below this folder.")
    ] = None,
) -> None:
    """Everything that the trials show, by the methods' names. The book keeps that it was asked before the end."""
    book = open_book(folder)
    if book.next() is not None:
        book.unblind()
    trials = book.trials()
    if csv is not None:
        exchange.write_csv(csv, trials)
    written = [] if eval_info is None else exchange.write_eval_info(eval_info, book.plan, trials)
    print(report_text(book, METHOD_LABELS))
    files = [str(path) for path in (*([csv] if csv else []), *written)]
    said = {"verdicts": [asdict(one) for one in verdicts(book.plan, trials)]}
    print_json({**said, "progress": [asdict(one) for one in progress_verdicts(book.plan, trials)], "files": files})


@_trial.command("compare")
def compare(
    first: Annotated[str, typer.Argument(help="NAME=FILE: eval_info.json of lerobot-eval, or a CSV of one method.")],
    second: Annotated[str, typer.Argument(help="The other, on the same starts.")],
    matters: Annotated[float, typer.Option(help="The difference of success rates that matters, 0 to 1.")] = 0.2,
    alpha: Annotated[float, typer.Option(help="Chance of showing a difference that is none.")] = 0.05,
) -> None:
    """Judge two files of results by the same tests; of a CSV with several methods, the one called NAME."""
    (one, at), (other, where) = (given.partition("=")[::2] for given in (first, second))
    outcomes = [_of_method(name, Path(path)) for name, path in ((one, at), (other, where))]
    differences = exchange.paired_outcomes(outcomes[1], outcomes[0])
    plan = TrialPlan((one, other), blocks=len(differences), matters=matters, alpha=alpha)
    verdict = judge(differences, other, one, plan)
    print(words(verdict, plan, {}))
    print_json(asdict(verdict))


def _of_method(name: str, path: Path) -> dict[tuple[str, ...], bool]:
    found = exchange.read_outcomes(path)
    if name in found:
        return found[name]
    if len(found) > 1:
        raise InputError(f"{path.name} holds {', '.join(sorted(found))}; give one of them as NAME=FILE.")
    return next(iter(found.values()))


def _verdicts(book: Book) -> list[str]:
    return sentences(book.plan, book.trials())


def _now(book: Book) -> str:
    slot = book.next()
    if slot is None:
        return "Every trial has an outcome. `trial report` names the methods."
    return f"Now block {slot.block} of {book.plan.blocks}, {slot.condition}: {slot.letter}."
