"""What the episodes of a dataset share, where each has its own arrays or videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steering.demonstrations.dataset import Feature
from steering.errors import InputError


def shared(episodes: Sequence[Mapping[str, Feature]]) -> tuple[dict[str, Feature], dict[int, str]]:
    """Features of a dataset by those of its episodes, and episode -> which camera it lacks, as a sentence.

    Numbers that all have, and cameras that most have: one episode without its video does not take it from the others.
    """
    counts: dict[str, int] = {}
    first: dict[str, Feature] = {}
    for own in episodes:
        for name, feature in own.items():
            counts[name] = counts.get(name, 0) + 1
            first.setdefault(name, feature)
    found = {
        name: feature
        for name, feature in first.items()
        if counts[name] == len(episodes) or (feature.kind == "image" and 2 * counts[name] > len(episodes))
    }
    lacking = {index: [name for name in found if name not in own] for index, own in enumerate(episodes)}
    return found, {
        index: f"It does not have {', '.join(names)} for every frame." for index, names in lacking.items() if names
    }


def of_episode(arrays: Mapping[str, Any], feature: str, file: str) -> Any:
    """The array or video of a feature. Raises InputError where the episode of the file lacks it."""
    if feature not in arrays:
        raise InputError(
            f"The episode in {file} does not have {feature} for every frame. Copy it again, or leave it out."
        )
    return arrays[feature]
