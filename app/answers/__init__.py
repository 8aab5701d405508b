"""What questions are answered with, by subject: frozen dataclasses that views draw and scripts read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Json: TypeAlias = "None | bool | int | float | str | Sequence[Json] | Mapping[str, Json]"
"""What a JSON document holds."""
