"""The Demonstrations step: cards of demonstration sets, the form that records new ones, and the episodes of a set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from app.answers.demonstrations import MAX_EPISODES, SetCard
from app.views.health import verdict_tag
from app.views.markup import button, checks, choice, empty, number, older, segments, slider, tag, text, words

RECORDED_BY = (("expert", "Scripted expert"), ("keyboard", "You, by keyboard"))


def set_cards(cards: Sequence[SetCard], opened: str) -> str:
    """All sets; an empty state when there is none."""
    if not cards:
        return empty(
            "No demonstrations yet",
            "Record twenty in the simulator with the form below: a scripted expert performs the task, which takes "
            "about a minute, or you drive the arm yourself. Or bring your own.",
        )
    return f'<div class="wb-sets" data-testid="sets">{"".join(_card(card, card.id == opened) for card in cards)}</div>'


def _card(card: SetCard, is_open: bool) -> str:
    known = [won for won in card.outcomes if won is not None]
    tags = [
        tag("Sample" if card.sample else "Yours" if card.own else "By link"),
        tag(f"{len(card.frames)} episode{'' if len(card.frames) == 1 else 's'}"),
        tag(f"{sum(card.frames)} frames"),
    ]
    if known:
        tags.append(tag(f"{sum(known)} of {len(known)} succeed", "good" if all(known) else "bad"))
    tags += [tag(name) for name in card.variations]
    if card.kept_until:
        tags.append(tag(f"Kept until {card.kept_until}"))
    if card.damaged:
        tags.append(tag("scores damaged", "bad"))
    if card.old:
        tags.append(older(card.old))
    if card.by:
        tags.append(tag(f"By {card.by}"))
    images = "".join(f'<img src="{text(url)}" alt="" loading="lazy" width="192" height="192">' for url in card.images)
    if card.usable:
        tags.append(verdict_tag(card.usable))
    report = button("Health", "health", card.id, quiet=True) if card.usable else ""
    find = "" if card.scored else button("Find heads", "find", card.id, quiet=True)
    drop = "" if card.sample else button("Delete" if card.own else "Remove", "delete", card.id, quiet=True)
    main = button("Show heads" if is_open else "Open", "open", card.id, primary=is_open, quiet=True)
    return (
        f'<article class="wb-set" data-open="{str(is_open).lower()}" data-testid="set">'
        f'<div class="wb-set-images">{images}</div><div class="wb-set-text"><h3>{words(card.title)}</h3>'
        f'<p>{_says(card.instruction)}</p><div class="wb-tags">{"".join(tags)}</div></div>'
        f'<div class="wb-set-foot">{main}{find}{report}{drop}</div></article>'
    )


def episode_grid(
    card: SetCard | None,
    thumbnails: Sequence[str],
    rate_hz: float,
    shown: int,
    problems: Mapping[int, Sequence[str]] = MappingProxyType({}),
) -> str:
    """The episodes of the open set; a click shows one in the Heads step. problems: what is wrong with single ones."""
    if card is None:
        return ""
    cells = "".join(
        f'<button type="button" class="wb-episode" data-action="episode" data-value="{i}" data-tab="heads" '
        f'aria-current="{str(i == shown).lower()}"><img src="{text(url)}" alt="First frame of episode {i + 1}" '
        f'loading="lazy" width="192" height="192"><span>Episode {i + 1}: {frames / rate_hz:.1f} s</span>{_outcome(won)}'
        f"{_problems(problems.get(i, ()))}</button>"
        for i, (url, frames, won) in enumerate(zip(thumbnails, card.frames, card.outcomes, strict=True))
    )
    title = _says(card.instruction) if card.instruction else words(card.title)
    return (
        f'<div class="wb-section"><h2>Episodes of {title}</h2>'
        f'<div class="wb-episodes" data-testid="episodes">{cells}</div></div>'
    )


def _says(instruction: str) -> str:
    return f"“{text(instruction)}”" if instruction else "No instruction"


def _outcome(won: bool | None) -> str:
    if won is None:
        return ""
    return f"<span>{tag('succeeds' if won else 'fails', 'good' if won else 'bad')}</span>"


def _problems(words: Sequence[str]) -> str:
    if not words:
        return ""
    count = f"{len(words)} problem{'s' if len(words) > 1 else ''}"
    return f'<span title="{text(" ".join(words))}">{tag(count, "warn")}</span>'


def record_form(tasks: Sequence[str], variations: Sequence[str]) -> str:
    """The form that records demonstrations in the simulator: `record` by the expert, `drive` by hand. The style sheet
    shows the fields of the chosen one.
    """
    return (
        '<div class="wb-card wb-section wb-record" data-reflect><h2>Record new demonstrations in the simulator</h2>'
        '<div class="wb-form">'
        + segments("by", "Recorded by", RECORDED_BY, RECORDED_BY[0][0])
        + choice("task", "Task", [(name, name.replace("_", " ").capitalize()) for name in tasks], tasks[0])
        + checks("variations", "Variations", [(name, name.capitalize(), False, True) for name in variations])
        + slider("count", "Episodes", 2, MAX_EPISODES, 20)
        + number("seed", "Seed", 0, 9999, 0)
        + button("Record", "record", primary=True, testid="record-start")
        + button("Start driving", "drive", primary=True, testid="drive-start")
        + "</div></div>"
    )
