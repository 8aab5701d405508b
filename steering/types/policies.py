"""What opening a policy has shown of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from steering.types.axes import HeadShape


@dataclass(frozen=True)
class PolicyCheck:
    """A policy that was opened: recognised, found to fit into memory, and loaded.

    policy: its source. family: `pi0`, `smolvla`, …. layout: of its files, `transformers` or `lerobot`. parameters: of
    the whole model. placement: the memory that it takes and what there was, as a sentence. statistics: `own` where it
    brings its normalisation, `demonstrations` where that is taken from them. notices: what the user should know.
    """

    policy: str
    family: str
    layout: str
    head_shape: HeadShape
    parameters: int
    placement: str
    statistics: str
    load_s: float
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class PolicyExport:
    """A trained adapter in a layout that others load, as one zip file. layout: `lerobot` or `peft`."""

    layout: str
    file: Path
