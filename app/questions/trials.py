"""Trials on a robot: the books of this server, planned, recorded and read. None where strangers use it."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from app.answers.trials import BookCard, Trials
from app.questions import comparison
from app.questions.context import Context
from app.visitors import owner
from app.words import LABELS
from steering.errors import InputError, unknown_name
from steering.pipeline.export_card import TRIALS
from steering.pipeline.uploads import FILES, upload_folder
from steering.trials.book import MEDIA_KINDS, MOST_MEDIA_BYTES, PLAN, Book, create, open_book
from steering.trials.plan import power_words
from steering.trials.report import rows, sentences
from steering.types import NO_STAGE, TRIAL_OUTCOMES, TrialPlan

ZERO_SHOT = "zero_shot"
_NAME = re.compile(r"[\w][\w -]{0,59}")


def shown(context: Context, demonstrations_id: str, name: str, sending: str = "") -> Trials | None:
    """Every book, and the one called `name` where there is one; None where strangers use the server, and
    for learners.

    sending: the address that a photograph or film is on its way to.
    """
    if context.store.apart:
        return None
    known = _names(context)
    trained = comparison.trained(context, demonstrations_id)
    offered = {method: LABELS[method] for method in LABELS if method == ZERO_SHOT or method in trained}
    return Trials(tuple(known), _card(context, name, sending) if name in known else None, offered)


def plan(
    context: Context,
    demonstrations_id: str,
    name: str,
    methods: Sequence[str],
    conditions: Sequence[str],
    blocks: int,
    matters: float,
    expected: float,
    stages: Sequence[str],
) -> str:
    """Make a book; its name. matters, expected: success rates, 0..1. Raises InputError, in words, for what is none."""
    _own_server(context)
    called = name.strip()
    if not _NAME.fullmatch(called):
        raise InputError("Give the trials a name of letters, digits, spaces and dashes, at most 60.")
    trained = comparison.trained(context, demonstrations_id)
    if missing := [method for method in methods if method != ZERO_SHOT and method not in trained]:
        raise InputError(f"{LABELS.get(missing[0], missing[0])} is not trained on these demonstrations yet.")
    asked = TrialPlan(
        methods=tuple(methods),
        conditions=tuple(conditions) or ("usual",),
        blocks=blocks,
        matters=matters,
        expected=expected,
        stages=tuple(stages),
        adapters={method: trained[method] for method in methods if method != ZERO_SHOT},
        policy=context.policy,
    )
    power_words(asked)  # says where there is no room for such a difference
    create(_folder(context) / called, asked)
    return called


def record(context: Context, name: str, slot: int, outcome: str, stage: str = "", note: str = "") -> None:
    """Write how trial number `slot` ended, with the photograph or film that has arrived; nothing where another one is
    to be run now, as after a double click.
    """
    book = _open(context, name)
    if outcome not in TRIAL_OUTCOMES:
        raise unknown_name("outcome", outcome, TRIAL_OUTCOMES)
    now = book.next()
    if now is not None and now.number == slot:
        reachable = (NO_STAGE, *book.plan.stages) if book.plan.stages and outcome == "failure" else ()
        upload, file = context.uploads.of_owner(_sender()) or ("", "")
        media = upload_folder(context.store, upload) / FILES / file if upload else None
        book.record(outcome, progress=stage if stage in reachable else None, note=note, media=media)
        context.uploads.remove_of(_sender())


def send(context: Context, name: str, file: str, size: int) -> str:
    """The address to which a photograph or film of the next trial goes. Raises InputError for what is none."""
    _open(context, name)
    if Path(file).suffix.lower() not in MEDIA_KINDS or not 0 < size <= MOST_MEDIA_BYTES:
        raise InputError(f"Expected a photograph or film of at most 2 GB: {', '.join(MEDIA_KINDS)}.")
    return f"uploads/{context.uploads.begin(_sender(), [{'name': Path(file).name, 'size': size}])}/0"


def sent(context: Context, address: str) -> None:
    """A photograph or film has arrived at the address that `send` gave. Raises InputError where it has not."""
    _own_server(context)
    upload = address.split("/")[1] if address.count("/") == 2 else ""
    context.uploads.check_owner(_sender(), upload)
    context.uploads.finish(upload)


def unsend(context: Context) -> None:
    """Nothing goes along with the next trial."""
    _own_server(context)
    context.uploads.remove_of(_sender())


def of_adapters(context: Context, adapters: Collection[str]) -> tuple[BookCard, ...]:
    """The books in which one of these adapters has run, oldest first; none where strangers use the server."""
    if context.store.apart:
        return ()
    found = [name for name in _names(context)[::-1] if set(_open(context, name).plan.adapters.values()) & set(adapters)]
    return tuple(card for name in found if (card := _card(context, name)).done)


def undo(context: Context, name: str) -> None:
    """Take back the last trial."""
    _open(context, name).undo()


def unblind(context: Context, name: str) -> None:
    """Show the methods' names from here on; the book keeps that it was asked."""
    _open(context, name).unblind()


def _sender() -> str:
    """Whose upload a photograph or film is: apart from the recordings that the same visitor brings."""
    return f"{owner()}-trial"


def _card(context: Context, name: str, sending: str = "") -> BookCard:
    book = _open(context, name)
    trials, slot = book.trials(), book.next()
    named = book.unblinded or slot is None
    done = len({trial.slot.number for trial in trials if trial.outcome != "void"})
    called = {method: LABELS.get(method, method) for method in book.plan.methods}
    return BookCard(
        name=name,
        slot=slot,
        blocks=book.plan.blocks,
        done=done,
        total=len(book.slots),
        recorded=len(trials),
        stages=book.plan.stages,
        power="" if trials else power_words(book.plan),
        verdicts=tuple(sentences(book.plan, trials, called if named else None)),
        rows=tuple(rows(book, called)) if named else (),
        command=f'python -m steering serve --trial "{book.folder}" --store "{context.store.root}"',
        media="" if sending else (context.uploads.of_owner(_sender()) or ("", ""))[1],
        sending=sending,
    )


def _folder(context: Context) -> Path:
    return context.store.root / TRIALS


def _names(context: Context) -> list[str]:
    found = [path.parent for path in _folder(context).glob(f"*/{PLAN}")]
    return [path.name for path in sorted(found, key=lambda path: (path / PLAN).stat().st_mtime, reverse=True)]


def _open(context: Context, name: str) -> Book:
    _own_server(context)
    known = _names(context)
    if name not in known:  # which also keeps the name inside the folder
        raise unknown_name("trial book", name, known)
    return open_book(_folder(context) / name)


def _own_server(context: Context) -> None:
    if context.store.apart:
        raise InputError("Trials on a robot are kept on a server of one's own, not where strangers use it.")
