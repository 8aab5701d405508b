"""The worked examples of docs/ADAPTERS.md, as they stand there."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from steering.activations.attention import attention
from steering.activations.capture import capture
from steering.attribution.gradients import inert_by_gradient
from steering.attribution.probe import probe
from steering.attribution.scoring import attribute
from steering.errors import InputError
from steering.finetune.plan import plan, sizes_of_checkpoint, sizes_of_model
from steering.finetune.training import finetune
from steering.models import families
from steering.models.checkpoint import open_checkpoint
from steering.models.hooks import switched_heads
from steering.models.loading import load_policy
from steering.models.preprocessing import observe
from steering.models.sites import HeadLayout
from steering.relevance.scoring import score
from steering.selection import exchange
from steering.selection.rules import top_k
from steering.types import FinetuneSettings, Head, HeadShape, Observation, Selection, Stack

PAGE = Path(__file__).resolve().parents[3] / "docs" / "ADAPTERS.md"


def run(number: int) -> dict[str, Any]:
    """What an example of the page defines."""
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 2
    names: dict[str, Any] = {"__name__": "worked_example"}
    exec(compile(examples[number], str(PAGE), "exec"), names)
    return names


def test_the_family_of_the_page_loads_and_changes_the_prompt(
    policy_folder, policy, demonstrations, tmp_path, monkeypatch
):
    monkeypatch.setattr(families, "FAMILIES", dict(families.FAMILIES))
    run(0)
    folder = shutil.copytree(policy_folder, tmp_path / "task")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "pi0_task"}))
    rows = observe(demonstrations, np.array([0]), np.array([0]))
    noise = np.random.default_rng(0).standard_normal((1, 4, 8), np.float32)
    actions = load_policy(folder).act(rows, noise)
    by_hand = Observation(rows.cameras, rows.state, (f"Task: {rows.instruction[0]}.",))
    np.testing.assert_array_equal(actions, policy.act(by_hand, noise))
    assert not np.array_equal(actions, policy.act(rows, noise))


VLM, EXPERT = Stack("vlm", 3, 4, 8), Stack("expert", 2, 6, 6)
HEADS = (Head("vlm", 1, 2), Head("expert", 1, 4), Head("expert", 1, 5))


@pytest.fixture
def towers_folder(policy_folder, tmp_path, monkeypatch) -> Path:
    """A policy of the second example: random weights, unequal stacks, fused projections."""
    monkeypatch.setattr(families, "FAMILIES", dict(families.FAMILIES))
    page = run(1)
    folder = shutil.copytree(policy_folder, tmp_path / "towers")
    config = json.loads((folder / "config.json").read_text())
    config["dit_config"] |= {"num_hidden_layers": 2, "num_attention_heads": 6, "head_dim": 6}
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "towers"}))
    torch.manual_seed(0)
    model = page["Towers"](page["PI0"].config(open_checkpoint(folder)))
    state = {
        name: torch.randn(p.shape) / p.shape[-1] ** 0.5 if p.ndim == 2 else p for name, p in model.named_parameters()
    }
    save_file({name: tensor.detach().contiguous() for name, tensor in state.items()}, folder / "model.safetensors")
    return folder


@pytest.fixture
def towers(towers_folder) -> Any:
    return load_policy(towers_folder)


@pytest.fixture
def bridged(towers_folder) -> Any:
    """The second example with a third stack between the two, as GR00T has: one layer of two heads."""
    page = run(1)
    bridge = Stack("bridge", 1, 2, 4)

    def layout(config: Any) -> HeadLayout:
        vlm, expert = page["layout"](config).sites
        return HeadLayout((vlm, dataclasses.replace(vlm, stack=bridge, layers="bridge"), expert))

    class Bridged(page["Towers"]):  # type: ignore[misc]
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            size = SimpleNamespace(num_attention_heads=bridge.heads, head_dim=bridge.head_dim, intermediate_size=16)
            self.bridge = torch.nn.ModuleList([page["Layer"](config.vlm_config.text_config.hidden_size, size)])
            self.head_layout = layout(config)

    class BridgedPolicy(page["TowersPolicy"]):  # type: ignore[misc]
        def prefix(self, batch: Any) -> Any:
            passed, valid = int(batch["passed"][0]) if "passed" in batch else 0, batch["attention_mask"].bool()
            hidden = self._layers(batch, slice(passed, None))
            hidden = self.model.bridge[0](hidden, valid[:, None].expand(-1, valid.shape[1], -1))
            return page["Read"](self.model.between(hidden))

    torch.manual_seed(1)
    plain = load_policy(towers_folder)
    model = Bridged(plain.model.config).eval().requires_grad_(False)
    model.load_state_dict(plain.model.state_dict(), strict=False)
    return BridgedPolicy(model, plain.preprocessor, "bridged")


def test_three_stacks_from_capture_to_adapter(bridged, demonstrations, tmp_path):
    shape = HeadShape((VLM, Stack("bridge", 1, 2, 4), EXPERT))
    assert bridged.head_shape == shape
    activations = capture(bridged, demonstrations)
    np.testing.assert_array_equal(activations.outputs.std(0).any(-1), shape.present)
    relevance = score(activations, "paper", (2, 3))
    chosen = Selection((top_k(relevance, 1, ("bridge",)).heads[0], Head("expert", 0, 5)), "hand")
    assert exchange.from_hex(exchange.to_hex(chosen.heads, shape), shape) == chosen.heads
    found = attribute(bridged, demonstrations, "mean_ablation", frames=3, samples=1)
    np.testing.assert_array_equal(np.isfinite(found.score), shape.present)
    before = {name: tensor.clone() for name, tensor in bridged.model.state_dict().items()}
    settings = FinetuneSettings(steps=12, batch_size=4, rank=2, noise_samples=1, warmup_steps=1)
    result = finetune(bridged, demonstrations, "steering", settings, chosen, tmp_path)
    assert result.frozen_layers == 3 and np.isfinite(result.loss).all()  # the whole VLM lies below
    per_head = {"bridge": 2 * (4 + 32) * 2, "expert": 2 * (6 + 24) * 2}
    assert result.trainable_parameters == sum(per_head.values())
    assert all(torch.equal(tensor, before[name]) for name, tensor in bridged.model.state_dict().items())


def test_the_second_family_of_the_page_has_unequal_stacks(towers, towers_folder, demonstrations):
    assert towers.head_shape == HeadShape((VLM, EXPERT))
    sizes = sizes_of_checkpoint(open_checkpoint(towers_folder))
    assert sizes == sizes_of_model(towers.model)
    noise = np.random.default_rng(0).standard_normal((2, 4, 8), np.float32)
    rows = observe(demonstrations, np.array([0, 1]), np.array([1, 2]))
    actions = towers.act(rows, noise)
    alone = [
        towers.act(observe(demonstrations, np.array([e]), np.array([f])), noise[e : e + 1]) for e, f in ((0, 1), (1, 2))
    ]
    np.testing.assert_allclose(actions, np.concatenate(alone), atol=1e-4)
    with switched_heads(towers.model, {Head("expert", 1, 5): 0.0}):
        assert not np.allclose(towers.act(rows, noise), actions, atol=1e-4)
    np.testing.assert_array_equal(towers.act(rows, noise), actions)


def test_its_heads_are_captured_scored_and_looked_at(towers, demonstrations):
    activations = capture(towers, demonstrations)
    present = activations.shape.present
    assert activations.outputs.shape[1:] == (2, 3, 6, 8) and not activations.inert[present].any()
    moves = activations.outputs.std(0).any(-1)
    np.testing.assert_array_equal(moves, present)
    assert not activations.outputs[:, 1, ..., 6:].any()
    relevance = score(activations, "paper", (2, 3))
    np.testing.assert_array_equal(np.isfinite(relevance.score), present)
    assert len(top_k(relevance, 24, ("vlm", "expert")).heads) == 24
    looked = attention(towers, demonstrations.episodes[0])
    np.testing.assert_allclose(looked.mass.sum(-1)[:, present], 1, atol=1e-5)
    assert not looked.mass[:, ~present].any()


@pytest.mark.parametrize("metric", ["attribution_patching", "mean_ablation"])
def test_measures_that_run_the_policy_know_its_heads(towers, demonstrations, metric):
    asked = probe(towers, demonstrations, frames=3, samples=1)
    assert not inert_by_gradient(asked)[towers.head_shape.present].any()
    found = attribute(towers, demonstrations, metric, frames=3, samples=1)
    np.testing.assert_array_equal(np.isfinite(found.score), towers.head_shape.present)
    assert (found.score[towers.head_shape.present] != 0).all()


@pytest.mark.parametrize("method", ["steering", "dense_heads"])
def test_adapters_train_the_rows_and_columns_of_its_selected_heads_alone(
    towers, towers_folder, demonstrations, tmp_path, method
):
    settings = FinetuneSettings(steps=12, batch_size=4, rank=2, noise_samples=2, learning_rate=3e-2, warmup_steps=1)
    before = {name: tensor.clone() for name, tensor in towers.model.state_dict().items()}
    planned = plan(method, settings, Selection(HEADS, "hand"), sizes_of_model(towers.model))
    assert planned.frozen_layers(towers.layout) == 1
    result = finetune(towers, demonstrations, method, settings, Selection(HEADS, "hand"), tmp_path / "adapter")
    assert result.frozen_layers == 1
    assert result.parameters == planned.parameters() and set(result.parameters) == {"q_proj", "o_proj"}
    tuned = load_policy(towers_folder, adapter=tmp_path / "adapter").model.state_dict()
    rows = {"vlm.1.attn.qkv": range(16, 24), "expert.1.attn.qkv": range(24, 36)}
    columns = {"vlm.1.attn.proj": range(16, 24), "expert.1.attn.proj": range(24, 36)}
    for name, tensor in before.items():
        assert torch.equal(towers.model.state_dict()[name], tensor), name
        changed = (tuned[name] != tensor).nonzero()
        module = name.removesuffix(".weight")
        if module in rows:
            assert set(changed[:, 0].tolist()) == set(rows[module])
        elif module in columns:
            assert set(changed[:, 1].tolist()) == set(columns[module])
        else:
            assert len(changed) == 0, name


def test_what_cannot_train_apart_is_said(towers, demonstrations, tmp_path):
    settings = FinetuneSettings(steps=1, batch_size=2, rank=2, shared_kv=True)
    with pytest.raises(InputError, match=r"one projection with its queries \(attn.qkv\)"):
        finetune(towers, demonstrations, "steering", settings, Selection(HEADS, "hand"), tmp_path)
    everything = plan("lora", FinetuneSettings(rank=2, ffn="all"), None, sizes_of_model(towers.model))
    assert {part.name.split(".", 2)[2] for part in everything.parts} == {"attn.qkv", "attn.proj", "up", "down"}
    assert set(everything.parameters()) == {"qkv", "proj", "mlp"} and everything.frozen_layers(towers.layout) == 0
