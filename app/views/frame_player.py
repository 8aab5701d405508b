"""Data of the frame player: sprite sheets of both cameras, phases, curves, and the attention file it fetches once."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from steering.types import PHASES, TOKEN_GROUPS, Attention, Episode, Robot

COLUMNS = 10
MOST_SHEET_PX, LONGEST_SIDE_PX = 32_000_000, 16_000
"""A browser decodes a sheet into four bytes a pixel; WebP ends at 16 383 pixels a side."""
THUMBNAIL_PX = 144
CAMERA_LABELS = {"exterior": "Exterior", "wrist": "Wrist"}
STEP = 17  # attention is shown in 16 levels, 4 bits: hardly visible once smoothed, and a third of the bytes
LEVEL_OF = np.rint(np.arange(256) / STEP).astype(np.uint8)
MOST_ATTENTION_BYTES, LEAST_GRID = 20_000_000, 4
"""A browser keeps the attention of an episode unpacked; an hour at π0's size would be 20 GB."""


def frame_player(
    key: str,
    episode: Episode,
    index: int,
    outcomes: Sequence[bool | None],
    sprites: Mapping[str, str],
    attention_url: str | None,
    attention: Attention | None,
    keyframes: Sequence[bool] | np.ndarray = (),
    robot: Robot | None = None,
) -> dict[str, Any]:
    """What static/demonstrations/frame_player.js draws. sprites: camera -> address; outcomes: of every episode of the
    set; keyframes: bool [frame]; robot: whose columns the curves are.
    """
    columns_of = robot or Robot()
    tile, columns = sheet_layout(episode)
    return {
        "key": key,
        "episode": index,
        "episodes": [{"index": i, "success": won} for i, won in enumerate(outcomes)],
        "instruction": episode.instruction,
        "told": told_parts(episode),
        "frames": episode.frames,
        "rate": episode.rate_hz,
        "tile": tile,
        "columns": columns,
        "cameras": [
            {"label": CAMERA_LABELS.get(name, name), "sprite": url, "offset": overlay_offset(episode, name, attention)}
            for name, url in sprites.items()
        ],
        "phases": phase_parts(episode.phase),
        "keyframes": runs(keyframes),
        "action": curves(episode.action, columns_of.names("action", episode.action.shape[1])),
        "state": curves(episode.state, columns_of.names("state", episode.state.shape[1])),
        "attention": attention_url,
        "grid": None if attention is None else attention_grid(attention),
        "coarse": "" if attention is None else _coarse(attention),
        "heads_total": None if attention is None else int(np.prod(attention.mass.shape[1:4])),
        "groups": list(TOKEN_GROUPS),
    }


def overlay_offset(episode: Episode, camera: str, attention: Attention | None) -> tuple[float, float]:
    """How far right and down the patches lie from the picture, which is shown centred, in sides of the square."""
    height, width = episode.pictures_px[camera]
    bar = 0.5 if attention is None else attention.bar
    return (0.5 - bar) * (1 - width / max(height, width)), (0.5 - bar) * (1 - height / max(height, width))


def told_parts(episode: Episode) -> list[dict[str, Any]]:
    """Runs of one instruction as {text, start, end}; empty where it never changes."""
    if episode.told is None:
        return []
    edges = [0, *(np.flatnonzero(np.diff(episode.told)) + 1).tolist(), episode.frames]
    return [
        {"text": episode.instruction_at(start), "start": start, "end": end}
        for start, end in zip(edges, edges[1:], strict=False)
    ]


def phase_parts(phase: np.ndarray | None) -> list[dict[str, Any]]:
    """Runs of equal phase as {name, start, end}; empty where phases are unknown."""
    if phase is None or len(phase) == 0:
        return []
    edges = [0, *(np.flatnonzero(np.diff(phase)) + 1).tolist(), len(phase)]
    return [
        {"name": PHASES[int(phase[start])], "start": start, "end": end}
        for start, end in zip(edges, edges[1:], strict=False)
    ]


def runs(marked: Sequence[bool] | np.ndarray) -> list[list[int]]:
    """[start, end) of every run of marked frames. marked: bool [frame]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(marked, int), [0]])))
    return edges.reshape(-1, 2).tolist()


def curves(values: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """One series per dimension with a common range. values: float [frame, dim]."""
    return {
        "names": [name.replace("_", " ").replace("delta ", "Δ") for name in names],
        "low": round(float(values.min()), 3),
        "high": round(float(values.max()), 3),
        "values": np.round(values.T.astype(float), 3).tolist(),
    }


def sheet_layout(episode: Episode) -> tuple[int, int]:
    """(px a side of a tile, tiles a row) of the episode's sprite sheets: long episodes get smaller tiles."""
    tile = min(episode.side_px, int((MOST_SHEET_PX / episode.frames) ** 0.5))
    return tile, max(COLUMNS, -(-episode.frames // (LONGEST_SIDE_PX // tile)))


def sprite_sheet(frames: Iterable[np.ndarray], count: int, tile: int, columns: int) -> bytes:
    """`count` frames in one WebP image, `columns` tiles a row. frames: each uint8 [height, width, 3]."""
    sheet = Image.new("RGB", (columns * tile, -(-count // columns) * tile))
    for i, frame in enumerate(frames):
        row, column = divmod(i, columns)
        sheet.paste(Image.fromarray(square(frame, tile)), (column * tile, row * tile))
    return _webp(sheet, quality=70, effort=2)  # 4 takes twice as long for a twentieth less


def square(image: np.ndarray, side: int) -> np.ndarray:
    """uint8 [height, width, 3] as [side, side, 3], centred on black."""
    if image.shape[:2] == (side, side):
        return image
    scale = side / max(image.shape[:2])
    height, width = (max(1, round(px * scale)) for px in image.shape[:2])
    top, left = (side - height) // 2, (side - width) // 2
    whole = np.zeros((side, side, 3), np.uint8)
    whole[top : top + height, left : left + width] = np.asarray(Image.fromarray(image).resize((width, height)))
    return whole


def thumbnail(image: np.ndarray) -> bytes:
    """uint8 [height, width, 3] as WebP of at most `THUMBNAIL_PX` a side: a list of episodes shows one of each."""
    small = Image.fromarray(image)
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    return _webp(small, quality=70, effort=6)


def encode(image: np.ndarray) -> bytes:
    """uint8 [height, width, 3] as WebP."""
    return _webp(Image.fromarray(image), quality=70, effort=1)


def _webp(image: Image.Image, quality: int, effort: int) -> bytes:
    """effort: 0 is quick, 6 is small."""
    file = io.BytesIO()
    image.save(file, "WEBP", quality=quality, method=effort)
    return file.getvalue()


def attention_file(attention: Attention) -> bytes:
    """Gzip of image weights, two frames a byte, the earlier in the high bits: uint8 [head, camera, patch, half of the
    frames, rounded up], and then masses uint8 [head, group, frame]; `attention_grid` patches a side.

    Frames come last: neighbours in time are alike, which halves the file.
    """
    image = LEVEL_OF[pooled(attention.image, attention_grid(attention))]
    image = np.concatenate([image, image[: len(image) % 2]])
    mass = np.round(attention.mass * 255).astype(np.uint8)
    frames_last = [np.ascontiguousarray(np.moveaxis(one, 0, -1)) for one in (image[::2] << 4 | image[1::2], mass)]
    return gzip.compress(b"".join(one.tobytes() for one in frames_last), 6, mtime=0)


def attention_grid(attention: Attention) -> int:
    """Patches a side in the attention file: fewer than the policy has where all of them, unpacked, would be more than
    MOST_ATTENTION_BYTES. The frames are those of `mass`.
    """
    maps = len(attention.mass) * int(np.prod(attention.image.shape[1:-1]))  # of [stack, layer, head, camera]
    return min(attention.grid, max(LEAST_GRID, int((MOST_ATTENTION_BYTES / maps) ** 0.5)))


def _coarse(attention: Attention) -> str:
    side, grid = attention_grid(attention), attention.grid
    return "" if side == grid else f" ({grid} × {grid} patches averaged to {side} × {side}, for the episode is long)"


def pooled(image: np.ndarray, side: int) -> np.ndarray:
    """Weights uint8 [frame, ..., camera, patch] averaged by area to `side` patches a side, the largest of a frame and
    head 255 again.
    """
    grid = round(image.shape[-1] ** 0.5)
    if side == grid:
        return image
    starts = np.arange(side)[:, None] * grid / side
    overlap = np.clip(np.minimum(starts + grid / side, np.arange(grid) + 1) - np.maximum(starts, np.arange(grid)), 0, 1)
    share = (overlap * side / grid).astype(np.float32)  # [side, grid]
    small = np.empty((*image.shape[:-1], side * side), np.uint8)
    for frame, patches in enumerate(image):  # [..., camera, patch]; one at a time, for floats are four times as large
        mean = (share @ patches.reshape(*patches.shape[:-1], grid, grid) @ share.T).reshape(*patches.shape[:-1], -1)
        small[frame] = np.rint(255 * mean / mean.max((-1, -2), keepdims=True).clip(1e-12))
    return small
