"""Head-restricted adapters: exact no-op at the start, exactly nothing outside the selected heads, ordinary PEFT."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import PI0ForConditionalGeneration

from steering.errors import InputError, NotFound
from steering.finetune import training
from steering.finetune.attaching import attached
from steering.finetune.frames import frame_set
from steering.finetune.parameters import trainable_parameters
from steering.finetune.plan import plan, sizes_of_model
from steering.finetune.saving import card
from steering.finetune.schedule import draws
from steering.finetune.training import finetune
from steering.models.loading import load_policy
from steering.models.preprocessing import observe
from steering.models.sites import pair_of
from steering.progress import Progress
from steering.types import FinetuneSettings, Head, Origin, Robot, Selection

LAYOUT = pair_of((3, 4, 8), (3, 4, 8))
HEADS = (Head("vlm", 0, 1), Head("vlm", 0, 3), Head("expert", 1, 2))
SELECTION = Selection(HEADS, "hand")
FEWER = [
    ("steering", {"shared_kv": True}),
    ("steering", {"ffn": "all"}),
    ("dense_heads", {}),
    ("lora", {"projections": True}),
    ("lora_rank_matched", {}),
]
ADAPTERS = [
    ("steering", {}),
    ("steering", {"shared_kv": True, "ffn": "selected", "projections": True}),
    ("dense_heads", {"shared_kv": True, "ffn": "all", "projections": True}),
    ("lora", {}),
    ("lora_rank_matched", {"shared_kv": True, "ffn": "selected", "projections": True}),
    *(pytest.param(*one, marks=pytest.mark.slow) for one in FEWER),
]
SETTINGS = FinetuneSettings(steps=4, batch_size=5, rank=2, alpha=4.0, learning_rate=3e-2, warmup_steps=1)


def _act(policy, demonstrations):
    noise = np.random.default_rng(0).standard_normal((2, 4, 8), np.float32)
    return policy.act(observe(demonstrations, np.array([0, 3]), np.array([1, 2])), noise)


@pytest.fixture
def trained_actions(policy, demonstrations, monkeypatch):
    """What the policy does at the end of a training, just before it is saved: one array a training."""
    acted, write = [], training.save
    monkeypatch.setattr(training, "save", lambda *a: (acted.append(_act(policy, demonstrations)), write(*a)))
    return acted


def _weights(model):
    return {name: p.detach().clone() for name, p in model.named_parameters() if "lora_" not in name}


@pytest.mark.parametrize(("method", "options"), ADAPTERS, ids=str)
def test_adapter_is_an_exact_no_op_and_leaves_no_trace(policy, demonstrations, method, options):
    before, weights = _act(policy, demonstrations), _weights(policy.model)
    settings = dataclasses.replace(SETTINGS, **options)
    with attached(policy, method, settings, SELECTION) as (peft_model, _):
        np.testing.assert_array_equal(_act(policy, demonstrations), before)
        for parameter in policy.model.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter)
        assert np.abs(_act(policy, demonstrations) - before).max() > 1e-4
        with peft_model.disable_adapter():
            np.testing.assert_array_equal(_act(policy, demonstrations), before)
    np.testing.assert_array_equal(_act(policy, demonstrations), before)
    after = dict(policy.model.named_parameters())
    assert list(after) == list(weights)
    assert all(torch.equal(after[name], weights[name]) and not after[name].requires_grad for name in weights)


@pytest.mark.parametrize("method", ["steering", "dense_heads"])
def test_only_selected_heads_change(policy, policy_folder, demonstrations, tmp_path, method):
    before = _weights(policy.model)
    finetune(policy, demonstrations, method, SETTINGS, SELECTION, tmp_path / "adapter")
    merged = dict(load_policy(policy_folder, adapter=tmp_path / "adapter").model.named_parameters())
    changed = set()
    for name, old in before.items():
        difference = merged[name] != old
        if not difference.any():
            continue
        changed.add(name.removesuffix(".weight"))
        heads = [h.head for h in HEADS if name.startswith(LAYOUT[h.stack].name(h.layer, "self_attn."))]
        rows = difference if "q_proj" in name else difference.T
        for head, block in enumerate(rows.split(8)):
            assert bool(block.any()) == (head in heads), (name, head)
    assert changed == {name(h.stack, h.layer) for h in HEADS for name in (LAYOUT.query, LAYOUT.output)}


@pytest.mark.parametrize(("method", "options"), ADAPTERS, ids=str)
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_saved_adapter_acts_as_the_trained_one_with_peft_alone_and_merged(
    policy, policy_folder, demonstrations, tmp_path, trained_actions, method, options
):
    before = _act(policy, demonstrations)
    settings = dataclasses.replace(SETTINGS, **options)
    finetune(policy, demonstrations, method, settings, SELECTION, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *("README.md", "adapter_config.json", "adapter_model.safetensors", "normalisation.json"),
    ]
    assert str(policy_folder) not in (tmp_path / "adapter_config.json").read_text()
    model = PI0ForConditionalGeneration.from_pretrained(policy_folder)
    adapted = PeftModel.from_pretrained(model, str(tmp_path)).eval()
    policy.model = adapted.get_base_model()
    loaded = _act(policy, demonstrations)
    policy.model = adapted.merge_and_unload()
    merged = _act(policy, demonstrations)
    (trained,) = trained_actions
    assert np.abs(trained - before).max() > 1e-3
    np.testing.assert_allclose(loaded, trained, atol=1e-4)
    np.testing.assert_allclose(merged, trained, atol=1e-4)
    np.testing.assert_allclose(_act(load_policy(policy_folder, adapter=tmp_path), demonstrations), trained, atol=1e-4)


def test_the_card_says_which_heads_were_trained_and_where_they_come_from():
    selection = dataclasses.replace(SELECTION, origin=Origin("top_k", "knn", "default", name="press_button"))
    told = card("embedded", "steering", selection)
    assert "Heads that were trained: " in told and "Best heads by k-NN (strict) on press button" in told
    assert all(f"{head.layer}.{head.head}" in told for head in HEADS)
    assert "origin unknown" in card("embedded", "steering", SELECTION)
    assert "Heads" not in card("embedded", "lora", None) and "library_name: peft" in card("embedded", "lora", None)


def test_dense_heads_train_the_blocks_as_the_weights_themselves_would(policy, policy_folder, demonstrations, tmp_path):
    """One step of Adam on the dense adapter against one on q_proj and o_proj of a plain model, other rows masked."""
    settings = dataclasses.replace(SETTINGS, steps=1, warmup_steps=1, precision="float32", learning_rate=1e-3)
    finetune(policy, demonstrations, "dense_heads", settings, SELECTION, tmp_path)
    merged = load_policy(policy_folder, adapter=tmp_path).model
    training_frames = frame_set(policy, demonstrations, [0, 1, 2], Progress(), draws=1)
    drawn = draws(0, len(training_frames), settings, policy.model.config, policy.chunk_size, policy.noise_dim)
    policy.model.requires_grad_(True)
    batch = training_frames.batch(drawn.rows)
    policy.flow_loss(batch, torch.from_numpy(drawn.noise), torch.from_numpy(drawn.timestep)).backward()
    compared = 0
    for head in HEADS:
        for projection in ("q_proj", "o_proj"):
            name = f"{LAYOUT[head.stack].name(head.layer, f'self_attn.{projection}')}.weight"
            weight = policy.model.get_parameter(name)
            block = slice(8 * head.head, 8 * head.head + 8)
            rows = (block,) if projection == "q_proj" else (slice(None), block)
            change = (merged.get_parameter(name) - weight)[rows]
            clear = weight.grad[rows].abs() > 1e-4  # Adam's first step is the gradient's sign where it is not tiny
            torch.testing.assert_close(change[clear], -1e-3 * weight.grad[rows][clear].sign(), rtol=0.05, atol=1e-6)
            compared += int(clear.sum())
    assert compared > 100


def test_full_trains_everything_and_loads_with_transformers_alone(
    policy, policy_folder, demonstrations, tmp_path, trained_actions
):
    before, weights = _act(policy, demonstrations), _weights(policy.model)
    result = finetune(policy, demonstrations, "full", SETTINGS, None, tmp_path)
    saved = ["README.md", "config.json", "model.safetensors", "normalisation.json"]
    assert sorted(p.name for p in tmp_path.iterdir()) == saved
    np.testing.assert_array_equal(_act(policy, demonstrations), before)
    assert all(torch.equal(p, weights[n]) and not p.requires_grad for n, p in policy.model.named_parameters())
    loaded = load_policy(policy_folder, adapter=tmp_path)
    policy.model = PI0ForConditionalGeneration.from_pretrained(tmp_path).eval()
    (trained,) = trained_actions
    np.testing.assert_allclose(_act(policy, demonstrations), trained, atol=1e-4)
    np.testing.assert_allclose(_act(loaded, demonstrations), trained, atol=1e-4)
    changed = {name for name, p in loaded.model.named_parameters() if not torch.equal(p, weights[name])}
    for part in ("vision_tower", "language_model.layers.0.mlp", "dit.layers.0", "action_out_proj"):
        assert any(part in name for name in changed), part
    assert result.parameters == {"all": sum(p.numel() for p in weights.values())} and result.rank is None


def test_full_says_when_memory_is_too_small(policy, demonstrations, tmp_path, monkeypatch):
    monkeypatch.setattr("steering.finetune.attaching.free_bytes", lambda device: 10**5)
    with pytest.raises(InputError, match=r"GB of free memory on cpu to train all 0 million.*selected heads or LoRA"):
        finetune(policy, demonstrations, "full", SETTINGS, None, tmp_path)
    assert not any(p.requires_grad for p in policy.model.parameters())


def test_rank_matched_lora_keeps_the_scale(policy, demonstrations, tmp_path):
    result = finetune(policy, demonstrations, "lora_rank_matched", SETTINGS, SELECTION, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (result.rank, result.rank * SETTINGS.alpha / SETTINGS.rank)
    assert result.selection == SELECTION and "all heads" in result.notices[0]


def test_lora_touches_both_stacks_but_not_the_vision_tower(policy):
    with attached(policy, "lora", SETTINGS, None) as (_, _masks):
        modules = {name.split(".lora_A")[0] for name, _ in policy.model.named_parameters() if "lora_A" in name}
    assert len(modules) == 2 * 3 * 7
    assert not any("vision" in name for name in modules)


def test_masked_entries_do_not_count(policy):
    sizes = sizes_of_model(policy.model)
    with attached(policy, "steering", SETTINGS, SELECTION) as (_, masks):
        counts = trainable_parameters(policy.model, masks, plan("steering", SETTINGS, SELECTION, sizes))
    width, expert_width, rank, dim = 32, 24, 2, 8
    assert counts == {
        "q_proj": rank * (width + 2 * dim) + rank * (expert_width + dim),
        "o_proj": rank * (2 * dim + width) + rank * (dim + expert_width),
    }
    with attached(policy, "lora", SETTINGS, None) as (_, masks):
        counts = trainable_parameters(policy.model, masks, plan("lora", SETTINGS, None, sizes))
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


def test_the_card_names_the_robot_its_columns_and_what_was_turned_over():
    robot = Robot(
        "so101_follower", ("elbow",), ("elbow", "grip<b>\nper"), action_roles=("joint", "gripper"), turned=(0, 100)
    )
    told = card("embedded", "lora", None, robot)
    assert "Robot: so101_follower." in told and "Action, in this order: elbow, grip b per." in told
    assert "Turned over for training: grip b per; where the policy says x, the robot takes 100 - x." in told


def test_a_full_finetune_fits_to_the_byte(policy, monkeypatch):
    """Weight, gradient, two moments and the old weight in single precision: 20 bytes; 24 where the best is kept."""
    elements = sum(p.numel() for p in policy.model.parameters())
    for keep_best, each in ((False, 20), (True, 24)):
        settings = dataclasses.replace(SETTINGS, keep_best=keep_best)
        for free, fits in ((elements * each, True), (elements * each - 1, False)):
            monkeypatch.setattr("steering.finetune.attaching.free_bytes", lambda _, free=free: free)
            before = {name: p.data for name, p in policy.model.named_parameters()}
            if fits:
                with attached(policy, "full", settings, None) as (adapted, masks):
                    assert adapted is None and not masks
                    assert all(p.requires_grad and p.dtype == torch.float32 for p in policy.model.parameters())
                    assert all(p.data_ptr() != before[n].data_ptr() for n, p in policy.model.named_parameters())
            else:
                with pytest.raises(InputError, match="GB of free memory"), attached(policy, "full", settings, None):
                    pass
            assert all(p.data is before[n] or torch.equal(p, before[n]) for n, p in policy.model.named_parameters())
            assert not any(p.requires_grad for p in policy.model.parameters())


def test_the_card_to_the_letter():
    robot = Robot("arm <1>", ("a",), ("x", "grip"), action_roles=("pose", "gripper"), turned=(0.5, 1))
    told = card("my/policy", "steering", SELECTION, robot)
    assert told.splitlines() == [
        *("---", 'base_model: "my/policy"', "library_name: peft", "tags: [robotics, robotic-steering]", "---", ""),
        *("# Robotic Steering on my/policy", "", "Made by the Robotic Steering workbench: a PEFT adapter.", ""),
        *("Robot: arm  1.", "", "State, in this order: a.", "", "Action, in this order: x, grip.", ""),
        *("Turned over for training: grip; where the policy says x, the robot takes 1.5 - x.", ""),
        "Heads that were trained: 3. Where they come from: origin unknown.",
        *("", "- VLM, layer.head: 0.1, 0.3", "- action expert, layer.head: 1.2"),
    ]
    full = card("p", "full", None)
    assert "library_name" not in full and "a full finetune." in full and "Robot" not in full.replace("Robotic", "")
    assert "Heads whose parameters its rank was matched to: 3." in card("p", "lora_rank_matched", SELECTION)
    assert "Robot: " + "n" * 60 + "." in card("p", "lora", None, Robot("n" * 61, (), ()))
