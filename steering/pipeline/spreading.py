"""Captures and rollouts in parts on a Ray cluster: frames do not depend on each other, nor scenes.

A part of a capture is a few whole batches, so its numbers are those of a capture in one piece; a part of rollouts is a
few scenes. Demonstrations travel with their pictures (22 MB for 100 frames of two 192-px cameras), once to each
machine; adapters as their files, films back.
"""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from steering import policy_cache
from steering.cluster import Cluster, gather
from steering.errors import InputError
from steering.progress import Progress
from steering.types import Activations, Demonstrations, Rollouts, Surgery

BATCHES_A_PART = 4
SCENES_A_PART = 8

Files = tuple[tuple[str, bytes], ...]
"""Names and contents."""


def captured(
    cluster: Cluster,
    policy: Mapping[str, str],
    demonstrations: Demonstrations,
    settings: Mapping[str, Any],
    progress: Progress,
) -> Activations:
    """Head outputs, as `activations.capture` gives them. policy: its name and fingerprint, as `making.weights` says."""
    from steering.activations.capture import BATCH_SIZE, chosen_frames, joined

    settings = dict(settings)
    episode, frame = chosen_frames(demonstrations, settings.pop("stride"))
    parts = []
    for start in range(0, len(frame), BATCHES_A_PART * BATCH_SIZE):
        rows = slice(start, start + BATCHES_A_PART * BATCH_SIZE)
        frames = [frame[rows][episode[rows] == one] for one in range(len(demonstrations.episodes))]
        parts.append((frames,))
    here = [replace(one, cameras={name: one.cameras[name] for name in one.cameras}) for one in demonstrations.episodes]
    shared = (dict(policy), replace(demonstrations, episodes=tuple(here)), settings)
    return joined(gather(_capture, parts, cluster, shared=shared, progress=progress, what="parts"))


def _capture(
    policy: Mapping[str, str], demonstrations: Demonstrations, settings: Mapping[str, Any], frames: Sequence[Any]
) -> Activations:
    from steering.activations import capture as stage

    loaded = policy_cache.get(_same(policy), None, demonstrations)
    return stage.capture(loaded, demonstrations, **settings, frames=frames)


def rolled_out(
    cluster: Cluster,
    adapter: Path | None,
    demonstrations: Demonstrations | None,
    params: Mapping[str, Any],
    seeds: Sequence[int],
    folder: Path,
    progress: Progress,
) -> Rollouts:
    """Rollouts, as `rollout.run_rollouts` gives them, with the films and traces of the first scenes in `folder`.

    demonstrations: whose statistics an adapter goes by that has none of its own; their pictures stay here.
    """
    from steering.rollout.runner import joined

    began_s = time.monotonic()
    files = () if adapter is None else tuple((one.name, one.read_bytes()) for one in sorted(adapter.iterdir()))
    if demonstrations is not None:
        bare = (replace(one, cameras={}) for one in demonstrations.episodes)
        demonstrations = replace(demonstrations, episodes=tuple(bare))
    parts = []
    for start in range(0, len(seeds), SCENES_A_PART):
        some = tuple(seeds[start : start + SCENES_A_PART])
        parts.append((some, min(max(params["videos"] - start, 0), len(some))))
    shared = (dict(params), files, demonstrations)
    made = gather(_roll_out, parts, cluster, shared=shared, progress=progress, what="parts")
    for name, content in (file for _, films in made for file in films):
        (folder / name).write_bytes(content)
    whole = joined([rollouts for rollouts, _ in made], time.monotonic() - began_s)
    films, traces = (tuple(folder / one.name for one in paths) for paths in (whole.videos, whole.traces))
    return replace(whole, videos=films, traces=traces)


def run_options(params: Mapping[str, Any]) -> dict[str, Any]:
    """What `run_rollouts` is told of a manifest's parameters, besides task and scenes."""
    surgery = Surgery.of(params.get("surgery"))
    return {
        "method": params["method"] if surgery is None else surgery.name,
        "variations": tuple(params["variations"]),
        "instruction": params["instruction"],
        "surgery": surgery,
    }


def _roll_out(
    params: Mapping[str, Any], files: Files, demonstrations: Demonstrations | None, seeds: Sequence[int], videos: int
) -> tuple[Rollouts, Files]:
    from steering.rollout import runner

    policy = policy_cache.get(_same(params), _unpacked(files) if files else None, demonstrations)
    with tempfile.TemporaryDirectory(prefix="steering-") as name:
        rollouts = runner.run_rollouts(
            policy,
            params["task"],
            seeds,
            **run_options(params),
            record_dir=Path(name) if videos else None,
            record_scenes=videos,
            processes=1,
        )
        return rollouts, tuple((one.name, one.read_bytes()) for one in sorted(Path(name).iterdir()))


@functools.cache
def _unpacked(files: Files) -> Path:
    """A folder of these files that stays as long as the process, so that what is loaded from it is loaded once."""
    folder = Path(tempfile.mkdtemp(prefix="steering-adapter-"))
    for name, content in files:
        (folder / name).write_bytes(content)
    return folder


def _same(policy: Mapping[str, str]) -> str:
    """The policy's name, where this node has it with the same weights."""
    name = policy["policy"]
    if policy_cache.fingerprint(name) != policy["weights"]:
        raise InputError(
            f"A node of the cluster has other weights than this machine under {name!r}, or none. Name a policy on the "
            "hub, or a folder that all nodes see."
        )
    return name
