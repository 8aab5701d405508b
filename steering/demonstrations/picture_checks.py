"""Checks of pictures: cameras that are missing, black, frozen or the same, and pictures that are turned or mirrored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from steering.demonstrations.layouts import spellings
from steering.demonstrations.sampling import Problem, Sample
from steering.types import CAMERAS

DARK, FLAT = 8.0, 2.0  # mean and spread of 0..255
BETTER = 0.25  # correlation by which a turned picture must beat the upright one
UPSIDE_DOWN = ("agentview_rgb", "eye_in_hand_rgb")
THUMBNAIL_PX = 16
TURNS = {
    "turned by 180°": lambda image: image[::-1, ::-1],
    "upside down": lambda image: image[::-1],
    "mirrored": lambda image: image[:, ::-1],
}


def cameras(sample: Sample) -> Iterator[Problem]:
    """Missing, unreadable, black, frozen and doubled cameras."""
    mapped = sample.mapping.cameras
    if not mapped:
        has = ", ".join(sample.dataset.cameras[:6])
        words = f"No camera is mapped; the dataset has {has}." if has else "The dataset has no pictures."
        yield Problem("error", "no_camera", words, "The policy sees nothing, so no head can be scored.")
    for role in CAMERAS if mapped else ():
        if role not in mapped:
            words = f"No camera is mapped as {role}."
            meaning = "The policy runs with that view masked; heads that use it look irrelevant."
            yield Problem("warning", "missing_camera", words, meaning)
    for camera in mapped.values():
        if sample.dataset.features[camera.feature].either_order and not camera.bgr:
            words = f"{camera.feature} holds JPEGs without their order of colours; some recorders swap red and blue."
            meaning = "Look at a picture both ways, and set `bgr` of the camera where red things look blue."
            yield Problem("note", "colour_order", words, meaning)
        if scale := sample.dataset.scales.get(camera.feature):
            kind = sample.dataset.features[camera.feature].dtype
            words = f"{camera.feature} holds pictures as {kind} from 0 to {255 / scale:g}."
            yield Problem("note", "float_pictures", words, "They are brought to 8 bits from 0 to 255.")
    for role, words in sample.picture_errors.items():
        severity = "warning" if role in sample.pictures else "error"
        yield Problem(severity, "unreadable_camera", f"The {role} camera cannot be read everywhere. {words}", _LEAVE)
    for role, seen in sample.pictures.items():
        dark = tuple(i for i, images in seen.items() if images.mean() < DARK or images.std() < FLAT)
        if dark:
            words = f"The {role} camera is black or of one colour in {_share(dark, seen)}."
            yield Problem("warning", "black_camera", words, "Its image tokens say nothing; map another camera.", dark)
        frozen = tuple(
            i
            for i, images in seen.items()
            if i not in dark and len(images) > 2 and (images == images[:1]).all() and _moves(sample, i)
        )
        if frozen:
            words = f"The {role} camera stands still in {_share(frozen, seen)} while the arm moves."
            meaning = "Frames cannot be told apart by it, so heads that look there come out irrelevant; leave them out."
            yield Problem("warning", "frozen_camera", words, meaning, frozen)
    roles = list(sample.pictures)
    for at, role in enumerate(roles):
        for other in roles[at + 1 :]:
            both = set(sample.pictures[role]) & set(sample.pictures[other])
            if both and all(np.array_equal(sample.pictures[role][i], sample.pictures[other][i]) for i in both):
                words = f"The cameras {role} and {other} show the same pictures."
                yield Problem("warning", "same_camera", words, "One of them is mapped to the wrong feature.")


def orientation(sample: Sample) -> Iterator[Problem]:
    """Pictures that are turned: against what their names are known for, against each other, or higher than wide."""
    for camera in sample.mapping.cameras.values():
        if spellings(camera.feature) & set(UPSIDE_DOWN) and not camera.rotate:
            words = f"{camera.feature} is stored upside down by LIBERO, and the mapping does not turn it."
            meaning = (
                "The policy was trained on upright pictures; turn it by 180°, or vision heads are scored on noise."
            )
            yield Problem("warning", "rotation", words, meaning)
    for role, first in sample.first_pictures.items():
        height, width = first.shape[1:3]
        if height > width:
            words = f"The {role} camera is higher than wide ({width} x {height}); it may be turned by a quarter."
            yield Problem(
                "warning", "rotation", words, "Look at it, and turn it in the mapping if it lies on its side."
            )
    for role, seen in sample.pictures.items():
        found = _odd_ones(seen)
        for how, indices in found.items():
            words = f"The {role} camera seems {how} in {_share(indices, seen)}, unlike in the others."
            meaning = "Neighbours are looked for across episodes, and none will match these; turn or leave them out."
            yield Problem("warning", "rotation", words, meaning, indices)


def _odd_ones(seen: Mapping[int, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """How -> episodes whose mean picture fits the others' much better after turning it that way."""
    shapes = {images.shape[1:] for images in seen.values()}
    if len(seen) < 3 or len(shapes) != 1:
        return {}
    thumbnails = {i: _thumbnail(images) for i, images in seen.items()}
    found: dict[str, list[int]] = {}
    for index, own in thumbnails.items():
        others = np.median([t for i, t in thumbnails.items() if i != index], axis=0)
        upright = _correlation(own, others)
        turned = {how: _correlation(turn(own), others) for how, turn in TURNS.items()}
        how = max(turned, key=lambda one: turned[one])
        if turned[how] > max(upright + BETTER, 0.5):
            found.setdefault(how, []).append(index)
    return {how: tuple(indices) for how, indices in found.items() if len(indices) * 2 < len(seen)}


def _thumbnail(images: np.ndarray) -> np.ndarray:
    """float [THUMBNAIL_PX, THUMBNAIL_PX, 3]: the mean over frames, averaged to a small square."""
    mean = images.mean(0)
    rows, columns = (np.linspace(0, side, THUMBNAIL_PX + 1).astype(int) for side in mean.shape[:2])
    if np.diff(rows).min() == 0 or np.diff(columns).min() == 0:
        return mean
    sums = np.add.reduceat(np.add.reduceat(mean, rows[:-1], axis=0), columns[:-1], axis=1)
    return sums / (np.diff(rows)[:, None, None] * np.diff(columns)[None, :, None])


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    a, b = first - first.mean((0, 1)), second - second.mean((0, 1))
    scale = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / scale) if scale > 1e-9 else 0.0


def _moves(sample: Sample, index: int) -> bool:
    state = sample.episodes[index].state
    return bool(state.size and np.ptp(state, axis=0).max() > 1e-3)


def _share(some: tuple[int, ...], of: Mapping[int, np.ndarray]) -> str:
    return f"{len(some)} of {len(of)} episodes looked at"


_LEAVE = "Leave these episodes out, or copy the dataset again."
