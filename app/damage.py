"""What of a store is damaged, as the page says it: in one place, whatever step ran into it.

A step shows what it can without what is damaged (`unless_damaged`), the store remembers what could not be read, and the
line under the header names all of it (`lines`). What is asked for by a button ends in the words of the damage itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import ParamSpec, TypeVar

from steering.integrity import Damage, Damaged
from steering.manifest import Manifest
from steering.store import Store

Asker = TypeVar("Asker")
Found = TypeVar("Found")
Given = ParamSpec("Given")


def unless_damaged(ask: Callable[Given, Found], *arguments: Given.args, **named: Given.kwargs) -> Found | None:
    """The answer of `ask`; None where something that it reads is damaged, which `lines` names then."""
    try:
        return ask(*arguments, **named)
    except Damaged:
        return None


def readable(
    ask: Callable[[Asker, Manifest], Found | None], asker: Asker, manifests: Iterable[Manifest]
) -> Iterator[Found]:
    """What `ask` gives of each; what is damaged, or of which it gives None, is left out."""
    for manifest in manifests:
        found = unless_damaged(ask, asker, manifest)
        if found is not None:
            yield found


def lines(store: Store) -> list[str]:
    """What is damaged and what remakes it, two sentences a kind; demonstrations first, for all else is made of them."""
    order = sorted(store.damaged(), key=lambda one: (one.kind != "demonstrations", one.id))
    kinds = {one.kind: [other for other in order if other.kind == one.kind] for one in order}
    return [_words(found) for found in kinds.values()]


def _words(found: list[Damage]) -> str:
    one = found[0]
    if len(found) == 1:
        return one.words
    return f"{len(found)} of the {one.name} cannot be used, among them {one.id}: {one.fault}. {one.again}."


def of_scores(store: Store, demonstrations_id: str) -> Damage | None:
    """Damaged scores of the heads over a set, or head outputs; also those that do not say what they are of."""
    damaged = [*store.damaged("relevance"), *store.damaged("activations")]
    return next((one for one in damaged if not one.parents or demonstrations_id in one.parents), None)
