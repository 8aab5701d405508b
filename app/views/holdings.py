"""What a visitor has on this server, and the question before something is deleted: what goes with it."""

from __future__ import annotations

from app.answers.holdings import Holding, RemovalCard
from app.views.markup import button, text

WORDS = {
    "demonstrations": ("set of demonstrations", "sets of demonstrations"),
    "adapter": ("finetune", "finetunes"),
    "comparison": ("comparison", "comparisons"),
    "open_loop_comparison": ("comparison on recordings", "comparisons on recordings"),
    "rollouts": ("run of a policy", "runs of policies"),
    "open_loop": ("run of a policy on recordings", "runs of policies on recordings"),
    "selection": ("head set", "head sets"),
}
"""Kinds that people know by a name of their own, in the order in which they are named."""
OTHERS = ("result about heads", "results about heads")


def holding(found: Holding) -> str:
    """A line about what one has, and the button that deletes all of it; empty where there is nothing."""
    if not (found.sets or found.runs or found.used_bytes):
        return ""
    counts = f"{_counted(found.sets, ('set', 'sets'))} and {_counted(found.runs, ('run', 'runs'))}"
    room = f"{found.used_bytes / 1e6:,.0f} MB"
    if found.most_bytes is not None:
        room += f" of {found.most_bytes / 1e9:g} GB"
    kept = "" if found.keep_days is None else f" What you do not work with for {found.keep_days:g} days is deleted."
    delete = button("Delete everything of mine", "delete", "everything", quiet=True, testid="delete-everything")
    return (
        f'<div class="wb-holding" data-testid="holding"><p class="wb-muted">Yours: {counts}, {room}.{kept}</p>{delete}'
        "</div>"
    )


def removal_card(found: RemovalCard) -> str:
    """The question before deleting."""
    named = [_counted(found.kinds[kind], words) for kind, words in WORDS.items() if found.kinds.get(kind)]
    rest = sum(count for kind, count in found.kinds.items() if kind not in WORDS)
    named += [_counted(rest, OTHERS)] if rest else []
    named += ["your upload"] if found.upload else []
    along = f"<p>With it go: {text(', '.join(named))}.</p>" if named else ""
    if found.foreign:
        along += (
            f"<p>{_counted(found.foreign, ('thing', 'things'))} among these "
            f"{'was' if found.foreign == 1 else 'were'} made by somebody who followed your link.</p>"
        )
    return (
        '<section class="wb-card wb-section wb-removal" role="alertdialog" data-testid="removal" '
        f'aria-label="Delete {text(found.title)}?">'
        f"<h2>Delete {text(found.title)}?</h2>{along}<p>This cannot be undone.</p>"
        f'<div class="wb-buttons">{button("Delete", "remove", found.id, primary=True, testid="remove")}'
        f"{button('Keep', 'close', quiet=True)}</div></section>"
    )


def _counted(count: int, words: tuple[str, str]) -> str:
    return f"{count} {words[count != 1]}"
