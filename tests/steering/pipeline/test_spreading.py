"""Captures and rollouts on a local Ray cluster of two workers give what they give here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from steering import pipeline
from steering.cluster import Cluster
from steering.errors import InputError
from steering.pipeline import spreading
from steering.store import Store
from steering.types import Activations, Demonstrations, Rollouts

CLUSTER = Cluster(workers=2)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def started() -> Iterator[None]:
    ray = pytest.importorskip("ray", reason="needs Ray: make test installs it")
    from steering.child import environment

    path = {"env_vars": {"PYTHONPATH": environment()["PYTHONPATH"]}}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=path)
    yield
    ray.shutdown()


def _stores(tmp_path: Path) -> tuple[Store, Store]:
    return Store(tmp_path / "here"), Store(tmp_path / "cluster")


def test_a_capture_has_the_same_numbers(
    policy_folder: Path, demonstrations: Demonstrations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steering.activations.capture.BATCH_SIZE", 3)  # parts of 12 of 30 frames
    found = []
    for store, cluster in zip(_stores(tmp_path), (None, CLUSTER), strict=True):
        kept = store.save("demonstrations", demonstrations)
        made = pipeline.capture(store, demonstrations_id=kept, policy=str(policy_folder), samples=2, cluster=cluster)
        found.append(store.load(made))
        assert store.manifest(made).params["samples"] == 2 and "cluster" not in store.manifest(made).params
    here, there = found
    assert isinstance(there, Activations) and there.outputs.shape == here.outputs.shape
    for name in ("episode", "frame", "action", "chunk", "state", "time_in_episode", "inert"):
        np.testing.assert_array_equal(getattr(there, name), getattr(here, name))
    for name in ("outputs", "image"):
        np.testing.assert_allclose(getattr(there, name), getattr(here, name), rtol=1e-4, atol=1e-5)


def test_rollouts_end_alike_and_bring_their_films(
    policy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreading, "SCENES_A_PART", 2)
    found = []
    for store, cluster in zip(_stores(tmp_path), (None, CLUSTER), strict=True):
        recorded = pipeline.record(store, task="press_button", count=3)
        trained = pipeline.finetune(
            store,
            demonstrations_id=recorded,
            method="lora",
            settings={"steps": 1, "batch_size": 2, "rank": 2, "noise_samples": 1, "warmup_steps": 1},
            policy=str(policy_folder),
        )
        options = {"task": "press_button", "trials": 5, "videos": 3, "method": "lora", "adapter_id": trained}
        made = pipeline.rollout(store, **options, cluster=cluster)
        found.append(store.load(made))
        assert all(path.is_file() and path.is_relative_to(store.folder(made)) for path in found[-1].videos)
    here, there = found
    assert isinstance(there, Rollouts) and there.seeds == here.seeds and len(there.seeds) == 5
    assert [path.name for path in there.videos] == [path.name for path in here.videos] and len(there.traces) == 3
    np.testing.assert_array_equal(there.success, here.success)
    np.testing.assert_array_equal(there.steps, here.steps)
    assert (there.instructions, there.failure) == (here.instructions, here.failure)


def test_other_weights_on_a_node_are_said(
    policy_folder: Path, demonstrations: Demonstrations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    kept = store.save("demonstrations", demonstrations)
    monkeypatch.setattr("steering.pipeline.making.policy_cache.fingerprint", lambda source: "another")
    with pytest.raises(InputError, match="A node of the cluster has other weights"):
        pipeline.capture(store, demonstrations_id=kept, policy=str(policy_folder), cluster=CLUSTER)
