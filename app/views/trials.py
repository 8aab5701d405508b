"""The card of trials on a robot: plan, the trial to run by its letter, what all of them show."""

from __future__ import annotations

from collections.abc import Iterable

from app.answers.trials import BookCard, Trials
from app.views.markup import button, checks, choice, kept_table, number, text


def trials_card(shown: Trials | None) -> str:
    """The card, folded until there are trials; nothing where strangers use the server."""
    if shown is None:
        return ""
    inside = _open(shown.card) if shown.card else _none_open(shown)
    return (
        f'<details class="wb-card wb-settings" data-fold="robot"{" open" if shown.books else ""} data-testid="trials">'
        f"<summary>On your robot</summary>{inside}</details>"
    )


def _none_open(shown: Trials) -> str:
    books = ""
    if shown.books:
        options = [(name, name) for name in shown.books]
        books = f'<div class="wb-form">{choice("book", "Trials", options, shown.books[0])}'
        books += f"{button('Open', 'open', testid='trials-open')}</div>"
    methods = [(method, label, True, True) for method, label in shown.methods.items()]
    return (
        "<p>Trials in the real world: planned with what they can show, blinded, recorded by a click, and judged by a "
        f"test that holds at every look.</p>{books}"
        '<div class="wb-form">'
        + _line("name", "Name", "cups on Monday")
        + checks("methods", "Methods", methods)
        + _line("conditions", "Conditions, by commas", "usual")
        + number("blocks", "Most blocks", 2, 1000, 40)
        + number("matters", "A difference that matters, points", 1, 99, 20)
        + number("expected", "Expected success, %", 0, 100, 50)
        + _line("stages", "Stages of progress, by commas", "")
        + button("Plan", "plan", primary=True, testid="trials-plan")
        + "</div>"
    )


def _line(name: str, label: str, value: str) -> str:
    return (
        f'<label class="wb-field"><span>{text(label)}</span><input type="text" name="{text(name)}" '
        f'value="{text(value)}" maxlength="400" autocomplete="off"></label>'
    )


def _open(card: BookCard) -> str:
    lines = [f"<p>{text(card.power)}</p>"] if card.power else []
    lines += [f'<p data-testid="trials-verdict"><b>{text(one)}</b></p>' for one in card.verdicts]
    if card.slot is None:
        lines.append(f"<p>All {card.total} trials have an outcome.</p>")
    else:
        slot = card.slot
        lines.append(
            f'<p data-testid="trials-now">Now block {slot.block} of {card.blocks}, {text(slot.condition)}: '
            f"<b>{text(slot.letter)}</b> ({card.done} of {card.total} done)</p>"
        )
        lines.append(f'<div class="wb-form">{_outcomes(card)}</div>')
        lines.append(
            f"<p>The robot's client connects to <code>{text(card.command)}</code>, which answers with the policy whose "
            "turn it is.</p>"
        )
    buttons = button("Undo", "undo", quiet=True, disabled=not card.last, testid="trials-undo")
    if card.slot is not None and not card.rows:
        buttons += button("Name the methods", "unblind", quiet=True, testid="trials-unblind")
    buttons += button("Other trials", "leave", quiet=True, testid="trials-leave")
    lines.append(f'<div class="wb-buttons">{buttons}</div>')
    if card.rows:
        lines.append(kept_table("trials", _table(card.rows)))
    return f"<h3>{text(card.name)}</h3>{''.join(lines)}"


def _outcomes(card: BookCard) -> str:
    number_now = card.slot.number if card.slot else 0
    reached = [("", "not said"), *((stage, stage) for stage in card.stages)]
    return (
        (choice("stage", "How far a failure came", reached, "") if card.stages else "")
        + _line("note", "Note", "")
        + button("Success", "success", str(number_now), primary=True, testid="trials-success")
        + button("Failure", "failure", str(number_now), testid="trials-failure")
        + button("Void, run again", "void", str(number_now), quiet=True, testid="trials-void")
    )


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in ("Method", "Condition", "Success", "95 % interval", "Progress"))
    body = "".join(f"<tr>{''.join(f'<td>{text(value)}</td>' for value in row)}</tr>" for row in rows)
    opening = '<table class="wb-table" data-testid="trials-table">'
    return f"{opening}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
