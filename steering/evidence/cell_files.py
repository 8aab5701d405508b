"""Results of cells as files: one JSON file a cell, at `folder/a/b/c.json`, whole or not there. Milliseconds.

A result stands for a cell while it was made with the same settings of the policy with the same weights; else the cell
is made again. What a plan says of time left comes from the `wall_s` of results that stand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from steering.manifest import plain_params

Result = dict[str, Any]


def write_result(file: Path, result: Mapping[str, Any]) -> None:
    """Write a result whole: a process that is killed leaves the former file, or none."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(result, separators=(",", ":")) + "\n", encoding="utf-8")
    partial.replace(file)


def read_result(file: Path, settings: Any, weights: str) -> Result | None:
    """The result in a file if it was made with these settings, a dataclass, of the policy with these weights."""
    try:
        result: Result = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    same = result["settings"] == plain_params(asdict(settings)) and result["weights"] == weights
    return result if same else None


def read_results_in(folder: Path) -> list[Result]:
    """Every result in a folder, by whatever settings, in the order of their files."""
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*/*/*.json"))]


def left_of(found: Mapping[str, Result | None]) -> dict[str, Any]:
    """Of cells by id and their results: what is there, what is left, and about how many seconds that takes one by one.

    Cells whose training was another cell's (`training_of`) take no time and say nothing of that.
    """
    took = [one["wall_s"] for name, one in found.items() if one is not None and one.get("training_of", name) == name]
    left = [name for name, one in found.items() if one is None]
    seconds = round(float(np.mean(took)) * len(left)) if took else None
    return {"cells": len(found), "there": len(found) - len(left), "left": left, "about_s": seconds}
