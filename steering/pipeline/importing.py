"""What `pipeline.demonstrations` and `pipeline.uploads` run in a process of its own.

Arguments and results are plain JSON values; `limits` are the fields of `Limits`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from steering import hub
from steering.demonstrations import mapping as mappings
from steering.demonstrations import pictures
from steering.demonstrations.dataset import Dataset
from steering.demonstrations.guessing import guess
from steering.demonstrations.health import examine
from steering.demonstrations.importing import import_episodes
from steering.demonstrations.limits import Limits
from steering.demonstrations.mapping import Guess
from steering.demonstrations.readers import hdf5
from steering.demonstrations.readers.registry import open_dataset
from steering.demonstrations.sampling import Problem
from steering.demonstrations.statistics import PolicyStatistics
from steering.errors import InputError
from steering.pipeline.demonstrations import HEALTH_FILE, MAPPING_FILE
from steering.pipeline.demonstrations import mappings as kept_mappings
from steering.pipeline.relevance import import_activations
from steering.progress import Progress
from steering.relevance import authors_file
from steering.store import Store

CORRECTED = "Corrected by you."
PICTURE_PX = 240
MOST_CAMERAS = 12
MOST_LISTED = 2000


def inspect_in_child(
    path: str,
    mapping: dict[str, Any] | None,
    policy: dict[str, Any] | None,
    memory: str | None,
    limits: dict[str, Any],
    progress: Progress,
) -> dict[str, Any]:
    """The health report as a document. policy: fields of `PolicyStatistics`."""
    with open_dataset(path, Limits(**limits), progress=progress) as dataset:
        return _report(dataset, _guess(dataset, mapping, memory), policy, progress)


def preview_in_child(
    path: str,
    mapping: dict[str, Any] | None,
    memory: str | None,
    out: str,
    episode: int,
    frames: list[int],
    image_px: int,
    limits: dict[str, Any],
    progress: Progress,
) -> None:
    """Write the pictures of some frames to the NPZ file `out`."""
    progress.report(0.0, "Reading pictures")
    with open_dataset(path, Limits(**limits), episodes=[episode], progress=progress) as dataset:
        shown = _guess(dataset, mapping, memory).mapping
        if not shown.rate_hz and dataset.rate_hz is None:
            shown = mappings.corrected(shown, {"rate_hz": 1})
        found = dataset.episode(episode, shown, frames=frames, image_px=image_px)
        np.savez(out, allow_pickle=False, **found.cameras)


def look_in_child(
    path: str,
    mapping: dict[str, Any] | None,
    memory: str,
    policy: dict[str, Any] | None,
    out: str,
    limits: dict[str, Any],
    progress: Progress,
) -> dict[str, Any]:
    """What a page needs to show a mapping: the health report, the mapping as it was guessed, every episode's name, and
    the first picture of every camera, as stored, in `out`. Of a file of head outputs: its tasks.
    """
    if tasks := activation_tasks(path):
        return {"kind": "activations", "name": Path(path).stem, "tasks": tasks}
    with open_dataset(path, Limits(**limits), progress=progress) as dataset:
        guessed = _guess(dataset, mapping, memory)
        report = _report(dataset, guessed, policy, progress.part(0, 0.9))
        progress.report(0.9, "Looking through every camera")
        return {
            "kind": "demonstrations",
            "report": report,
            "guessed": guess(dataset, Path(memory)).mapping.document(),
            "components": {name: list(f.names[:64]) for name, f in dataset.features.items() if f.kind == "number"},
            "pictures": [
                _picture(dataset, name, Path(out), i) for i, name in enumerate(dataset.cameras[:MOST_CAMERAS])
            ],
            "episodes": [[e.name[:120], e.frames, e.instruction[:200]] for e in dataset.episodes[:MOST_LISTED]],
        }


def activations_in_child(
    root: str, owner: str, path: str, task: str | None, limits: dict[str, Any], progress: Progress
) -> str:
    """Store one task of a file of head outputs into the store at `root`; the artefact's id."""
    progress.report(0.0, "Reading head outputs")
    return import_activations(Store(root, owner=owner), Path(path), task)


def activation_tasks(path: str) -> list[str]:
    """Names of the tasks in a file of head outputs as the Robotic Steering release writes them; none for others."""
    place = Path(path)
    if hub.named(path) or not place.is_file() or not authors_file.is_authors_file(place):
        return []
    with hdf5.open_file(place) as file:
        group = file
        for _ in range(3):  # task, episode, frame
            below = [one for one in hdf5.members(group, place.name).values() if hasattr(one, "keys")]
            if not below:
                return []
            group = below[0]
        if not set(hdf5.members(group, place.name)) & set(authors_file.DATASETS):
            return []
    return list(authors_file.tasks(place))


def store_in_child(
    root: str,
    owner: str,
    path: str,
    mapping: dict[str, Any] | None,
    episodes: list[int] | None,
    image_px: int | None,
    policy: dict[str, Any] | None,
    skip_unreadable: bool,
    bgr: list[str],
    limits: dict[str, Any],
    progress: Progress,
) -> str:
    """Import into the store at `root`; the artefact's id."""
    store = Store(root, owner=owner)
    memory = kept_mappings(store)
    with open_dataset(path, Limits(**limits), episodes=episodes, progress=progress) as dataset:
        guessed = _guess(dataset, mapping, str(memory))
        if bgr:
            swapped = mappings.swapped(guessed.mapping, bgr)
            guessed = Guess(swapped, (*guessed.reasons, f"{CORRECTED} (red and blue of {', '.join(bgr)})"))
        report = _report(dataset, guessed, policy, progress.part(0, 0.2))
        options: dict[str, Any] = {"episodes": episodes, "image_px": image_px, "skip_unreadable": skip_unreadable}
        read = import_episodes(dataset, guessed.mapping, **options, progress=progress.part(0.2, 0.8))
        if read.left_out:
            report["problems"].insert(0, _left_out(read.left_out))
        if mapping or bgr:
            mappings.remember(memory, dataset.signature(), guessed.mapping)
        params: dict[str, Any] = {
            "source": dataset.name,
            "format": dataset.format,
            "image_px": image_px,
            "episodes": list(read.episodes) if read.left_out else episodes,
        }
        params["mapping"] = guessed.mapping.document()
        progress.report(0.8, "Storing the episodes")
        with store.new_folder("demonstrations") as folder:
            mappings.write(folder / MAPPING_FILE, guessed.mapping)
            (folder / HEALTH_FILE).write_text(json.dumps(report, indent=1), encoding="utf-8")
            return store.save("demonstrations", read.demonstrations, params=params, folder=folder)


def _report(dataset: Dataset, guessed: Guess, policy: dict[str, Any] | None, progress: Progress) -> dict[str, Any]:
    statistics = None
    if policy is not None:
        limits: dict[str, Any] = {name: policy[name] for name in ("most_state", "most_action")}
        arrays: dict[str, Any] = {
            name: np.array(values, float) for name, values in policy.items() if name not in limits
        }
        statistics = PolicyStatistics(**arrays, **limits)
    return examine(dataset, guessed, policy=statistics, progress=progress).document()


def _left_out(left_out: Mapping[int, str]) -> dict[str, Any]:
    """The problem of a report that says which episodes were not imported."""
    shown = ", ".join(map(str, list(left_out)[:8])) + (f" and {len(left_out) - 8} more" if len(left_out) > 8 else "")
    words = f"{'Episodes' if len(left_out) > 1 else 'Episode'} {shown} could not be read and {_are(left_out)} left out."
    meaning = f"The first: {next(iter(left_out.values()))}"
    return asdict(Problem("warning", "left_out", words, meaning, tuple(left_out)))


def _are(some: Mapping[int, str]) -> str:
    return "are" if len(some) > 1 else "is"


def _picture(dataset: Dataset, name: str, out: Path, number: int) -> dict[str, Any]:
    """Write the first picture of a camera as WebP; where none can be read, say why."""
    index = next((i for i in dataset.candidates if dataset.episodes[i].frames), None)
    try:
        if index is None:
            raise InputError("No episode has frames.")
        whole = dataset.images(index, name, [0])[0]
        small = Image.fromarray(pictures.smaller(whole, PICTURE_PX))
        small.save(out / f"picture-{number}.webp", "WEBP", quality=80)
        found = {"feature": name, "file": f"picture-{number}.webp", "size": list(whole.shape[:2])}
        return found | {"either_order": dataset.features[name].either_order}
    except InputError as error:
        return {"feature": name, "words": str(error)}


def _guess(dataset: Dataset, mapping: dict[str, Any] | None, memory: str | None) -> Guess:
    guessed = guess(dataset, None if memory is None else Path(memory))
    if not mapping:
        return guessed
    fields = ", ".join(sorted(mapping))
    return Guess(mappings.corrected(guessed.mapping, mapping), (*guessed.reasons, f"{CORRECTED} ({fields})"))
