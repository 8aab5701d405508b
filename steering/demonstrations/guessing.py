"""Guess how a dataset's names become an episode, and say why.

A mapping that was kept for the same layout comes first, then a known layout (`layouts`), then the words in the names
and the sizes of the features. Reads no pictures; the gripper's direction is judged from a few episodes' actions.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from steering.demonstrations.column_roles import words_of
from steering.demonstrations.dataset import Dataset, Feature
from steering.demonstrations.layouts import AS_IT_IS, LAYOUTS, Layout, spellings
from steering.demonstrations.mapping import Camera, Columns, Guess, Mapping, remembered
from steering.demonstrations.offsets import follows_state
from steering.errors import InputError
from steering.types import Episode, Robot

WRIST_WORDS = ("wrist", "hand", "gripper", "eye in", "ego")
EXTERIOR_WORDS = (
    *("exterior", "agentview", "agent", "front", "third", "scene", "top", "high", "external", "base", "side"),
    *("overhead", "image"),
)
VIEWS = ("", "cam", "camera", "view", "image", "img", "rgb")  # what a camera's word may be written together with
STATE_WORDS = ("state", "states", "qpos", "proprio", "proprioception", "joint position", "joint positions", "eef", "ee")
ACTION_WORDS = ("action", "actions")
UNKNOWN_RATE_HZ = 10.0
FIRST_FRAMES = 0.1
JUDGED_EPISODES = 20


def guess(dataset: Dataset, memory: Path | None = None) -> Guess:
    """The mapping of a dataset with its reasons. `memory`: folder of mappings that were kept (`mapping.remember`).

    Roles without a camera, and state or action without a column, are left empty; the health report says so.
    """
    kept = None if memory is None else _kept(dataset, memory)
    if kept is not None:
        return Guess(kept, ("As you mapped a dataset of the same layout before.",))
    fits = (mapped for layout in LAYOUTS if (mapped := _by_layout(dataset, layout)) is not None)
    mapping, reasons = next(fits, None) or _by_words(dataset)
    if declared := {feature.role: Camera(name) for name, feature in dataset.features.items() if feature.role}:
        mapping = replace(mapping, cameras=declared)
        reasons = [f"The dataset says which camera is which: {', '.join(declared)}.", *reasons]
    mapping, swapped = _colour_order(dataset, mapping)
    reasons += swapped
    mapping, chunks = _first_steps(dataset, mapping)
    reasons += chunks
    if dataset.rate_hz is None and len({e.rate_hz for e in dataset.episodes}) <= 1:
        mapping = replace(mapping, rate_hz=UNKNOWN_RATE_HZ)
        reasons.append(f"The dataset does not say its rate; {UNKNOWN_RATE_HZ:g} Hz is assumed. Correct it if you know.")
    if mapping.gripper_range is None and not mapping.layout:
        mapping, reason = _gripper(dataset, mapping)
        reasons += [reason] if reason else []
    if dataset.absolute_actions is not None:
        mapping = replace(mapping, absolute_actions=dataset.absolute_actions)
    elif not mapping.absolute_actions and (share := _absolute_share(dataset, mapping)) is not None:
        mapping = replace(mapping, absolute_actions=True)
        reasons.append(
            f"The state alone explains {share:.0%} of the actions, so they are positions to reach, not motions: past "
            "an episode's end the last one is repeated."
        )
    if not any(episode.instruction for episode in dataset.episodes):
        reasons.append("The dataset has no instruction; give one, which every episode will have.")
    return Guess(mapping, tuple(reasons))


def _kept(dataset: Dataset, memory: Path) -> Mapping | None:
    try:
        mapping = remembered(memory, dataset.signature())
    except InputError:
        return None
    columns = () if mapping is None else (*mapping.state, *mapping.action)
    names = {one.feature for one in columns} | {c.feature for c in (mapping.cameras if mapping else {}).values()}
    return mapping if mapping is not None and names <= set(dataset.features) else None


def _by_layout(dataset: Dataset, layout: Layout) -> tuple[Mapping, list[str]] | None:
    if layout.formats and dataset.format not in layout.formats:
        return None
    if layout.robots and not any(robot in dataset.robot.lower() for robot in layout.robots):
        return None
    cameras: dict[str, Camera] = {}
    for role, names in layout.cameras.items():
        taken = {camera.feature for camera in cameras.values()}
        found = _named(dataset, "image", names, taken)
        if found is not None:
            cameras[role] = Camera(found, layout.rotate)
    state = [_named(dataset, "number", names) for names in layout.state]
    action = [_named(dataset, "number", names) for names in layout.action]
    if any(role not in cameras for role in layout.needed) or None in state or None in action:
        return None
    for chosen, size in zip((state, action), layout.sizes, strict=True):
        found_size = sum(_of_a_step(dataset.features[name], chosen is action) for name in chosen if name)
        if size is not None and found_size != size:
            return None
    mapping = Mapping(
        cameras=cameras,
        state=tuple(Columns(name) for name in state if name),
        action=tuple(Columns(name) for name in action if name),
        gripper_range=layout.gripper_range,
        absolute_actions=layout.absolute_actions,
        layout=layout.name,
    )
    shown = ", ".join(f"{camera.feature} is {role}" for role, camera in cameras.items())
    return mapping, [f"Recognised as {layout.name} by its names" + (f": {shown}." if shown else "."), *layout.why]


def _of_a_step(feature: Feature, is_action: bool) -> int:
    """Numbers of a frame; of actions [step, dim], which are chunks, those of one step."""
    return feature.shape[-1] if is_action and len(feature.shape) == 2 else feature.size


def _first_steps(dataset: Dataset, mapping: Mapping) -> tuple[Mapping, list[str]]:
    """The mapping with the first step of actions that are chunks, [step, dim] a frame, and a sentence for each."""
    columns, reasons = [], []
    for one in mapping.action:
        feature = dataset.features[one.feature]
        if one.indices is None and len(feature.shape) == 2 and feature.shape[0] > 1:
            steps, size = feature.shape
            one = Columns(one.feature, tuple(range(size)))
            reasons.append(
                f"{feature.name} holds chunks, {steps} steps of {size} numbers a frame; the first step is taken, the "
                "action of that frame."
            )
        columns.append(one)
    return replace(mapping, action=tuple(columns)), reasons


def _by_words(dataset: Dataset) -> tuple[Mapping, list[str]]:
    reasons: list[str] = []
    cameras: dict[str, Camera] = {}
    coloured = [name for name in dataset.cameras if "depth" not in words_of(name)]
    wrist = _by_word(coloured, WRIST_WORDS)
    outside = [name for name in coloured if name != wrist and not _has(name, WRIST_WORDS, VIEWS)]
    exterior = _by_word(outside, EXTERIOR_WORDS) or next(iter(outside), None)
    if exterior is not None:
        cameras["exterior"] = Camera(exterior)
        word = next((w for w in EXTERIOR_WORDS if _has(exterior, (w,), VIEWS)), "")
        why = f"its name has {word!r}" if word else "it is the first that is not at the wrist by its name"
        reasons.append(f"{exterior} is taken as the exterior camera, because {why}.")
    if wrist is not None:
        cameras["wrist"] = Camera(wrist)
        word = next(w for w in WRIST_WORDS if _has(wrist, (w,), VIEWS))
        reasons.append(f"{wrist} is taken as the wrist camera, because its name has {word!r}.")
    others = [name for name in dataset.cameras if name not in (wrist, exterior)]
    if others:
        reasons.append(f"{', '.join(others[:6])} {'is' if len(others) == 1 else 'are'} left out; map them to use them.")
    columns: dict[str, tuple[Columns, ...]] = {}
    for what, words in (("action", ACTION_WORDS), ("state", STATE_WORDS)):
        taken = {one.feature for one in columns.get("action", ())}
        found = _numbers_named(dataset, what, words, taken)
        columns[what] = () if found is None else (Columns(found.name),)
        if found is not None:
            named = f" ({', '.join(found.names[:12])})" if found.names else ""
            reasons.append(f"{found.name} is taken as the {what}: {found.size} numbers{named}.")
    return Mapping(cameras, columns["state"], columns["action"]), reasons


def _numbers_named(dataset: Dataset, what: str, words: Sequence[str], taken: set[str]) -> Feature | None:
    """The feature called exactly `what` without prefixes, else the largest whose name has one of the words."""
    usable = [f for f in dataset.features.values() if f.kind == "number" and 0 < f.size <= 1024 and f.name not in taken]
    exact = [f for f in usable if spellings(f.name) & {what, f"{what}s", f"observation.{what}"}]
    named = exact or [f for f in usable if _has(f.name, words)]
    return max(named, key=lambda f: f.size, default=None)


def _colour_order(dataset: Dataset, mapping: Mapping) -> tuple[Mapping, list[str]]:
    """Red and blue swapped where the dataset, or else the camera's name, says `bgr`."""

    def swapped(camera: Camera) -> bool:
        said = dataset.features[camera.feature].bgr
        return "bgr" in words_of(camera.feature) if said is None else said

    cameras = {role: replace(camera, bgr=swapped(camera)) for role, camera in mapping.cameras.items()}
    names = ", ".join(camera.feature for camera in cameras.values() if camera.bgr)
    reasons = [f"The pictures of {names} are said to be BGR; red and blue are swapped."] if names else []
    return replace(mapping, cameras=cameras), reasons


def _gripper(dataset: Dataset, mapping: Mapping) -> tuple[Mapping, str]:
    """Turn the gripper over where it begins at its high end in most episodes: demonstrations begin with it open."""
    starts, values = [], []
    robot = dataset.robot_of(mapping) or Robot()
    for action in (episode.action for episode in _judged(dataset, mapping)):
        for gripper in robot.grippers(action.shape[1]) if action.shape[1] > 1 else ():
            column = action[np.isfinite(action[:, gripper]), gripper]
            if len(column):
                starts.append(float(np.median(column[: max(1, int(len(column) * FIRST_FRAMES))])))
                values.append(column)
    if not starts:
        return mapping, ""
    low, high = (round(float(bound(np.concatenate(values))), 4) for bound in (np.min, np.max))
    if high <= low:
        return mapping, ""
    open_at_high = np.mean([start > (low + high) / 2 for start in starts])
    if open_at_high > 0.5:
        share = f"{round(open_at_high * len(starts))} of {len(starts)} episodes"
        reason = f"The gripper begins near its high end ({high:g}) in {share}, so high is open; it is turned over."
        return replace(mapping, gripper_range=(low, high)), f"{reason} {AS_IT_IS}"
    return mapping, f"The gripper begins near its low end ({low:g}), so a larger value closes it."


def _judged(dataset: Dataset, mapping: Mapping) -> list[Episode]:
    """The first episodes without their pictures; those that cannot be read are left out."""
    mapping = mapping if mapping.rate_hz else replace(mapping, rate_hz=UNKNOWN_RATE_HZ)
    found = []
    for index in dataset.candidates[:JUDGED_EPISODES]:
        try:
            found.append(dataset.episode(index, mapping, cameras=False))
        except InputError:
            continue
    return found


def _absolute_share(dataset: Dataset, mapping: Mapping) -> float | None:
    """`follows_state` of the first episodes of one size whose numbers are finite."""
    found = [
        e for e in _judged(dataset, mapping) if e.frames and np.isfinite(e.state).all() and np.isfinite(e.action).all()
    ]
    alike = [
        e for e in found if (e.state.shape[1], e.action.shape[1]) == (found[0].state.shape[1], found[0].action.shape[1])
    ]
    robot = dataset.robot_of(mapping) or Robot()
    return follows_state(alike, robot.grippers(alike[0].action.shape[1])) if alike else None


def _named(dataset: Dataset, kind: str, names: Sequence[str], taken: Collection[str] = ()) -> str | None:
    for spelling in names:
        for name, feature in dataset.features.items():
            if feature.kind == kind and name not in taken and spelling in spellings(name):
                return name
    return None


def _by_word(names: Sequence[str], words: Sequence[str]) -> str | None:
    return next((name for word in words for name in names if _has(name, (word,), VIEWS)), None)


def _has(name: str, words: Sequence[str], endings: Sequence[str] = ("",)) -> bool:
    """Whether a name has one of the words, whole: `laptop` has no `top`. Words may be written with an ending."""
    spoken = f" {' '.join(words_of(name))} "
    return any(f" {word}{ending} " in spoken for word in words for ending in endings)
