"""The paired run of head surgery through the pipeline, on the tiny policy."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from steering import pipeline
from steering.cli import main as cli
from steering.comparison.surgery import surgery_report
from steering.errors import InputError
from steering.rollout import episode
from steering.simulation.tasks import TASKS
from steering.store import Store
from steering.types import Head, Rollouts, SurgeryRun

HEADS = [("expert", 0, 1), ("expert", 0, 2), ("expert", 2, 0)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episode, "IMAGE_PX", 32)
    monkeypatch.setattr(episode, "VIDEO_PX", 32)
    monkeypatch.setitem(TASKS, "press_button", replace(TASKS["press_button"], step_limit=30))


def test_scenes_run_untouched_changed_and_with_a_control(tmp_path: Path, policy_folder: Path) -> None:
    store = Store(tmp_path)
    options = {"task": "press_button", "policy": str(policy_folder), "trials": 2}
    plain = pipeline.rollout(store, videos=0, **options)
    made = pipeline.operate(store, heads=HEADS, factor=-1.0, from_s=0.5, videos=1, **options)
    assert pipeline.operate(store, heads=HEADS[::-1], factor=-1, from_s=0.5, videos=1, **options) == made
    run = store.load(made)
    assert isinstance(run, SurgeryRun) and run.control is not None and run.ended_before == 0
    assert [one.method for one in run.comparison.rates] == ["zero_shot", "changed", "control"]
    chosen = {Head(*one) for one in HEADS}
    assert set(run.surgery.heads) == chosen and not chosen & set(run.control.instead)
    layers = sorted((one.stack, one.layer) for one in run.control.instead)
    assert layers == [("expert", 0), ("expert", 0), ("expert", 2)], "as many in each layer"
    runs: list[Rollouts] = [store.load(one) for one in store.manifest(made).parents]
    assert [one.recorded for one in runs] == [runs[0].recorded] * 3 and all(len(one.videos) == 1 for one in runs)
    unfilmed = [one for one in store.find("rollouts") if not one.params["videos"]]
    assert plain in {one.id for one in unfilmed} and len(unfilmed) == 3, (
        "the untouched run is the one of any comparison"
    )
    said = surgery_report(run)
    assert said.startswith("3 heads turned round from 0.5 s on: 0 of 2 scenes instead of 0, no difference shown")
    assert "Zero-shot against Heads changed: +0 points (95 % interval" in said
    assert "Control: other heads, same norm" in said


def test_whole_layers_have_no_control_and_what_cannot_be_done_is_said_at_once(
    tmp_path: Path, policy_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = [word for head in range(4) for word in ("--head", f"expert.1.{head}")]
    options = ("--task", "press_button", "--trials", "1", "--videos", "0", "--policy", str(policy_folder))
    monkeypatch.setattr(sys, "argv", ["steering", "surgery", *whole, *options, "--store", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0 and "no control, as a layer has no other heads" in capsys.readouterr().out
    store = Store(tmp_path)
    [manifest] = store.find("surgery")
    assert store.load(manifest.id).control is None and len(manifest.parents) == 2
    with pytest.raises(InputError, match="asked every"):
        pipeline.operate(store, heads=HEADS, from_s=0.05, task="press_button", policy=str(policy_folder))
    with pytest.raises(InputError, match="There is no head"):
        pipeline.operate(store, heads=[("expert", 7, 0)], task="press_button", policy=str(policy_folder))


def test_a_factor_of_one_ends_as_the_untouched_run_does(tmp_path: Path, policy_folder: Path) -> None:
    store = Store(tmp_path)
    common = {"task": "press_button", "policy": str(policy_folder), "trials": 1, "videos": 1}
    made = pipeline.operate(store, heads=HEADS, factor=1.0, **common)
    runs = [store.load(one) for one in store.manifest(made).parents]
    for one in runs[1:]:
        assert one.traces[0].read_bytes() == runs[0].traces[0].read_bytes()
        np.testing.assert_array_equal(one.steps, runs[0].steps)
