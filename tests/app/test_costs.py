"""Parameters counted from a checkpoint's small files against those that PEFT really trains on the model."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from pathlib import Path

import pytest

from app.answers.training import TrainingEstimate
from app.costs import PolicySize, policy_size
from app.questions import training_estimate
from steering.errors import InputError, NotFound
from steering.store import Store
from steering.types import METHODS, FinetuneResult, FinetuneSettings, Head, Selection

HEADS = (Head("vlm", 1, 0), Head("vlm", 1, 5), Head("vlm", 3, 2), Head("expert", 7, 7))


def _make(script: str, folder: Path) -> Path:
    path = Path(__file__).parents[1] / "browser" / script
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.make(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _make("random_policy.py", tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def size(folder: Path) -> PolicySize:
    return policy_size(str(folder), "random")


def test_counts_equal_the_model(folder: Path, size: PolicySize) -> None:
    from steering.finetune.attaching import attached
    from steering.finetune.parameters import trainable_parameters
    from steering.models.loading import load_policy

    policy, settings = load_policy(folder), FinetuneSettings(rank=8, shared_kv=True, projections=True)
    selection = Selection(HEADS, "manual")
    for method in METHODS:
        if method not in ("zero_shot", "full"):
            with attached(policy, method, settings, selection) as (_, masks):
                counted = trainable_parameters(policy.model, masks, size.plan(method, settings, HEADS))
                assert counted == size.groups(method, settings, HEADS)
    assert size.parameters == sum(p.numel() for p in policy.model.state_dict(keep_vars=True).values())
    assert size.groups("full", settings) == {"all": size.parameters}


def test_a_set_counts_its_heads_blocks_and_each_layer_s_shared_factors_once(size: PolicySize) -> None:
    """A head: its rows of q and columns of o; a layer, however many heads it has: q's inputs and o's outputs."""
    modules, counted = size.sizes.modules, 0
    for stack, layer in {(head.stack, head.layer) for head in HEADS}:
        sites = size.sizes.layout[stack]
        counted += modules[sites.name(layer, sites.query)][1] + modules[sites.name(layer, sites.output)][0]
        counted += sum(2 * sites.stack.head_dim for head in HEADS if (head.stack, head.layer) == (stack, layer))
    assert 8 * counted == size.steering(HEADS, 8)
    assert size.lora(8) == 8 * size.lora(1)
    assert size.steering((Head("vlm", 7, 0),), 8) == 0  # inert heads alone move nothing


def test_a_published_checkpoint_is_sized_by_its_headers(tmp_path: Path) -> None:
    size = policy_size(str(_make("published_policy.py", tmp_path / "wide")), "wide")
    assert (size.head_shape.layers, size.head_shape.heads, size.head_shape.head_dim) == (18, 8, 256)
    settings = FinetuneSettings(rank=1)
    assert size.groups("steering", settings, [Head("vlm", 0, 0)]) == {"q_proj": 32 + 256, "o_proj": 32 + 256}
    assert size.parameters is not None and size.parameters > 5_000_000


def test_a_missing_policy_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"config\.json is missing"):
        policy_size(str(tmp_path), "none")
    (tmp_path / "config.json").write_text(json.dumps({"type": "act"}))
    with pytest.raises(InputError, match="configuration of a π0"):
        policy_size(str(tmp_path), "other")


def _trained(
    store: Store, size: PolicySize, policy: str, method: str, settings: FinetuneSettings, seconds: float = 30.0
) -> None:
    with store.new_folder("adapter") as folder:
        (folder / "adapter").mkdir()
        (folder / "adapter" / "adapter_config.json").write_text("{}")
        import numpy as np

        heads = Selection(HEADS, "manual") if method == "steering" else None
        loss, step = np.ones(settings.steps, np.float32), np.zeros(0, np.int32)
        result = FinetuneResult(
            method,
            settings,
            heads,
            folder / "adapter",
            {"q_proj": 1},
            loss,
            step,
            loss[:0],
            seconds,
            peak_memory_mb=2000.0,
        )
        store.save("adapter", result, params={"method": method, "policy": policy}, folder=folder)


def test_seconds_follow_measured_runs(tmp_path: Path, folder: Path, size: PolicySize) -> None:
    store, settings, policy = Store(tmp_path), FinetuneSettings(steps=10, batch_size=8), str(folder)

    def asked(method: str, settings: FinetuneSettings, heads: tuple[Head, ...] = HEADS) -> object:
        return training_estimate.estimate_for(store, policy, size, method, settings, heads)

    before = asked("steering", settings)
    assert before is not None and before.runs == 0 and before.seconds > 0  # by the machine's own speed
    assert training_estimate.estimate(store, policy, HEADS).runs == 0  # the same, for the set on the map
    _trained(store, size, policy, "steering", settings)
    same = asked("steering", settings)
    assert same.runs == 1 and same.seconds == pytest.approx(30.0) and same.memory_mb == pytest.approx(2000.0)
    twice = asked("steering", dataclasses.replace(settings, steps=20))
    assert twice.seconds == pytest.approx(60.0)
    assert asked("steering", dataclasses.replace(settings, batch_size=16)).memory_mb > 2000.0
    assert asked("lora", settings).seconds > 30.0  # one VLM layer more to pass through
    assert asked("steering", settings, (Head("expert", 1, 1),)).seconds < 15.0  # the whole VLM once a frame
    assert asked("full", settings).seconds > asked("lora", settings).seconds
    assert asked("steering", settings, ()) is None


def test_a_method_s_own_runs_say_how_long_it_takes(tmp_path: Path, folder: Path, size: PolicySize) -> None:
    """Two runs of two methods at two speeds: each method is told its own, a third the one with as much to compute."""
    store, settings, policy = Store(tmp_path), FinetuneSettings(steps=10, batch_size=8), str(folder)
    _trained(store, size, policy, "steering", settings, 30.0)
    _trained(store, size, policy, "lora", settings, 300.0)

    def asked(method: str) -> TrainingEstimate:
        found = training_estimate.estimate_for(store, policy, size, method, settings, HEADS)
        assert found is not None
        return found

    assert (asked("steering").seconds, asked("steering").runs) == (pytest.approx(30.0), 1)
    assert (asked("lora").seconds, asked("lora").runs) == (pytest.approx(300.0), 1)
    assert (asked("dense_heads").seconds, asked("dense_heads").runs) == (pytest.approx(30.0), 1), (
        "as many layers frozen"
    )
