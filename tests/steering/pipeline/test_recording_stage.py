"""Demonstrations by a policy through the pipeline, on the tiny policy, which never succeeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from steering import pipeline, policy_cache
from steering.errors import InputError, NotFound
from steering.pipeline.activations import UNSEEN
from steering.progress import Progress
from steering.rollout import episode
from steering.rollout.runner import run_rollouts
from steering.serialisation import content_digest
from steering.simulation.tasks import TASKS
from steering.store import Store
from steering.types import Demonstrations, FinetuneSettings

TINY = FinetuneSettings(steps=2, batch_size=2, rank=2, warmup_steps=1, noise_samples=1)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episode, "IMAGE_PX", 32)
    monkeypatch.setitem(TASKS, "press_button", replace(TASKS["press_button"], step_limit=20))


def test_a_policys_set_says_who_acted_and_how_each_scene_ended(tmp_path: Path, policy_folder: Path) -> None:
    store, other, source = Store(tmp_path / "one"), Store(tmp_path / "two"), str(policy_folder)
    asked = {"task": "press_button", "count": 2, "seed": 1, "policy": source}
    made = pipeline.record(store, **asked)
    manifest, found = store.manifest(made), store.load(made)
    assert isinstance(found, Demonstrations) and manifest.parents == ()
    assert {"by": "policy", "policy": source, "adapter": None, "count": 2}.items() <= manifest.params.items()
    assert set(store.stages(made)) == {"demonstrations", "simulation", "models", "rollout"}
    assert (found.policy, found.name) == (policy_folder.name, f"press_button, 2 episodes by {policy_folder.name}")
    assert found.imitated.startswith("2 of its 2 episodes are failures of the policy that acted; training")

    seeds = [one.seed or 0 for one in found.episodes]
    assert seeds == [1_010_000, 1_010_001], "those that the expert takes first"
    rollouts = run_rollouts(policy_cache.get(source), "press_button", seeds, method="zero_shot", processes=1)
    assert [one.success for one in found.episodes] == rollouts.success.tolist() == [False, False]

    assert pipeline.record(store, **asked) == made
    again = pipeline.record(other, **asked)
    assert other.load(again).fingerprint() == found.fingerprint()
    assert content_digest(other.folder(again), UNSEEN) == content_digest(store.folder(made), UNSEEN)


def test_a_finetune_is_the_parent_of_what_it_recorded(
    tmp_path: Path, policy_folder: Path, demonstrations: Demonstrations
) -> None:
    store, source = Store(tmp_path), str(policy_folder)
    trained_on = store.save("demonstrations", demonstrations)
    adapter = pipeline.finetune(store, demonstrations_id=trained_on, method="lora", settings=TINY, policy=source)
    made = pipeline.record(store, task="press_button", count=1, adapter_id=adapter)
    manifest, found = store.manifest(made), store.load(made)
    assert manifest.parents == (adapter,) and manifest.params["adapter"] == adapter
    assert manifest.params["policy"] == source, "that of the finetune"
    assert found.policy == f"{policy_folder.name} with {adapter}"
    untouched = store.load(pipeline.record(store, task="press_button", count=1, policy=source))
    assert not np.array_equal(found.episodes[0].action, untouched.episodes[0].action)

    said: list[str] = []
    pipeline.finetune(
        store,
        demonstrations_id=made,
        method="lora",
        settings=TINY,
        policy=source,
        progress=Progress(lambda report: said.append(report.message)),
    )
    assert found.imitated in said, "before it trains on failures"


@pytest.mark.usefixtures("read_here")
def test_the_health_report_says_what_a_training_would_imitate(tmp_path: Path, policy_folder: Path) -> None:
    store = Store(tmp_path)
    made = pipeline.record(store, task="press_button", count=1, policy=str(policy_folder))
    report = pipeline.inspect_demonstrations(store.folder(made))
    (problem,) = [one for one in report["problems"] if one["kind"] == "policy_failures"]
    assert problem["words"] == "1 of its 1 episodes is a failure of the policy that acted."
    assert problem["meaning"].startswith("Training would imitate them") and list(problem["episodes"]) == [0]
    imported = store.load(pipeline.import_demonstrations(store, path=store.folder(made), image_px=None))
    assert imported.policy == policy_folder.name, "so that its scenes run again by their commands"


def test_what_cannot_be_recorded_is_refused_in_words(tmp_path: Path, policy_folder: Path) -> None:
    store, source = Store(tmp_path), str(policy_folder)
    with pytest.raises(InputError, match="1 to 200 episodes, got 0"):
        pipeline.record(store, task="press_button", count=0, policy=source)
    with pytest.raises(NotFound, match="no policy|Expected"):
        pipeline.record(store, task="press_button", count=1, policy=str(tmp_path / "nothing"))
    with pytest.raises(NotFound, match="no artefact"):
        pipeline.record(store, task="press_button", count=1, adapter_id="adapter-0000000000000000")
    with pytest.raises(NotFound, match="Did you mean 'press_button'"):
        pipeline.record(store, task="press_buton", count=1, policy=source)
    assert store.find("demonstrations") == []
