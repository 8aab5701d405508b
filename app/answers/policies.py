"""Policies as the chooser lists them."""

from __future__ import annotations

from dataclasses import dataclass

from steering.types import HeadShape


@dataclass(frozen=True)
class PolicyRow:
    """A policy as the chooser lists it. shape, parameters: None where only its check will tell."""

    key: str
    name: str
    place: str
    shape: HeadShape | None
    parameters: int | None
    used: bool
