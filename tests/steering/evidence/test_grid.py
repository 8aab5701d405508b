"""The grid's cells, how one is made, and that a stopped grid goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from steering.errors import InputError, NotFound, SteeringError
from steering.evidence import engine
from steering.evidence.engine import Done, left_to_make, result_file, run_grid
from steering.evidence.grid import (
    METHODS,
    QUICK,
    SEEDS,
    TASKS,
    Cell,
    GridSettings,
    cells,
    conditions,
    make_cell,
    parse_cell,
)
from steering.store import Store
from steering.types import METHODS as TRAINABLE


def test_the_grid_has_the_paper_s_cells_and_the_two_curves() -> None:
    found = cells()
    assert len(set(found)) == len(found) and {cell.task for cell in found} == set(TASKS)
    for task in TASKS:
        for method, how in METHODS.items():
            seeds = {c.seed for c in found if (c.task, c.variant) == (task, method)}
            assert seeds == set(how.seeds(task))
            assert how.finetune in TRAINABLE
    assert METHODS["random"].seeds("pick_cube") == METHODS["zero_shot"].seeds("push_cup_to_bowl") == (0,)
    assert METHODS["bottom"].seeds("push_cup_to_bowl") == METHODS["lora"].seeds("pick_cube") == SEEDS
    assert {c.heads for c in found} - {None} and {c.demonstrations for c in found} - {None}
    run = {condition for cell in found for condition in conditions(cell)}
    assert {task for task, _ in run} == {*TASKS, "pick_mug"}
    assert {("place_marker_in_mug", (v,)) for v in ("lighting", "form", "distractors")} <= run
    settings = GridSettings()
    assert settings.demonstrations == 20 and settings.trials >= 100 and len(SEEDS) == 3


def test_a_cell_s_name_is_read_back() -> None:
    for cell in cells():
        assert parse_cell(cell.id) == cell
    assert parse_cell("pick_cube/lora@demonstrations=5/0").demonstrations == 5


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("pick_cube/lora", InputError, "task/method/seed"),
        ("pick_cub/lora/0", NotFound, "pick_cube"),
        ("pick_cube/steering_vl/0", NotFound, "steering_vlm"),
        ("pick_cube/lora@heads=x/0", InputError, "heads=N"),
    ],
)
def test_wrong_names_are_refused_in_words(text: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        parse_cell(text)


@pytest.fixture(scope="module")
def tiny(policy_folder: Path) -> GridSettings:
    return replace(QUICK, policy=str(policy_folder), trials=1, demonstrations=2, stride=16)


@pytest.mark.slow
def test_a_cell_says_what_was_trained_what_it_cost_and_every_outcome(tmp_path: Path, tiny: GridSettings) -> None:
    store = Store(tmp_path)
    result = make_cell(parse_cell("press_button/steering_both/1"), tiny, store, processes=1)
    assert json.loads(json.dumps(result)) == result
    assert result["command"] == "python -m steering evidence grid --cell press_button/steering_both/1 --out FOLDER"
    assert len(result["heads"]) == 3 and result["settings"]["trials"] == 1
    cost = result["cost"]
    assert cost["trainable_parameters"] == sum(cost["parameters"].values()) > 0
    assert cost["train_s"] > 0 and cost["extraction_s"] > 0 and cost["selection_s"] > 0 and cost["peak_memory_mb"] > 0
    (one,) = result["conditions"]
    assert len(one["success"]) == len(one["steps"]) == len(one["failure"]) == 1
    assert one["first_scene"] == store.load(store.find("rollouts")[0].id).seeds[0]
    assert {"steering", "torch", "mujoco"} <= set(result["versions"])
    again = make_cell(parse_cell("press_button/steering_both/1"), tiny, store, processes=1)
    assert {**again, "wall_s": 0} == {**result, "wall_s": 0}, (
        "the second time nothing is made, and costs are remembered"
    )
    more = make_cell(parse_cell("press_button/lora_rank_matched/1"), tiny, store, processes=1)
    assert more["cost"]["trainable_parameters"] > 0 and len(store.find("demonstrations")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["processes", "ray"])
def test_every_engine_makes_the_same_cells(tmp_path: Path, tiny: GridSettings, name: str) -> None:
    """Recorded, captured, chosen, trained and run elsewhere: the same heads, and the same outcome of every scene."""
    chosen = [Cell("press_button", "steering_vlm", 0), Cell("press_button", "zero_shot", 0)]
    folders = {"engine": name, "workers": 2, "store": tmp_path / "a", "out": tmp_path / "out_a"}
    apart = run_grid(chosen, tiny, say=lambda _: None, **folders)
    here = run_grid(chosen, tiny, store=tmp_path / "b", out=tmp_path / "out_b", say=lambda _: None)
    assert all(done.result for done in (*apart, *here)), [done.error for done in apart]
    made = [
        {d.cell: (d.result["heads"], [{**c, "rollout_s": 0} for c in d.result["conditions"]]) for d in done if d.result}
        for done in (apart, here)
    ]
    assert made[0] == made[1]


def test_ray_that_is_not_there_is_said(tmp_path: Path, tiny: GridSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(SteeringError, match="pip install"):
        run_grid(list(cells()[:1]), tiny, store=tmp_path, out=tmp_path, engine="ray", say=lambda _: None)


def test_a_grid_goes_on_where_it_was_and_past_what_fails(
    tmp_path: Path, tiny: GridSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, calls = list(cells()[:4]), []

    def make(cell: Cell, settings: GridSettings, store: Store, **_: object) -> dict:
        calls.append(cell)
        if cell == chosen[1] and len(calls) < 5:
            raise InputError("not this time")
        weights = engine.policy_cache.fingerprint(settings.policy)
        condition = {"task": cell.task, "variations": [], "success": "01"}
        settings_of = json.loads(json.dumps(settings.__dict__))
        return {"cell": cell.id, "settings": settings_of, "weights": weights, "wall_s": 3.0, "conditions": [condition]}

    monkeypatch.setattr(engine, "make_cell", make)
    folders = {"store": tmp_path / "store", "out": tmp_path / "out"}
    lines: list[str] = []
    made = run_grid(chosen, tiny, say=lines.append, **folders)
    assert [done.cell for done in made if done.result] == [chosen[0], *chosen[2:]]
    assert made[1] == Done(chosen[1], None, "InputError: not this time") and "failed" in lines[2]
    assert left_to_make(chosen, tiny, folders["out"]) == {
        "cells": 4,
        "there": 3,
        "left": [chosen[1].id],
        "about_s": 3,
    }
    calls += chosen
    assert [done.cell for done in run_grid(chosen, tiny, say=lines.append, **folders)] == [chosen[1]]
    assert run_grid(chosen, tiny, say=lines.append, **folders) == []
    result_file(folders["out"], chosen[2]).write_text("{ half a fi")
    other = replace(tiny, steps=3)
    assert len(run_grid(chosen[:1], other, say=lines.append, **folders)) == 1, "other settings are another result"
    assert len(run_grid(chosen[2:3], tiny, say=lines.append, **folders)) == 1, "a damaged file is made again"


PARENT = """
import multiprocessing, os, time
from steering.child import end_with_parent

def child():
    end_with_parent()
    print(os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=child).start()
    time.sleep(60)
"""


def test_processes_end_when_the_grid_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": str(Path(engine.__file__).parents[2])}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env=environment, text=True) as parent:
        assert parent.stdout is not None
        os.kill(int(parent.stdout.readline()), 0)
        parent.send_signal(signal.SIGKILL)
        began_s = time.monotonic()
        parent.stdout.read()  # until no process holds the other end
        assert time.monotonic() - began_s < 30


def test_an_unknown_engine_is_refused(tmp_path: Path, tiny: GridSettings) -> None:
    with pytest.raises(NotFound, match="processes"):
        run_grid([], tiny, store=tmp_path, out=tmp_path, engine="process")
