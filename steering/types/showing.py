"""How dataclasses show themselves: a short `repr`, and HTML in a notebook. Plain strings, made in a millisecond.

The HTML needs no style sheet, no script and no library, reads in light and dark, and escapes every text that came from
a file. For figures one can zoom into, `steering.figures`.
"""

from __future__ import annotations

import base64
import dataclasses
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

MOST_ENTRIES, MOST_CHARACTERS = 4, 60
HUE = "#4c6ef5"
CELL_PX, GAP_PX, MARGIN_PX = 16, 2, 22
THUMBNAIL_PX = 128
LEFT = "text-align:left;padding:2px 16px 2px 0"


class Shown:
    """A dataclass whose `repr` names arrays by dtype and shape and long tuples by their length.

    Give `repr=False` to the dataclass, so that this one holds.
    """

    def __repr__(self) -> str:
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        told = ((field.name, getattr(self, field.name)) for field in fields)
        return f"{type(self).__name__}({', '.join(f'{name}={brief(value)}' for name, value in told)})"


def brief(value: Any) -> str:
    """A value in a few characters."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, np.floating | float):
        return f"{value:.4g}"
    if isinstance(value, str):
        return repr(value if len(value) <= MOST_CHARACTERS else f"{value[: MOST_CHARACTERS - 1]}…")
    if isinstance(value, Path):
        return value.name
    if isinstance(value, Mapping):
        if len(value) > MOST_ENTRIES:
            return f"{{{len(value)} entries}}"
        return f"{{{', '.join(f'{key!r}: {brief(one)}' for key, one in value.items())}}}"
    if isinstance(value, tuple | list):
        if len(value) > MOST_ENTRIES:
            return f"({len(value)} × {type(value[0]).__name__})"
        return f"({', '.join(map(brief, value))}{',' if len(value) == 1 else ''})"
    return repr(value)


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """An HTML table; every cell is escaped."""
    said = f"<caption style='{LEFT}'>{escape(caption)}</caption>" if caption else ""
    top = "".join(f"<th style='{LEFT}'>{escape(one)}</th>" for one in head)
    left = f"<td style='{LEFT}'>"
    body = "".join(f"<tr>{''.join(f'{left}{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{said}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def grid(label: str, values: np.ndarray, grey: np.ndarray, words: Sequence[Sequence[str]]) -> str:
    """One stack of heads as SVG: layers down, heads across, the stronger the higher.

    values: float [layer, head] in 0..1. grey: bool [layer, head], cells without a colour. words: of each cell, shown
    when the pointer rests on it.
    """
    layers, heads = values.shape
    step = CELL_PX + GAP_PX
    width, height = MARGIN_PX + heads * step, MARGIN_PX + layers * step
    parts = []
    for layer in range(layers):
        y = MARGIN_PX + layer * step
        parts.append(_number(MARGIN_PX - 4, y + 12, layer, "end"))
        for head in range(heads):
            if not words[layer][head]:
                continue
            colour = "fill='gray' fill-opacity='.25'"
            if not grey[layer, head]:
                colour = f"fill='{HUE}' fill-opacity='{0.06 + 0.94 * values[layer, head]:.2f}'"
            place = f"x='{MARGIN_PX + head * step}' y='{y}' width='{CELL_PX}' height='{CELL_PX}' rx='2'"
            parts.append(f"<rect {place} {colour}><title>{escape(words[layer][head])}</title></rect>")
    numbers = [_number(MARGIN_PX + head * step + CELL_PX / 2, 16, head, "middle") for head in range(heads)]
    return (
        f"<div style='display:inline-block;margin:0 16px 8px 0;vertical-align:top'><div>{escape(label)}</div>"
        f"<svg width='{width}' height='{height}' role='img' aria-label='{escape(label)}, layers down, heads across'>"
        f"{''.join(numbers)}{''.join(parts)}</svg></div>"
    )


def _number(x: float, y: float, value: int, anchor: str) -> str:
    style = f"text-anchor='{anchor}' font-size='10' fill='currentColor' opacity='.7'"
    return f"<text x='{x:g}' y='{y:g}' {style}>{value}</text>"


def picture(image: np.ndarray, label: str) -> str:
    """A picture, uint8 [height, width, 3], as an image of at most THUMBNAIL_PX on its longest side, with its name."""
    every = max(1, -(-max(image.shape[:2]) // THUMBNAIL_PX))
    data = base64.b64encode(_png(np.ascontiguousarray(image[::every, ::every]))).decode()
    return (
        f"<figure style='display:inline-block;margin:0 8px 8px 0'><img alt='{escape(label)}' "
        f"src='data:image/png;base64,{data}'><figcaption>{escape(label)}</figcaption></figure>"
    )


def curves(values: np.ndarray, names: Sequence[str]) -> str:
    """Small curves, one a dimension of float [frame, dim], each over its own range."""
    width, height, drawn = 160, 28, []
    for dim, name in enumerate(names):
        column = np.nan_to_num(values[:, dim].astype(float))
        low, high = float(column.min()), float(column.max())
        x = np.linspace(0, width, len(column))
        y = height - 2 - (column - low) / ((high - low) or 1) * (height - 4)
        points = " ".join(f"{a:.0f},{b:.1f}" for a, b in zip(x, y, strict=True))
        drawn.append(
            f"<div style='display:inline-block;margin:0 12px 4px 0'><div style='font-size:11px'>{escape(name)}</div>"
            f"<svg width='{width}' height='{height}' role='img' aria-label='{escape(name)}, {low:.3g} to {high:.3g}'>"
            f"<polyline points='{points}' fill='none' stroke='{HUE}' stroke-width='1.5'/></svg></div>"
        )
    return "".join(drawn)


def _png(image: np.ndarray) -> bytes:
    """uint8 [height, width, 3] as a PNG file."""
    height, width = image.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in image)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
