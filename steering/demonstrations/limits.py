"""How much a dataset from outside may ask for. What is beyond is refused in words before it is read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of reading other people's files; every reader and the process that it runs in obey them.

    files: in a folder or zip. unpacked_bytes: of a zip, counted while it is unpacked. download_bytes: of a hub dataset.
    text_bytes: of one JSON file, or of all text of a table. episodes: listed. frames: of one episode. rows: of one
    table. dims: of one state or action. array_bytes: read at once, which bounds a table's columns, an HDF5 chunk and an
    array. side_px: of a picture. image_bytes: of all pictures that one import keeps, after they were made smaller.
    instruction_characters: of one instruction, the rest is cut off. seconds, memory_bytes: of the process that
    inspects or imports.
    """

    files: int = 100_000
    unpacked_bytes: int = 20 << 30
    download_bytes: int = 20 << 30
    text_bytes: int = 256 << 20
    episodes: int = 200_000
    frames: int = 100_000
    rows: int = 50_000_000
    dims: int = 1024
    array_bytes: int = 1 << 30
    side_px: int = 4096
    image_bytes: int = 4 << 30
    instruction_characters: int = 1000
    seconds: float = 900.0
    memory_bytes: int = 12 << 30


LIMITS = Limits()
"""The limits that hold unless others are given."""
