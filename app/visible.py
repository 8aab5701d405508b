"""The store as whoever asks sees it: their own artefacts and the samples, and what a link has opened for them.

Every list of the page goes through `find`, so none can show another's by oversight. An id is a link that nobody
guesses: whoever has one may open what it names, and it joins their lists as opened by a link. Scores, attention and
head outputs of demonstrations that someone sees are seen too, whoever asked for them: they follow from these and say
nothing about who asked. On a server of one's own everything is seen, and one's own.
"""

from __future__ import annotations

from functools import lru_cache

from app.classbook import ClassBook
from app.visitors import owner
from steering.errors import NotFound
from steering.integrity import Damage, Damaged
from steering.manifest import Manifest
from steering.public import is_public
from steering.store import Store

FOLLOWS = frozenset(
    {"activations", "neighbours", "relevance", "trust", "over_time", "attention", "frame_attention", "gain_sweep"}
)
"""Kinds that are seen by whoever sees the demonstrations they came from."""


class VisitorStore(Store):
    """A `Store` whose `find` shows what whoever asks (`app.visitors`) may see."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.root, store.readonly)
        self.classes = ClassBook(store.root)
        self._roots = lru_cache(maxsize=10_000)(self._demonstrations_of)

    @property
    def apart(self) -> bool:
        """Whether whoever asks sees their own things alone, and settles these alone."""
        return is_public() or self.classes.takes_part(owner())

    def find(self, kind: str) -> list[Manifest]:
        """The manifests of `kind` that whoever asks may see, newest first."""
        found = self.everybodys(kind)
        if not self.apart:
            return found
        known = self._known()
        return [manifest for manifest in found if self._seen(manifest, known)]

    def damaged(self, kind: str = "") -> list[Damage]:
        """What is damaged of what whoever asks may see."""
        found = super().damaged(kind)
        if not self.apart:
            return found
        known = self._known()
        return [damage for damage in found if self._seen(damage, known)]

    def owns(self, artefact_id: str) -> bool:
        """Whether an artefact is of whoever asks; NotFound when there is none."""
        if self.is_sample(artefact_id):
            return False
        return not self.apart or owner() in self.owners.of(artefact_id)

    def follow(self, artefact_id: str) -> None:
        """Open what a link names for whoever asks; nothing where it names none, or is seen anyway."""
        try:
            manifest = self.manifest(artefact_id)
            if self.apart and manifest not in self.find(manifest.kind):
                self.owners.link(owner(), artefact_id)
        except (Damaged, NotFound):
            return

    def _known(self) -> set[str]:
        return {*self.owners.own(owner()), *self.owners.linked(owner())}

    def _seen(self, one: Manifest | Damage, known: set[str]) -> bool:
        if one.id in known:
            return True
        try:
            if self.is_sample(one.id):
                return True
            roots = self._roots(one.id) if one.kind in FOLLOWS else ()
        except Damaged:
            return False  # nothing says what it came from
        return bool(roots) and all(root in known or (self._where(root) and self.is_sample(root)) for root in roots)

    def _demonstrations_of(self, artefact_id: str) -> tuple[str, ...]:
        """The demonstrations that an artefact came from; one that is gone counts, so that nothing comes from none."""
        found = []
        for parent in self.manifest(artefact_id).parents:
            if parent.startswith("demonstrations-"):
                found.append(parent)
            elif self._where(parent):
                found += self._roots(parent)
        return tuple(dict.fromkeys(found))
