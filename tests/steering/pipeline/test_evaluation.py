"""Changed instructions, recordings and open-loop comparisons through the pipeline, on the tiny policy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steering import pipeline
from steering.comparison.compare import report
from steering.comparison.open_loop import open_loop_report
from steering.errors import InputError
from steering.pipeline import evaluation
from steering.rollout import episode
from steering.simulation.tasks import TASKS
from steering.store import Store
from steering.types import Demonstrations, FinetuneSettings, Head, OpenLoopComparison, Rollouts, Selection

TINY = FinetuneSettings(steps=2, batch_size=2, rank=2, warmup_steps=1, noise_samples=1)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episode, "IMAGE_PX", 32)
    monkeypatch.setattr(episode, "VIDEO_PX", 32)
    monkeypatch.setitem(TASKS, "press_button", replace(TASKS["press_button"], step_limit=20))


@pytest.mark.usefixtures("small")
def test_instructions_of_one_policy_are_kept_apart_and_compared(tmp_path: Path, policy_folder: Path) -> None:
    store = Store(tmp_path)
    common = {"task": "press_button", "policy": str(policy_folder), "trials": 1, "videos": 1}
    made = [pipeline.rollout(store, instruction=words, **common) for words in ("original", "empty")]
    assert made[0] != made[1] and pipeline.rollout(store, processes=2, **common) == made[0]
    original, empty = (store.load(one) for one in made)
    assert isinstance(original, Rollouts) and original.instructions == ("press the button",)
    assert empty.instruction == "empty" and empty.instructions == ("",)
    (trace,) = original.traces
    assert len(json.loads(trace.read_text())["path_m"]) == original.steps[0] + 1
    comparison = store.load(pipeline.compare(store, rollouts_ids=made))
    assert [one.method for one in comparison.outcomes] == ["zero_shot", "zero_shot/empty"]
    assert "Zero-shot (no words): 0 of 1" in report(comparison)


@pytest.mark.usefixtures("small")
def test_the_scenes_that_are_filmed_are_run_again_and_end_alike(tmp_path: Path, policy_folder: Path) -> None:
    store = Store(tmp_path)
    options = {"task": "press_button", "policy": str(policy_folder), "adapters": {"zero_shot": None}, "trials": 2}
    made = pipeline.evaluate(store, videos=1, **options)
    assert pipeline.evaluate(store, videos=1, **options) == made
    (rollouts_id,) = store.manifest(made).parents
    filmed = store.load(rollouts_id)
    unfilmed = [one for one in store.find("rollouts") if one.id != rollouts_id]
    assert [one.params["videos"] for one in unfilmed] == [0] and len(filmed.seeds) == 2
    np.testing.assert_array_equal(filmed.success, store.load(unfilmed[0].id).success)
    assert filmed.recorded == (filmed.seeds[0],) and filmed.videos[0].is_file()
    assert len(json.loads(filmed.traces[0].read_text())["path_m"]) == filmed.steps[0] + 1

    # A scene that ended otherwise the second time gets no film.
    other = replace(store.load(unfilmed[0].id), steps=filmed.steps - 1)
    changed = store.save("rollouts", other, params={**unfilmed[0].params, "seed": 1})
    without = store.load(pipeline.film(store, rollouts_id=changed, seeds=filmed.seeds[:1]))
    assert without.recorded == without.videos == () and list(store.folder(rollouts_id).glob("*.mp4"))


def test_a_comparison_stops_once_it_is_decided_where_the_user_asks(
    tmp_path: Path, demonstrations: Demonstrations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outcomes are made up; scenes, looks, what is stored and what is said are the pipeline's own."""
    asked: list[tuple[str, tuple[int, ...]]] = []

    def made_up(store: Store, adapter_id: str | None, params: Any, seeds: Any, *_: object) -> Rollouts:
        asked.append((params["method"], tuple(seeds)))
        won = np.full(len(seeds), params["method"] == "lora")
        steps, left = np.full(len(seeds), 9, np.int32), np.zeros(len(seeds), np.float32)
        manner = {"failure": ("",) * len(seeds), "distance_m": left, "wrong_object": left > 0}
        return Rollouts(params["method"], params["task"], (), tuple(seeds), won, steps, **manner)

    monkeypatch.setattr(evaluation, "_run", made_up)
    store = Store(tmp_path)
    adapter = store.save("adapter", Selection((Head("vlm", 0, 1),), "a stand-in"), params={"policy": "embedded"})
    options = {"task": "press_button", "adapters": {"zero_shot": None, "lora": adapter}, "trials": 30, "videos": 0}
    made = pipeline.evaluate(store, matters=0.2, **options)
    seeds = pipeline.scene_seeds(0, 30)
    assert asked == [("zero_shot", seeds[:8]), ("lora", seeds[:8])]
    comparison = store.load(made)
    assert comparison.seeds == seeds[:8] and comparison.stopping.kinds == ("difference",)
    assert "Stopped after 8 of at most 30 scenes: a difference is shown." in report(comparison)
    assert pipeline.evaluate(store, matters=0.2, **options) == made and len(asked) == 2, "it is not run again"

    whole = store.load(pipeline.evaluate(store, **options))
    assert len(whole.seeds) == 30 and whole.stopping is None and "McNemar" in report(whole)
    with pytest.raises(InputError, match="two or more methods"):
        pipeline.evaluate(store, matters=0.2, **{**options, "adapters": {"zero_shot": None}})
    with pytest.raises(InputError, match="between 0 and 1"):
        pipeline.evaluate(store, matters=20, **options)


def test_open_loop_compares_adapters_on_episodes_that_were_left_out(
    tmp_path: Path, policy_folder: Path, demonstrations: Demonstrations
) -> None:
    store = Store(tmp_path)
    made = store.save("demonstrations", demonstrations)
    source = {"policy": str(policy_folder)}
    adapter = pipeline.finetune(store, demonstrations_id=made, method="lora", settings=TINY, **source)
    adapters = {"zero_shot": None, "lora": adapter}
    comparison = store.load(
        pipeline.open_loop(store, demonstrations_id=made, adapters=adapters, stride=2, samples=1, **source)
    )
    assert isinstance(comparison, OpenLoopComparison)
    assert comparison.methods == ("zero_shot", "lora") and comparison.episodes == (3,)
    assert comparison.error.shape == (2, 4, 7) and not np.array_equal(comparison.error[0], comparison.error[1])
    assert "One episode has no interval" in open_loop_report(comparison, {})
    with pytest.raises(InputError, match="took part in the training"):
        pipeline.open_loop(store, demonstrations_id=made, adapters=adapters, episodes=[0], **source)
    everything = pipeline.finetune(
        store, demonstrations_id=made, method="lora", settings=TINY, heldout_episodes=[], **source
    )
    with pytest.raises(InputError, match="trained on every episode .* Train it again with held-out episodes"):
        pipeline.open_loop(store, demonstrations_id=made, adapters={"lora": everything}, **source)
    untouched = pipeline.open_loop(
        store, demonstrations_id=made, adapters={"zero_shot": None}, episodes=[0, 1, 2], stride=3, samples=1, **source
    )
    low, high = store.load(untouched).total[0, 1:]
    assert low < store.load(untouched).total[0, 0] < high
