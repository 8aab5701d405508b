"""What a visitor has on this server, and the question before something is deleted: what goes with it."""

from __future__ import annotations

from markupsafe import Markup

from app.answers.holdings import Holding, RemovalCard
from app.views.templates import Macros

HTML = Macros("holdings.html")

WORDS = {
    "demonstrations": ("set of demonstrations", "sets of demonstrations"),
    "adapter": ("finetune", "finetunes"),
    "comparison": ("comparison", "comparisons"),
    "surgery": ("surgery of heads", "surgeries of heads"),
    "strength": ("sweep of strengths", "sweeps of strengths"),
    "open_loop_comparison": ("comparison on recordings", "comparisons on recordings"),
    "rollouts": ("run of a policy", "runs of policies"),
    "open_loop": ("run of a policy on recordings", "runs of policies on recordings"),
    "selection": ("head set", "head sets"),
}
"""Kinds that people know by a name of their own, in the order in which they are named."""
OTHERS = ("result about heads", "results about heads")


def holding(found: Holding) -> Markup:
    """A line about what one has, and the button that deletes all of it; empty where there is nothing."""
    if not (found.sets or found.runs or found.used_bytes):
        return Markup()
    counts = f"{_counted(found.sets, ('set', 'sets'))} and {_counted(found.runs, ('run', 'runs'))}"
    room = f"{found.used_bytes / 1e6:,.0f} MB"
    if found.most_bytes is not None:
        room += f" of {found.most_bytes / 1e9:g} GB"
    return HTML.holding(counts, room, found.keep_days)


def removal_card(found: RemovalCard) -> Markup:
    """The question before deleting."""
    named = [_counted(found.kinds[kind], words) for kind, words in WORDS.items() if found.kinds.get(kind)]
    rest = sum(count for kind, count in found.kinds.items() if kind not in WORDS)
    named += [_counted(rest, OTHERS)] if rest else []
    named += ["your upload"] if found.upload else []
    foreign = f"{_counted(found.foreign, ('thing', 'things'))} among these {'was' if found.foreign == 1 else 'were'}"
    return HTML.removal_card(found.id, found.title, named, foreign if found.foreign else "")


def _counted(count: int, words: tuple[str, str]) -> str:
    return f"{count} {words[count != 1]}"
