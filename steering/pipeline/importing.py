"""What `pipeline.demonstrations` runs in a process of its own. Arguments and results are plain JSON values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from steering.demonstrations import mapping as mappings
from steering.demonstrations.guessing import guess
from steering.demonstrations.health import examine
from steering.demonstrations.importing import import_episodes
from steering.demonstrations.mapping import Guess
from steering.demonstrations.readers.registry import open_dataset
from steering.demonstrations.statistics import PolicyStatistics
from steering.errors import InputError
from steering.pipeline.demonstrations import MAPPING_FILE
from steering.pipeline.demonstrations import mappings as kept_mappings
from steering.progress import Progress
from steering.store import Store

CORRECTED = "Corrected by you."


def inspect_in_child(
    path: str, mapping: dict[str, Any] | None, policy: str | None, memory: str | None, progress: Progress
) -> dict[str, Any]:
    """The health report as a document."""
    statistics = None if policy is None else policy_statistics(policy)
    with open_dataset(path) as dataset:
        guessed = _guess(dataset, mapping, memory)
        return examine(dataset, guessed, policy=statistics, progress=progress).document()


def preview_in_child(
    path: str,
    mapping: dict[str, Any] | None,
    memory: str | None,
    out: str,
    episode: int,
    frames: list[int],
    image_px: int,
    progress: Progress,
) -> None:
    """Write the pictures of some frames to the NPZ file `out`."""
    progress.report(0.0, "Reading pictures")
    with open_dataset(path) as dataset:
        shown = _guess(dataset, mapping, memory).mapping
        if not shown.rate_hz and dataset.rate_hz is None:
            shown = mappings.corrected(shown, {"rate_hz": 1})
        found = dataset.episode(episode, shown, frames=frames, image_px=image_px)
        np.savez(out, allow_pickle=False, **found.cameras)


def store_in_child(
    root: str,
    path: str,
    mapping: dict[str, Any] | None,
    episodes: list[int] | None,
    image_px: int | None,
    progress: Progress,
) -> str:
    """Import into the store at `root`; the artefact's id."""
    store = Store(root)
    memory = kept_mappings(store)
    with open_dataset(path) as dataset:
        guessed = _guess(dataset, mapping, str(memory))
        found = import_episodes(
            dataset, guessed.mapping, episodes=episodes, image_px=image_px, progress=progress.part(0, 0.6)
        )
        if mapping:
            mappings.remember(memory, dataset.signature(), guessed.mapping)
        params: dict[str, Any] = {
            "source": dataset.name,
            "format": dataset.format,
            "image_px": image_px,
            "episodes": episodes,
        }
        params["mapping"] = guessed.mapping.document()
        progress.report(0.6, "Storing the episodes")
        with store.new_folder("demonstrations") as folder:
            mappings.write(folder / MAPPING_FILE, guessed.mapping)
            return store.save("demonstrations", found, params=params, folder=folder)


def policy_statistics(policy: str) -> PolicyStatistics:
    """What a policy normalises by, from its small files; no weights are loaded."""
    from steering.models.checkpoint import open_checkpoint
    from steering.models.families import family_of

    checkpoint = open_checkpoint(policy)
    found = family_of(checkpoint).statistics(checkpoint)
    if found is None:
        raise InputError(f"The policy {policy!r} has no normalisation of its own to compare with; leave it out.")
    return PolicyStatistics(found.state_mean, found.state_std, found.actions_mean, found.actions_std)


def _guess(dataset: Any, mapping: dict[str, Any] | None, memory: str | None) -> Guess:
    guessed = guess(dataset, None if memory is None else Path(memory))
    if not mapping:
        return guessed
    fields = ", ".join(sorted(mapping))
    return Guess(mappings.corrected(guessed.mapping, mapping), (*guessed.reasons, f"{CORRECTED} ({fields})"))
