"""Demonstrations: recorded in the simulator, imported from other people's files, exported for other tools.

What comes from outside is read in a process of its own (`steering.demonstrations.guard`), so that a damaged file ends
in one sentence and nothing else. Importing this loads neither MuJoCo nor a video library.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from steering import hub, policy_cache
from steering.demonstrations.documents import ReportDocument
from steering.demonstrations.guard import guarded
from steering.demonstrations.limits import LIMITS, Limits
from steering.errors import InputError
from steering.pipeline.making import LOADING, load, made, trained, weights
from steering.pipeline.origins import policy_name
from steering.progress import Progress
from steering.serialisation import read_json
from steering.store import Store
from steering.types import Demonstrations, Robot

IMAGE_PX = 224
MAPPING_FILE = "mapping.json"  # beside what was imported
BY_POLICY = "policy"
"""The parameter `by` of what a policy recorded."""
HEALTH_FILE = "health.json"  # likewise: the report on what it was imported from


def record(
    store: Store,
    *,
    task: str,
    count: int = 20,
    seed: int = 0,
    variations: Sequence[str] = (),
    policy: str | None = None,
    adapter_id: str | None = None,
    progress: Progress = Progress(),
) -> str:
    """Record `count` demonstrations of a task by its scripted expert, or what a policy does in as many scenes.

    policy: `embedded`, a folder or a hub id, which runs the scenes that the expert takes first, and keeps its failures.
    adapter_id: of a finetune, whose policy runs with it, whatever `policy` says.
    """
    from steering.demonstrations import recording

    params: dict[str, Any] = {"task": task, "count": count, "seed": seed, "variations": list(variations)}
    if adapter_id is not None:
        policy = str(store.manifest(adapter_id).params.get("policy", policy or "embedded"))
    if policy is None:
        by_expert = partial(recording.record, task, count, seed, variations=tuple(variations), progress=progress)
        return made(store, "demonstrations", (), params, by_expert)
    recording.check_count(count)
    params |= {**weights(policy), "by": BY_POLICY, "adapter": adapter_id}
    parents = () if adapter_id is None else (adapter_id,)
    return made(store, "demonstrations", parents, params, partial(_of_policy, store, params, progress))


def _of_policy(store: Store, params: Mapping[str, Any], progress: Progress) -> Demonstrations:
    """What `record` makes with the `params` of a policy's set."""
    from steering.demonstrations.recording import recorded_set, scene_seed
    from steering.rollout.recording import record as run

    policy, adapter_id, variations = str(params["policy"]), params["adapter"], tuple(params["variations"])
    loaded = policy_cache.get(policy, *trained(store, adapter_id), progress.part(0, LOADING))
    seeds = [scene_seed(params["seed"], attempt) for attempt in range(params["count"])]
    episodes = run(loaded, params["task"], seeds, variations=variations, progress=progress.part(LOADING, 1))
    name = policy_name(policy) + (f" with {adapter_id}" if adapter_id else "")
    return recorded_set(params["task"], variations, episodes, policy=name)


def inspect_demonstrations(
    path: Path | str,
    *,
    mapping: Mapping[str, Any] | None = None,
    policy: str | None = None,
    memory: Path | str | None = None,
    limits: Limits = LIMITS,
    progress: Progress = Progress(),
) -> dict[str, Any]:
    """The health report of a folder, file, zip or hub id, as `HealthReport.document` gives it; nothing is stored.

    mapping: fields that replace those guessed (`steering.demonstrations.mapping`). policy: whose normalisation the data
    is held against. memory: folder of mappings that were kept, see `mappings`. Raises SteeringError where it cannot be
    opened at all.
    """
    arguments = {"path": str(path), "mapping": _plain(mapping), "memory": _text(memory)}
    arguments["policy"] = None if policy is None else policy_statistics(policy)
    return _run("inspect", arguments, path, limits, progress)


def write_pictures(path: Path | str, out: Path, **options: Any) -> Path:
    """Write the first picture of every camera as PNG, a row each: as mapped, and with red and blue swapped.

    options: as `preview_demonstrations` takes them.
    """
    from PIL import Image

    found = preview_demonstrations(path, **options)
    rows = [np.concatenate([shown[0], shown[0][..., ::-1]], axis=1) for shown in found.values()]
    width = max((row.shape[1] for row in rows), default=0)
    if not width:
        raise InputError(f"The mapping of {path} has no camera, so there is no picture to write.")
    sheet = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]
    Image.fromarray(np.concatenate(sheet)).save(out, "PNG")
    return out


def preview_demonstrations(
    path: Path | str,
    *,
    mapping: Mapping[str, Any] | None = None,
    episode: int = 0,
    frames: Sequence[int] = (0,),
    image_px: int = 256,
    memory: Path | str | None = None,
    limits: Limits = LIMITS,
    progress: Progress = Progress(),
) -> dict[str, np.ndarray]:
    """Pictures as the mapping turns them: role -> uint8 [frame, height, width, 3]. `frames` must rise."""
    with tempfile.TemporaryDirectory(prefix="steering-preview-") as scratch:
        target = Path(scratch) / "pictures.npz"
        arguments: dict[str, Any] = {"path": str(path), "mapping": _plain(mapping), "memory": _text(memory)}
        arguments |= {"out": str(target), "episode": episode, "frames": list(frames), "image_px": image_px}
        _run("preview", arguments, path, limits, progress)
        with np.load(target, allow_pickle=False) as found:
            return {role: found[role] for role in found.files}


def import_demonstrations(
    store: Store,
    *,
    path: Path | str,
    mapping: Mapping[str, Any] | None = None,
    episodes: Sequence[int] | None = None,
    image_px: int | None = IMAGE_PX,
    policy: str | None = None,
    skip_unreadable: bool = False,
    bgr: Sequence[str] = (),
    limits: Limits = LIMITS,
    scratch: Path | None = None,
    progress: Progress = Progress(),
) -> str:
    """Import a folder, file, zip or hub id as demonstrations; mapping and health report lie beside them (MAPPING_FILE,
    HEALTH_FILE).

    mapping: fields that replace those guessed; they are remembered for other datasets of the same layout. episodes:
    indices, None for all. image_px: longest side of the pictures kept, None for as they are. policy: whose
    normalisation the report holds the data against. skip_unreadable: leave out episodes that cannot be read, which the
    report then names, instead of refusing all. bgr: cameras, by their roles in the mapping or `all`, whose red and blue
    are stored swapped; remembered like a mapping. scratch: folder for what is unpacked, None for the system's.
    """
    arguments = {
        "root": str(store.root),
        "owner": store.owner,
        "path": str(path),
        "mapping": _plain(mapping),
        "episodes": None if episodes is None else [int(index) for index in episodes],
        "image_px": image_px,
        "policy": None if policy is None else policy_statistics(policy),
        "skip_unreadable": skip_unreadable,
        "bgr": list(bgr),
    }
    return str(_run("store", arguments, path, limits, progress, scratch))


def health(store: Store, demonstrations_id: str) -> ReportDocument | None:
    """The health report that was kept with imported demonstrations, as `HealthReport.document` gives it, or None."""
    path = store.folder(demonstrations_id) / HEALTH_FILE
    return read_json(path) if path.is_file() else None


def policy_statistics(policy: str) -> dict[str, Any]:
    """What a policy normalises by and takes at most, as fields of `PolicyStatistics`; no weights are loaded."""
    from steering.models.checkpoint import open_checkpoint
    from steering.models.families import family_of

    checkpoint = open_checkpoint(policy)
    found = family_of(checkpoint).statistics(checkpoint)
    if found is None:
        raise InputError(f"The policy {policy!r} has no normalisation of its own to compare with; leave it out.")
    numbers = {name: np.asarray(values).tolist() for name, values in vars(found).items()}
    most = {f"most_{what}": checkpoint.config.get(f"max_{what}_dim") for what in ("state", "action")}
    return numbers | {name: size if type(size) is int else None for name, size in most.items()}


def export_demonstrations(
    store: Store,
    *,
    demonstrations_id: str,
    folder: Path | str,
    lossless: bool = False,
    progress: Progress = Progress(),
) -> Path:
    """Write demonstrations as a LeRobotDataset v3.0 into a new or empty folder."""
    from steering.demonstrations.writing import write_lerobot

    demonstrations = load(store, demonstrations_id, Demonstrations)
    if demonstrations.robot is None:
        demonstrations = replace(demonstrations, robot=_turned_by_its_mapping(store, demonstrations_id, demonstrations))
    return write_lerobot(demonstrations, Path(folder), lossless=lossless, progress=progress)


def _turned_by_its_mapping(store: Store, demonstrations_id: str, demonstrations: Demonstrations) -> Robot | None:
    """Of what an older version imported: its last action was turned over where the mapping beside it says so."""
    path = store.folder(demonstrations_id) / MAPPING_FILE
    turned = read_json(path).get("gripper_range") if path.is_file() else None
    if not turned:
        return None
    last = demonstrations.episodes[0].action.shape[1] - 1
    return Robot(action_roles=("other",) * last + ("gripper",), turned=tuple(map(float, turned)))


def mappings(store: Store) -> Path:
    """The folder of mappings that the store's owner corrected before, by the signature of the layout."""
    return store.root / "mappings" / store.owner if store.owner else store.root / "mappings"


def _run(
    what: str,
    arguments: dict[str, Any],
    path: Path | str,
    limits: Limits,
    progress: Progress,
    scratch: Path | None = None,
) -> Any:
    name = hub.shown(path) if hub.named(path) or not Path(path).exists() else Path(path).name
    function = f"steering.pipeline.importing:{what}_in_child"
    arguments = {**arguments, "limits": asdict(limits)}
    return guarded(function, arguments, name=name[:120], limits=limits, scratch=scratch, progress=progress)


def _plain(mapping: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if mapping is not None and not isinstance(mapping, Mapping):
        raise InputError(f"Expected a mapping as an object of fields, got {type(mapping).__name__}.")
    return None if mapping is None else dict(mapping)


def _text(path: Path | str | None) -> str | None:
    return None if path is None else str(path)
