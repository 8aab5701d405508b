"""Changed instructions, recordings and open-loop comparisons through the pipeline, on the tiny policy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from steering import pipeline
from steering.comparison.compare import report
from steering.comparison.open_loop import open_loop_report
from steering.errors import InputError
from steering.rollout import episode
from steering.store import Store
from steering.types import Demonstrations, FinetuneSettings, OpenLoopComparison, Rollouts

TINY = FinetuneSettings(steps=2, batch_size=2, rank=2, warmup_steps=1, noise_samples=1)


def test_instructions_of_one_policy_are_kept_apart_and_compared(
    tmp_path: Path, policy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episode, "IMAGE_PX", 32)
    monkeypatch.setattr(episode, "VIDEO_PX", 32)
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
    assert "One episode has no interval" in open_loop_report(comparison)
    with pytest.raises(InputError, match="took part in the training"):
        pipeline.open_loop(store, demonstrations_id=made, adapters=adapters, episodes=[0], **source)
    untouched = pipeline.open_loop(
        store, demonstrations_id=made, adapters={"zero_shot": None}, episodes=[0, 1, 2], stride=3, samples=1, **source
    )
    low, high = store.load(untouched).total[0, 1:]
    assert low < store.load(untouched).total[0, 0] < high
