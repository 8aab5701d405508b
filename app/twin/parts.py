"""What the static twin shows, asked by the questions and drawn by the views of the page itself: every answer that a
visitor can get at without a server, beforehand. Seconds; frames are encoded when their files are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from app import questions
from app.answers.comparison import Choice
from app.answers.measures import FIELDS, nearest
from app.answers.screen import READY
from app.lessons import LESSONS
from app.questions.context import Context
from app.questions.exports import KINDS
from app.tabs import compare, heads
from app.views.demonstrations import episode_grid
from app.views.header import EXPORTS, header
from steering.errors import InputError, NotFound

WORKBENCH = "python -m steering app"
NEEDS = f"That runs the policy, so it needs the workbench. Install it and start it with: {WORKBENCH}"
IN_THE_BROWSER = ("map", "cameras", "curves")
"""Of the header's exports, those that the browser makes by itself; the others are KINDS, made beforehand."""
SERVED = {"both_started", "both", "control_started", "control", "chosen"}
"""Conditions of lessons that only a server can fulfil: it chooses by rule, and trains."""


@dataclass(frozen=True)
class Opened:
    """What is published. comparisons: ids, the first is shown first; may be empty."""

    demonstrations: str
    comparisons: tuple[str, ...]


def opened(context: Context, demonstrations_id: str = "", comparisons: Sequence[str] = ()) -> Opened:
    """What was asked for; where nothing was, the first scored set, samples before others, and the ready example.

    Raises NotFound for what is not there, and InputError for demonstrations whose heads are not scored.
    """
    found = questions.demonstrations.open_set(context, demonstrations_id)
    if not found or (demonstrations_id and found != demonstrations_id):
        raise NotFound(f"There are no demonstrations {demonstrations_id!r} in this store.".replace(" ''", ""))
    if not questions.measures.stored(context, found):
        raise InputError(
            "The heads of these demonstrations are not scored, so there is no map to publish. Find heads first."
        )
    known = {one.id: one for one in questions.comparison.choices(context)}
    if unknown := [one for one in comparisons if one not in known]:
        raise NotFound(f"There is no comparison {unknown[0]!r} in this store. There are: {', '.join(known) or 'none'}.")
    samples = [one.id for one in known.values() if one.sample]
    return Opened(found, tuple(comparisons) or tuple(samples[:1] or list(known)[:1]))


def parts(context: Context, shown: Opened, episodes: Sequence[int]) -> dict[str, Any]:
    """Everything that app/twin/host.js answers with. episodes: those that can be opened."""
    available = tuple(questions.measures.stored(context, shown.demonstrations))
    first = available[0].key
    chosen = questions.head_sets.opened(context, {}, shown.demonstrations, first)
    selected = questions.head_sets.heads_of(context, chosen.digits or "")
    origin = questions.head_sets.origin_of(context, chosen)
    maps: dict[str, Any] = {}
    for measure in available:
        seen = {
            beside: _heads(context, shown.demonstrations, chosen.digits or "", measure.key, beside)
            for beside in ("", *(one.key for one in available if one != measure))
        }
        maps[measure.key] = {
            "map": seen[""]["map"],
            "second": {beside: one["map"]["second"] for beside, one in seen.items()},
            "choosers": {beside: one["choosers"] for beside, one in seen.items()},
            "files": {
                kind: asdict(
                    questions.exports.heads(context, kind, shown.demonstrations, measure.key, selected, origin)
                )
                for kind in KINDS
                if selected or kind != "selection.json"
            },
        }
    one = questions.link.header_of(context, [shown.demonstrations, 0], chosen, first)
    menu = {kind: label for kind, label in EXPORTS.items() if kind in (*IN_THE_BROWSER, *KINDS)}
    return {
        "needs": NEEDS,
        "measure": first,
        "moves": {
            measure.key: {
                name: {
                    value: nearest(available, measure, name, value).key
                    for value in dict.fromkeys(getattr(other, name) for other in available)
                }
                for name in FIELDS
            }
            for measure in available
        },
        "maps": maps,
        "header": header(
            replace(one, query={}, last_run=READY if shown.comparisons else "", account=None), menu, chooser=""
        ),
        "grid": _grid(context, shown.demonstrations, episodes),
        "episodes": {index: _episode(context, shown.demonstrations, index, episodes) for index in episodes},
        "comparisons": _comparisons(context, shown.comparisons),
        "lessons": [asdict(one) for one in LESSONS if not SERVED & {task.done for task in one.tasks}],
    }


def with_attention(context: Context, demonstrations_id: str) -> list[int]:
    """The episodes whose attention is known, else the first."""
    count = len(questions.demonstrations.card(context, demonstrations_id).frames)
    return [i for i in range(count) if questions.heads.attention(context, demonstrations_id, i)] or [0]


def _heads(context: Context, demonstrations_id: str, digits: str, measure: str, beside: str) -> dict[str, Any]:
    return _named(heads.HeadsTab, heads.show(context, demonstrations_id, digits, measure, beside))


def _named(tab: Any, values: Sequence[Any]) -> dict[str, Any]:
    """The values that a step shows, by the names of the components that they fill."""
    names = tab(*(field.name for field in fields(tab))).shown
    return dict(zip(names, values, strict=True))


def _episode(context: Context, demonstrations_id: str, index: int, episodes: Sequence[int]) -> dict[str, Any]:
    value = heads.show_episode(context, demonstrations_id, index) or {}
    return {**value, "episodes": [one for one in value["episodes"] if one["index"] in episodes]}


def _grid(context: Context, demonstrations_id: str, episodes: Sequence[int]) -> str:
    card = questions.demonstrations.card(context, demonstrations_id)
    rate_hz = questions.demonstrations.episode(context, demonstrations_id, 0).rate_hz
    return episode_grid(card, questions.demonstrations.thumbnails(context, demonstrations_id), rate_hz, 0, {}, episodes)


def _comparisons(context: Context, comparisons: Sequence[str]) -> dict[str, Any]:
    choices = [replace(one, own=False) for one in questions.comparison.choices(context) if one.id in comparisons]
    return {one: _comparison(context, one, choices) for one in comparisons}


def _comparison(context: Context, comparison_id: str, choices: list[Choice]) -> dict[str, Any]:
    filled = compare.compared(questions.comparison.comparison(context, comparison_id), choices, yours=False)
    names = ("chooser", "notice", "lead", "player", "success", "tables")
    report = asdict(questions.exports.report(context, comparison_id))
    return {**dict(zip(names, filled, strict=True)), "report": report}
