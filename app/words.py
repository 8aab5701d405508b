"""Words that questions and views share: times, names of methods and targets, errors without places of the server."""

from __future__ import annotations

import re
import unicodedata

from steering.types import CONTROL_LABELS, FAILURES, INSTRUCTIONS, METHOD_LABELS, SURGERY_LABELS, Rollouts

LABELS = {**METHOD_LABELS, **CONTROL_LABELS, **SURGERY_LABELS}
TARGET_LABELS = {
    "action": "the action",
    "chunk": "the action chunk",
    "state": "the joint state",
    "gripper": "whether the gripper is closed",
    "object": "where the named object is",
    "instruction": "which instruction was given",
}
_PLACE = re.compile(r"(?<![\w/.:~-])/(?:[^\s/'\"`<>:;,()]+/)+([^\s/'\"`<>:;,()]*)")


def duration(seconds: float) -> str:
    """Seconds as people say them: `8 s`, `2 min 05 s`, `1 h 10 min`."""
    whole = max(round(seconds), 0)
    if whole < 100:
        return f"{whole} s"
    if whole < 6000:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def plain(name: str) -> str:
    """A simulator's name in plain words: `pick_cube` → `Pick cube`."""
    return name.replace("_", " ").strip().capitalize()


def file_name(what: str, *of: str, ending: str) -> str:
    """The name of a file to keep, which says what is in it: `head-map_pick-cube_embedded-small-pi0_2026-11-30.csv`.

    Of what is empty nothing is said. static/exports/about.js names the browser's files alike.
    """
    plain = (unicodedata.normalize("NFKD", one).lower().replace("π", "pi") for one in (what, *of))
    slugs = (re.sub(r"[^a-z0-9.]+", "-", one).strip("-") for one in plain)
    return f"{'_'.join(filter(None, slugs))}.{ending}"


def without_places(words: str) -> str:
    """Words of an error for whoever looks at the page: files and folders of the server by their last name only."""
    return _PLACE.sub(lambda found: found[1] if found[1].strip(".") else f"a folder{found[1]}", words)


def label_of(method: str) -> str:
    """A compared method for people, not escaped; `steering/empty` was told something else (types.Comparison)."""
    kind, _, words = method.partition("/")
    label = LABELS.get(kind, kind)
    return f"{label} ({INSTRUCTIONS.get(words, words)})" if words else label


def how_it_went(one: Rollouts, j: int) -> list[str]:
    """How an episode failed, and what else is to be said of it."""
    said = []
    if one.failure and one.failure[j]:
        said.append(FAILURES.get(one.failure[j], one.failure[j]))
        if one.distance_m is not None:
            said.append(f"{100 * float(one.distance_m[j]):.1f} cm left")
    if one.wrong_object is not None and one.wrong_object[j]:
        said.append("touched a wrong thing")
    if one.named is not None and one.named[j] >= 0:
        said.append("reached the named goal" if one.named[j] else "did not reach the named goal")
    return said
