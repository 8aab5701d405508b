"""An adapter's task and the pretraining's families at several strengths, on the tiny policy."""

from __future__ import annotations

import sys
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from steering import pipeline, policy_cache
from steering.cli import main as cli
from steering.errors import InputError, NotFound
from steering.progress import Progress
from steering.rollout.episode import SceneOutcome
from steering.store import Store
from steering.types import Demonstrations, FinetuneSettings, StrengthSweep

TINY = FinetuneSettings(steps=1, batch_size=2, rank=2, warmup_steps=1, noise_samples=1)


def test_task_and_families_run_at_each_strength(
    tmp_path: Path,
    policy_folder: Path,
    demonstrations: Demonstrations,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Outcomes are made up; the weights that run, scenes, what is kept and what is said are the stage's own."""
    store = Store(tmp_path)
    recorded = store.save("demonstrations", replace(demonstrations, task="press_button"))
    trained = {"method": "lora", "settings": TINY, "policy": str(policy_folder)}
    adapter = pipeline.finetune(store, demonstrations_id=recorded, **trained)
    asked: list[tuple[str, int, float]] = []
    base = policy_cache.get(str(policy_folder)).model.state_dict()

    def run(policy, scenes, seeds, limit, progress, **_):  # type: ignore[no-untyped-def]
        progress.report(1.0, "ran")
        moved = max(float((one - base[name]).abs().max()) for name, one in policy.model.state_dict().items())
        asked.append((scenes[0].goal.skill, limit, moved))
        return [SceneOutcome(bool(moved) == (scenes[0].goal.skill == "press"), 9) for _ in seeds]

    monkeypatch.setattr("steering.rollout.runner.run_scenes", run)
    words = ("--strength", "1", "--strength", "0", "--strength", "0.5", "--trials", "4", "--store", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["steering", "strength", adapter, *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr().out
    assert end.value.code == 0
    assert [skill for skill, *_ in asked] == ["press", "push", "place"] * 3
    moved = [one for *_, one in asked][::3]
    assert moved[0] == 0 < moved[1] < moved[2] and moved[1] == pytest.approx(moved[2] / 2, rel=1e-3)
    (manifest,) = store.find("strength")
    found = store.load(manifest.id)
    assert isinstance(found, StrengthSweep) and found.strengths == (0.0, 0.5, 1.0) and manifest.parents == (adapter,)
    assert [one.successes for one in found.rates["press_button"]] == [0, 4, 4]
    assert [one.successes for one in found.rates["place"]] == [4, 0, 0]
    assert "0.5" in said and "4 of 4 (51 to 100 %)" in said
    assert pipeline.sweep_strength(store, adapter_id=adapter, strengths=(0, 0.5, 1), trials=4) == manifest.id
    assert len(asked) == 9, "made once"
    told: list[float] = []
    watched = Progress(lambda report: told.append(report.fraction))
    monkeypatch.setattr(policy_cache, "_cache", OrderedDict())  # each strength is loaded anew
    pipeline.sweep_strength(store, adapter_id=adapter, strengths=(0, 0.5, 1), trials=3, progress=watched)
    assert len(set(told)) >= 9 and told == sorted(told), "loading at another strength does not begin anew"
    with pytest.raises(InputError, match="from 0 to 1"):
        pipeline.sweep_strength(store, adapter_id=adapter, strengths=(2,))
    with pytest.raises(NotFound):
        pipeline.sweep_strength(store, adapter_id=adapter, families=("fold",))
    elsewhere = pipeline.finetune(store, demonstrations_id=store.save("demonstrations", demonstrations), **trained)
    with pytest.raises(InputError, match="of no task of the simulator"):
        pipeline.sweep_strength(store, adapter_id=elsewhere)
    assert np.isfinite(moved).all()
