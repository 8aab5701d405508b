"""Head-restricted adapters: exact no-op at the start, exactly nothing outside the selected heads, ordinary PEFT."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import PI0ForConditionalGeneration

from steering.errors import InputError, NotFound
from steering.finetune.adapters import attached
from steering.finetune.parameters import trainable_parameters
from steering.finetune.training import finetune
from steering.models.loading import load_policy
from steering.models.preprocessing import observe
from steering.models.sites import projection_name
from steering.types import FinetuneSettings, Head, Selection

HEADS = (Head("vlm", 0, 1), Head("vlm", 0, 3), Head("expert", 1, 2))
SELECTION = Selection(HEADS, "hand")
SETTINGS = FinetuneSettings(steps=4, batch_size=5, rank=2, alpha=4.0, learning_rate=3e-2, warmup_steps=1)


def _act(policy, demonstrations):
    noise = np.random.default_rng(0).standard_normal((2, 4, 8), np.float32)
    return policy.act(observe(demonstrations, np.array([0, 3]), np.array([1, 2])), noise)


def _weights(model):
    return {name: p.detach().clone() for name, p in model.named_parameters() if "lora_" not in name}


@pytest.mark.parametrize(("method", "selection"), [("steering", SELECTION), ("lora", None)])
def test_adapter_is_an_exact_no_op_and_leaves_no_trace(policy, demonstrations, method, selection):
    before, weights = _act(policy, demonstrations), _weights(policy.model)
    with attached(policy, method, SETTINGS, selection) as (peft_model, _):
        np.testing.assert_array_equal(_act(policy, demonstrations), before)
        for name, parameter in policy.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter)
        assert np.abs(_act(policy, demonstrations) - before).max() > 1e-4
        with peft_model.disable_adapter():
            np.testing.assert_array_equal(_act(policy, demonstrations), before)
    np.testing.assert_array_equal(_act(policy, demonstrations), before)
    after = dict(policy.model.named_parameters())
    assert list(after) == list(weights)
    assert all(torch.equal(after[name], weights[name]) and not after[name].requires_grad for name in weights)


def test_only_selected_heads_change(policy, policy_folder, demonstrations, tmp_path):
    before = _weights(policy.model)
    finetune(policy, demonstrations, "steering", SETTINGS, SELECTION, tmp_path / "adapter")
    merged = dict(load_policy(policy_folder, adapter=tmp_path / "adapter").model.named_parameters())
    changed = set()
    for name, old in before.items():
        difference = merged[name] != old
        if not difference.any():
            continue
        changed.add(name.removesuffix(".weight"))
        heads = [h.head for h in HEADS if name.startswith(projection_name(h.stack, h.layer, ""))]
        rows = difference if "q_proj" in name else difference.T
        for head, block in enumerate(rows.split(8)):
            assert bool(block.any()) == (head in heads), (name, head)
    assert changed == {projection_name(h.stack, h.layer, p) for h in HEADS for p in ("q_proj", "o_proj")}


@pytest.mark.parametrize(("method", "selection"), [("steering", SELECTION), ("lora", None)])
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_adapter_loads_with_peft_alone_and_merges(policy, policy_folder, demonstrations, tmp_path, method, selection):
    before = _act(policy, demonstrations)
    finetune(policy, demonstrations, method, SETTINGS, selection, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert str(policy_folder) not in (tmp_path / "adapter_config.json").read_text()
    model = PI0ForConditionalGeneration.from_pretrained(policy_folder)
    policy.model = PeftModel.from_pretrained(model, str(tmp_path)).get_base_model().eval()
    loaded = _act(policy, demonstrations)
    merged = _act(load_policy(policy_folder, adapter=tmp_path), demonstrations)
    assert np.abs(loaded - before).max() > 1e-3
    np.testing.assert_allclose(merged, loaded, atol=1e-4)


def test_lora_touches_both_stacks_but_not_the_vision_tower(policy):
    with attached(policy, "lora", SETTINGS, None) as (_, _masks):
        modules = {name.split(".lora_A")[0] for name, _ in policy.model.named_parameters() if "lora_A" in name}
    assert len(modules) == 2 * 3 * 7
    assert not any("vision" in name for name in modules)


def test_masked_entries_do_not_count(policy):
    with attached(policy, "steering", SETTINGS, SELECTION) as (_, masks):
        counts = trainable_parameters(policy.model, masks)
    width, expert_width, rank, dim = 32, 24, 2, 8
    assert counts == {
        "q_proj": rank * (width + 2 * dim) + rank * (expert_width + dim),
        "o_proj": rank * (2 * dim + width) + rank * (dim + expert_width),
    }
    with attached(policy, "lora", SETTINGS, None) as (_, masks):
        counts = trainable_parameters(policy.model, masks)
    assert set(counts) == {"q_proj", "k_proj", "v_proj", "o_proj", "mlp"}
    assert counts["mlp"] == 3 * rank * 3 * (width + 48 + expert_width + 40)


def test_selections_that_cannot_train(policy):
    for selection in (None, Selection((), "hand")):
        with (
            pytest.raises(InputError, match="at least one attention head"),
            attached(policy, "steering", SETTINGS, selection),
        ):
            pass
    inert = Selection((Head("vlm", 2, 0), Head("vlm", 2, 1)), "hand")
    with pytest.raises(InputError, match="last layer"), attached(policy, "steering", SETTINGS, inert):
        pass
    with (
        pytest.raises(InputError, match="3 layers × 4 heads"),
        attached(policy, "steering", SETTINGS, Selection((Head("vlm", 7, 0),), "hand")),
    ):
        pass
    with pytest.raises(NotFound, match="steering"), attached(policy, "stering", SETTINGS, SELECTION):
        pass
