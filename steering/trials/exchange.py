"""Results in the files of others: lerobot-eval's `eval_info.json`, and CSV with a row for each trial.

Outcomes are named by what they can be paired by: group, task and number of the episode in lerobot's file, block in a
CSV. lerobot's file is of one policy, so that a book becomes one for each method.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from steering.errors import InputError
from steering.types import Trial, TrialPlan

EVAL_INFO = "eval_info.json"
COLUMNS = ("block", "condition", "letter", "method", "outcome", "progress", "note", "media", "at")
MAX_BYTES = 64 << 20


def write_csv(path: Path, trials: Sequence[Trial]) -> None:
    """A row for each trial that was recorded, void ones too."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for trial in trials:
            slot = trial.slot
            progress = "" if trial.progress is None else trial.progress
            said = (trial.outcome, progress, _plain(trial.note), trial.media, trial.at)
            rows.writerow((slot.block, _plain(slot.condition), slot.letter, _plain(slot.method), *said))


def _plain(text: str) -> str:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def write_eval_info(folder: Path, plan: TrialPlan, trials: Sequence[Trial]) -> list[Path]:
    """`<method>/eval_info.json` as lerobot-eval writes it; rewards are the progress where it was kept, else success."""
    written = []
    for method in plan.methods:
        path = folder / method.replace("/", "_") / EVAL_INFO
        path.parent.mkdir(parents=True, exist_ok=True)
        own = [trial for trial in trials if trial.slot.method == method and trial.outcome != "void"]
        path.write_text(json.dumps(_eval_info(plan, own), indent=2) + "\n", encoding="utf-8")
        written.append(path)
    return written


def _eval_info(plan: TrialPlan, trials: Sequence[Trial]) -> dict[str, Any]:
    tasks: list[dict[str, Any]] = []
    metrics: list[dict[str, Any]] = []
    for index, condition in enumerate(plan.conditions):
        own = sorted((one for one in trials if one.slot.condition == condition), key=lambda one: one.slot.block)
        rewards = [_reward(plan, one) for one in own]
        one = {"sum_rewards": rewards, "max_rewards": rewards, "successes": [t.outcome == "success" for t in own]}
        metrics.append({**one, "video_paths": [t.media for t in own if t.media]})
        tasks.append({"task_group": "robot", "task_id": index, "condition": condition, "metrics": metrics[-1]})
    everything = {name: [value for one in metrics for value in one[name]] for name in metrics[0]}
    total = {
        "avg_sum_reward": _mean(everything["sum_rewards"]),
        "avg_max_reward": _mean(everything["max_rewards"]),
        "pc_success": None if (rate := _mean(everything["successes"])) is None else 100 * rate,
        "n_episodes": len(everything["successes"]),
        "video_paths": everything["video_paths"],
    }
    return {"per_task": tasks, "per_group": {"robot": total}, "overall": total}


def _reward(plan: TrialPlan, trial: Trial) -> float:
    if trial.progress is None or not plan.stages:
        return float(trial.outcome == "success")
    return trial.progress / len(plan.stages)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def read_outcomes(path: Path) -> dict[str, dict[tuple[str, ...], bool]]:
    """Method -> unit -> success, of a file of lerobot-eval (its method is "") or a CSV. Void trials are left out.

    A CSV needs the columns `outcome` or `success`, and `block`, `scene` or `seed`; `method` where it holds several.
    Raises InputError, in words, for what is neither.
    """
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise InputError(f"Expected a file of results of at most {MAX_BYTES >> 20} MB at {path}; there is none.")
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    try:
        found = _of_csv(text) if path.suffix.lower() == ".csv" else {"": _of_eval_info(json.loads(text))}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, csv.Error) as error:
        raise InputError(
            f"Expected {EVAL_INFO} of lerobot-eval, or a CSV with the columns block, method and outcome; {path.name} "
            f"is neither ({type(error).__name__}: {str(error)[:100]})."
        ) from None
    if not any(found.values()):
        raise InputError(f"{path.name} holds no outcome of an episode.")
    return found


def _of_eval_info(info: Mapping[str, Any]) -> dict[tuple[str, ...], bool]:
    if "per_episode" in info:  # of one task, lerobot before 0.4
        return {(str(one.get("seed", i)),): bool(one["success"]) for i, one in enumerate(info["per_episode"])}
    units: dict[tuple[str, ...], bool] = {}
    for task in info["per_task"]:
        for episode, success in enumerate(task["metrics"]["successes"]):
            units[(str(task["task_group"]), str(task["task_id"]), str(episode))] = bool(success)
    return units


def _of_csv(text: str) -> dict[str, dict[tuple[str, ...], bool]]:
    found: dict[str, dict[tuple[str, ...], bool]] = {}
    for row in csv.DictReader(text.splitlines()):
        outcome = str(row.get("outcome") or row["success"]).strip().lower()
        if outcome in ("void", ""):
            continue
        if outcome not in ("success", "failure", "true", "false", "1", "0"):
            raise ValueError(f"an outcome is success, failure or void, not {outcome[:40]!r}")
        unit = row.get("block") or row.get("scene") or row["seed"]
        where = (str(row.get("condition") or ""), str(unit))
        found.setdefault(str(row.get("method") or ""), {})[where] = outcome in ("success", "true", "1")
    return found


def paired_outcomes(method: Mapping[tuple[str, ...], bool], reference: Mapping[tuple[str, ...], bool]) -> np.ndarray:
    """int [pair], 1, 0 or -1 as `verdict.paired`, of the units that both have. Raises InputError for none."""
    shared = [unit for unit in reference if unit in method]
    if not shared:
        raise InputError("The two have no episode in common, so they cannot be paired. Run both on the same starts.")
    return np.array([int(method[unit]) - int(reference[unit]) for unit in shared], dtype=int)
