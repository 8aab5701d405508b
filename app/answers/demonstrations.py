"""Demonstrations as their cards show them."""

from __future__ import annotations

from dataclasses import dataclass

MAX_EPISODES = 50
EXPERT, POLICY = "expert", "policy"
"""Who records, besides a finetune, by its id."""


@dataclass(frozen=True)
class SetCard:
    """A demonstration set as its card shows it. outcomes: per episode, None where unknown; images: addresses.

    usable: the verdict of the health report it was imported with, empty where there is none. by: who acted: `keyboard`
    where a person drove, `the policy` or a finetune's method where a policy did, else empty. own: whether whoever looks
    owns it; a set that is neither theirs nor a sample came by a link. kept_until: the day on which it is deleted unless
    it is worked with, empty where it stays. old: that an older version made the set or its scores, as a sentence.
    damaged: the heads were scored, and the scores cannot be used.
    """

    id: str
    name: str
    task: str
    instruction: str
    variations: tuple[str, ...]
    frames: tuple[int, ...]
    outcomes: tuple[bool | None, ...]
    sample: bool
    scored: bool
    damaged: bool = False
    old: str = ""
    images: tuple[str, ...] = ()
    usable: str = ""
    by: str = ""
    own: bool = True
    kept_until: str = ""

    @property
    def title(self) -> str:
        """The task in words, or the set's name where there is no task."""
        return self.task or self.name
