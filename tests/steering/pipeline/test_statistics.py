"""Normalisation comes from what is trained on alone, and an adapter runs under that which it was trained under."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steering import pipeline, policy_cache
from steering.errors import InputError
from steering.finetune import training
from steering.models.kept_statistics import STATISTICS_FILE, read_statistics
from steering.models.preprocessing import Statistics, dataset_statistics
from steering.rollout import open_loop, runner
from steering.store import Store
from steering.types import Demonstrations, FinetuneSettings

SETTINGS = FinetuneSettings(steps=1, batch_size=2, rank=2, warmup_steps=1, noise_samples=1)


@pytest.fixture
def bare(policy_folder: Path, tmp_path: Path) -> Iterator[str]:
    """A policy that brings no statistics."""
    folder = shutil.copytree(policy_folder, tmp_path / "bare")
    (folder / "processor_config.json").unlink()
    yield str(folder)
    policy_cache.forget()


@pytest.fixture
def extreme(demonstrations: Demonstrations) -> Demonstrations:
    """The demonstrations, the last of which, held out by default, is a thousand times as large."""
    last = demonstrations.episodes[-1]
    wild = replace(last, state=last.state * 1000, action=last.action * 1000)
    return replace(demonstrations, episodes=(*demonstrations.episodes[:-1], wild))


def same(one: Statistics, other: Statistics) -> None:
    for name, values in vars(one).items():
        np.testing.assert_array_equal(values, getattr(other, name), err_msg=name)


def test_a_held_out_episode_moves_no_statistics(bare: str, demonstrations: Demonstrations, extreme: Demonstrations):
    expected = dataset_statistics(demonstrations.without([3]))
    for given in (demonstrations, extreme):
        same(policy_cache.get(bare, None, given).preprocessor.statistics, expected)
    first = policy_cache.get(bare, None, extreme, heldout=[0])
    assert first.preprocessor.statistics.state_std.max() > 100
    same(policy_cache.get(bare, None, extreme, heldout=()).preprocessor.statistics, dataset_statistics(extreme))


@pytest.mark.parametrize("heldout", [None, [0, 3]])
def test_an_adapter_runs_under_the_statistics_it_was_trained_under(
    heldout: list[int] | None,
    bare: str,
    extreme: Demonstrations,
    demonstrations: Demonstrations,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    store = Store(tmp_path / "store")
    made = store.save("demonstrations", extreme, params={"seed": 0})
    used: list[Statistics] = []

    def watched(module: Any, name: str) -> None:
        whole = getattr(module, name)

        def call(policy: Any, *given: Any, **named: Any) -> Any:
            used.append(policy.preprocessor.statistics)
            return whole(policy, *given, **named)

        monkeypatch.setattr(module, name, call)

    watched(training, "finetune")
    watched(open_loop, "predict_chunks")
    adapter = pipeline.finetune(
        store, demonstrations_id=made, method="lora", settings=SETTINGS, heldout_episodes=heldout, policy=bare
    )
    expected = dataset_statistics(extreme.without(heldout or [3]))
    same(used[0], expected)
    folder = store.load(adapter).folder
    same(read_statistics(folder), expected)

    methods = {"lora": adapter, "zero_shot": None}
    pipeline.open_loop(store, demonstrations_id=made, adapters=methods, policy=bare, episodes=[3])
    same(used[1], expected)  # of the adapter
    same(used[2], dataset_statistics(extreme.without([3])))  # of what is not evaluated

    others = store.save("demonstrations", replace(demonstrations, name="others"), params={"seed": 1})
    pipeline.open_loop(store, demonstrations_id=others, adapters={"lora": adapter}, policy=bare)
    same(used[3], expected)  # wherever it runs

    def stop(policy: Any, *_: Any, **__: Any) -> Any:
        used.append(policy.preprocessor.statistics)
        raise InputError("far enough")

    monkeypatch.setattr(runner, "run_rollouts", stop)
    with pytest.raises(InputError, match="far enough"):
        pipeline.rollout(store, task="pick_cube", method="lora", adapter_id=adapter, trials=1)
    same(used[4], expected)


def test_an_adapter_is_refused_where_another_robot_acts(bare: str, demonstrations: Demonstrations, tmp_path: Path):
    policy = policy_cache.get(bare, None, demonstrations)
    training.finetune(policy, demonstrations, "lora", SETTINGS, None, tmp_path / "adapter")
    narrow = tuple(replace(one, state=one.state[:, :6]) for one in demonstrations.episodes)
    with pytest.raises(InputError, match="trained on 8 state and 7 action dimensions; these demonstrations have 6"):
        policy_cache.get(bare, tmp_path / "adapter", replace(demonstrations, episodes=narrow))


def test_older_adapters_run_under_those_of_the_demonstrations_and_damage_is_said(
    bare: str, demonstrations: Demonstrations, tmp_path: Path
):
    policy, folder = policy_cache.get(bare, None, demonstrations), tmp_path / "adapter"
    training.finetune(policy, demonstrations, "lora", SETTINGS, None, folder)
    (folder / STATISTICS_FILE).write_text('{"state_mean": [1, 2], "state_std": [0, 1]}')
    with pytest.raises(InputError, match="normalisation.json of the adapter 'adapter' cannot be read"):
        policy_cache.get(bare, folder, demonstrations)
    (folder / STATISTICS_FILE).unlink()
    same(policy_cache.get(bare, folder, demonstrations).preprocessor.statistics, policy.preprocessor.statistics)
