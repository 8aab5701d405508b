"""Runs in people's loggers: real files of TensorBoard, the settings beside them, and words where one is missing."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import steering.cli.main  # noqa: F401  registers the commands
from steering.cli.frame import app
from steering.errors import InputError, NotFound
from steering.loggers import LOGGERS, logged
from steering.progress import Progress, Report
from steering.store import Store
from steering.types import Demonstrations

# Told by TensorBoard's own dependencies, of their own code.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def _scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: dict[str, list[tuple[int, float]]] = {}
    for file in folder.rglob("events.out.tfevents*"):
        events = EventAccumulator(str(file))
        events.Reload()
        for tag in events.Tags()["scalars"]:
            found.setdefault(tag, []).extend((one.step, round(one.value, 6)) for one in events.Scalars(tag))
    return found


def test_numbers_and_settings_are_written(tmp_path: Path) -> None:
    seen: list[Report] = []
    with logged("tensorboard", "runs", {"rank": 4, "ks": (1, 2), "note": None}, tmp_path, seen.append) as sink:
        progress = Progress(sink)
        progress.report(0.1, "loading")
        progress.report(0.5, "step 1", step=1, loss=0.5)
        progress.report(0.5, "step 1 again", step=1, loss=0.5)
        progress.report(0.9, "step 2", step=2, loss=0.25, heldout_error=0.125)
    assert [one.message for one in seen] == ["loading", "step 1", "step 1 again", "step 2"]
    scalars = _scalars(tmp_path / "runs")
    assert scalars["loss"] == [(1, 0.5), (2, 0.25)] and scalars["heldout_error"] == [(2, 0.125)]
    (kept,) = (tmp_path / "runs").rglob("hparams.yml")
    assert "rank: 4" in kept.read_text(encoding="utf-8")


def test_without_a_logger_nothing_is_written_or_loaded(tmp_path: Path) -> None:
    seen: list[Report] = []
    with logged(None, "runs", {}, tmp_path, seen.append) as sink:
        sink(Report(0.5, "half", None))
    assert len(seen) == 1 and not list(tmp_path.iterdir())


def test_a_logger_that_is_unknown_or_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound, match="Did you mean 'tensorboard'"), logged("tensorbord", "runs", {}, tmp_path, print):
        pass
    from accelerate import tracking

    monkeypatch.setattr(tracking, "get_available_trackers", lambda: [])
    for name, package in LOGGERS.items():
        with pytest.raises(InputError, match=f"pip install {package}"), logged(name, "runs", {}, tmp_path, print):
            pass


def test_accelerate_knows_all_of_them() -> None:
    from accelerate import tracking

    assert LOGGERS.keys() <= tracking.LOGGER_TYPE_TO_CLASS.keys()


def _of_trackio(folder: Path) -> dict[str, list[tuple[int, float]]]:
    (file,) = folder.glob("*.db")
    with contextlib.closing(sqlite3.connect(file)) as base:
        rows = base.execute("select step, metrics from metrics order by step").fetchall()
        (settings,) = base.execute("select config from configs").fetchone()
    assert json.loads(settings)["rank"] == 2
    found: dict[str, list[tuple[int, float]]] = {}
    for step, numbers in rows:
        for name, value in json.loads(numbers).items():
            found.setdefault(name, []).append((step, value))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_the_other_loggers_keep_a_finetune_and_leave_standard_output_alone(
    name: str, policy_folder: Path, demonstrations: Demonstrations, tmp_path: Path
) -> None:
    """In a process of its own: both go on until Python ends. wandb's file is of its own kind, and names numbers."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed; make test-slow installs the extra `loggers`")
    kept = Store(tmp_path / "store").save("demonstrations", demonstrations)
    command = [sys.executable, "-m", "steering", "finetune", kept, "--method", "lora", "--steps", "3", "--rank", "2"]
    command += ["--batch-size", "2", "--noise-samples", "1", "--policy", str(policy_folder), "--log-to", name]
    places = {"TRACKIO_DIR": str(tmp_path / "logs"), "WANDB_DIR": str(tmp_path), "WANDB_MODE": "offline"}
    environment = {**os.environ, **places, "STEERING_STORE": str(tmp_path / "store")}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert json.loads(ran.stdout)["artefact"].startswith("adapter-"), "something else was printed"
    if name == "trackio":
        found = _of_trackio(tmp_path / "logs")
        assert [step for step, _ in found["loss"]][-1] == 3 and len(found["heldout_error"]) > 1
    else:
        (run,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
        assert all(number in run.read_bytes() for number in (b"loss", b"heldout_error", b"learning_rate"))


def test_the_command_logs_a_finetune(policy_folder: Path, demonstrations: Demonstrations, tmp_path: Path) -> None:
    kept = Store(tmp_path / "store").save("demonstrations", demonstrations)
    options = ["--method", "lora", "--steps", "3", "--batch-size", "2", "--rank", "2", "--noise-samples", "1"]
    where = ["--policy", str(policy_folder), "--store", str(tmp_path / "store"), "--log-to", "tensorboard"]
    ran = CliRunner().invoke(app, ["finetune", kept, *options, *where, "--log-folder", str(tmp_path / "logs")])
    assert ran.exit_code == 0, (ran.output, ran.exception)
    steps = [step for step, _ in _scalars(tmp_path / "logs")["loss"]]
    assert steps == sorted(set(steps)) and steps[-1] == 3
