"""Uploads: what a user sent to the page, inspected and imported by jobs.

`<store>/uploads/<upload>/` holds the files as they came in `files/`, or `hub.json` with the id of a dataset on the hub,
and after `inspect_upload` what was found (`inspection.json`) and a picture of every camera. The files are only opened
in a process of their own (`steering.demonstrations.guard`), whose temporary files lie in the same folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from steering import hub
from steering.demonstrations.documents import DatasetDocument, OutputsDocument
from steering.demonstrations.guard import guarded
from steering.demonstrations.limits import LIMITS, Limits
from steering.errors import InputError, NotFound, SteeringError
from steering.pipeline.demonstrations import import_demonstrations, mappings, policy_statistics
from steering.progress import Progress
from steering.public import is_public
from steering.serialisation import read_json
from steering.store import Store

FILES, HUB, INSPECTION = "files", "hub.json", "inspection.json"
UPLOAD_LIMITS = replace(
    LIMITS,
    files=20_000,
    unpacked_bytes=8 << 30,
    download_bytes=4 << 30,
    image_bytes=2 << 30,
    memory_bytes=8 << 30,
)
"""Of what comes through the page, which may serve several people."""
PUBLIC_LIMITS = replace(
    UPLOAD_LIMITS,
    unpacked_bytes=2 << 30,
    download_bytes=1 << 30,
    image_bytes=1 << 30,
    memory_bytes=4 << 30,
    seconds=300,
)
"""Where strangers use the server."""
_ID = re.compile(r"[0-9a-f]{32}")


def upload_folder(store: Store, upload: str) -> Path:
    """The folder of an upload; it need not exist yet. Raises NotFound for what is no upload's id."""
    if not _ID.fullmatch(upload):
        raise NotFound("There is no such upload. Send the files again.")
    return store.root / "uploads" / upload


def inspect_upload(
    store: Store,
    *,
    upload: str,
    mapping: Mapping[str, Any] | None = None,
    policy: str | None = None,
    progress: Progress = Progress(),
) -> str:
    """See what an upload holds, and write `inspection.json` and the first picture of every camera. Returns its id.

    mapping: fields that replace those guessed. policy: whose normalisation and sizes the data is held against, where it
    has any of its own.
    """
    folder = upload_folder(store, upload)
    path = source_of(folder)
    arguments = {
        "path": str(path),
        "mapping": None if mapping is None else dict(mapping),
        "memory": str(mappings(store)),
        "policy": _statistics(policy),
        "out": str(folder),
    }
    found = _in_child("look", arguments, folder, path, progress)
    draft = folder / f"{INSPECTION}.new"
    draft.write_text(json.dumps(found, indent=1), encoding="utf-8")
    draft.replace(folder / INSPECTION)
    return upload


def import_upload(
    store: Store,
    *,
    upload: str,
    mapping: Mapping[str, Any] | None = None,
    episodes: Sequence[int] | None = None,
    skip_unreadable: bool = False,
    task: str | None = None,
    policy: str | None = None,
    progress: Progress = Progress(),
) -> str:
    """Import an inspected upload: demonstrations, or the scores of one task's head outputs. Returns what was made.

    mapping, episodes, skip_unreadable, policy: as `import_demonstrations` takes them. task: of a file of head outputs.
    """
    from steering.pipeline.relevance import score

    folder = upload_folder(store, upload)
    path = source_of(folder)
    if inspection(folder).get("kind") == "activations":
        arguments = {"root": str(store.root), "owner": store.owner, "path": str(path), "task": task}
        activations_id = _in_child("activations", arguments, folder, path, progress.part(0, 0.4))
        return score(store, activations_id=str(activations_id), progress=progress.part(0.4, 1))
    return import_demonstrations(
        store,
        path=path,
        mapping=mapping,
        episodes=episodes,
        skip_unreadable=skip_unreadable,
        policy=policy if _statistics(policy) else None,
        limits=upload_limits(),
        scratch=folder,
        progress=progress,
    )


def inspection(folder: Path) -> DatasetDocument | OutputsDocument:
    """What `inspect_upload` found in the upload of a folder. InputError where it was not inspected."""
    found: DatasetDocument | OutputsDocument = read_json(folder / INSPECTION)
    if not isinstance(found, dict):
        raise InputError("What was found in the upload is damaged. Send the files again.")
    return found


def source_of(folder: Path) -> Path | str:
    """What an upload holds: a repository of the hub, marked as one, its only file, or the folder of its files."""
    if (folder / HUB).is_file():
        asked = read_json(folder / HUB)
        return hub.marked(asked["id"], asked.get("account", ""))
    place = folder / FILES
    if not place.is_dir():
        raise NotFound("The upload is gone, as it is after a day. Send the files again.")
    while len(children := list(place.iterdir())) == 1:
        place = children[0]
        if place.is_file():
            break
    return place


def upload_limits() -> Limits:
    """How much an upload may ask for on this server."""
    return PUBLIC_LIMITS if is_public() else UPLOAD_LIMITS


def _in_child(what: str, arguments: dict[str, Any], folder: Path, path: Path | str, progress: Progress) -> Any:
    name = hub.shown(path) if isinstance(path, str) else path.name
    function = f"steering.pipeline.importing:{what}_in_child"
    arguments = {**arguments, "limits": asdict(upload_limits())}
    return guarded(function, arguments, name=name[:120], limits=upload_limits(), scratch=folder, progress=progress)


def _statistics(policy: str | None) -> dict[str, Any] | None:
    try:
        return None if policy is None else policy_statistics(policy)
    except SteeringError:
        return None  # a policy without numbers of its own takes those of the demonstrations
