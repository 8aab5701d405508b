"""SmolVLA, the second family: a folder as lerobot publishes it, narrow, through every stage of the method."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, SmolVLMConfig

from steering.activations.capture import capture
from steering.errors import InputError
from steering.finetune.training import finetune
from steering.models.architecture import train_tokenizer
from steering.models.hooks import attention_rows, scaled_heads
from steering.models.loading import load_policy
from steering.models.preprocessing import observe
from steering.models.sites import inert_mask
from steering.models.smolvla import SmolVLAConfig, SmolVLAModel, SmolVLAPolicy
from steering.relevance.scoring import score
from steering.selection.rules import top_k
from steering.types import STACKS, FinetuneSettings, Head, HeadShape, Selection

INSTRUCTIONS = ("press the button", "place the marker in the mug")


@pytest.fixture(scope="module")
def smolvla_folder(tmp_path_factory) -> Path:
    """Named as `lerobot/smolvla_base`, with its heads' width, four layers, 12 actions a chunk."""
    folder = tmp_path_factory.mktemp("smolvla") / "smolvla_base"
    folder.mkdir()
    torch.manual_seed(0)
    heads = {"num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 64, "num_hidden_layers": 4}
    text = {"model_type": "llama", "hidden_size": 96, "intermediate_size": 120, "vocab_size": 320, **heads}
    vision = {"hidden_size": 64, "intermediate_size": 80, "num_hidden_layers": 1, "num_attention_heads": 1}
    vision |= {"image_size": 32, "patch_size": 4}
    vlm = SmolVLMConfig(text_config=text | {"rms_norm_eps": 1e-5}, vision_config=vision, scale_factor=4)
    expert = LlamaConfig(hidden_size=72, intermediate_size=100, rms_norm_eps=1e-5, **heads)
    model = SmolVLAModel(SmolVLAConfig(vlm, expert))
    state = {}
    for name, tensor in model.state_dict().items():
        if tensor.ndim == 2 and "embed" not in name:
            tensor = torch.randn(tensor.shape) / tensor.shape[1] ** 0.5
        name = name.replace("model.vlm.language_model.", "vlm_with_expert.vlm.model.text_model.")
        name = name.replace("model.vlm.", "vlm_with_expert.vlm.model.").replace(
            "model.dit.", "vlm_with_expert.lm_expert."
        )
        state[f"model.{name}"] = tensor.contiguous()
    state["model.vlm_with_expert.vlm.lm_head.weight"] = torch.zeros(320, 96)
    save_file(state, folder / "model.safetensors")
    config = {"type": "smolvla", "chunk_size": 12, "max_state_dim": 32, "max_action_dim": 32, "num_steps": 4}
    config |= {"attention_mode": "cross_attn", "self_attn_every_n_layers": 2, "tokenizer_max_length": 48}
    config |= {"vlm_model_name": "HuggingFaceTB/SmolVLM2-500M-Video-Instruct", "num_vlm_layers": 4}
    (folder / "config.json").write_text(json.dumps(config))
    train_tokenizer(INSTRUCTIONS * 5, vocab_size=300).save_pretrained(folder)
    return folder


@pytest.fixture
def smolvla(smolvla_folder, demonstrations):
    return load_policy(smolvla_folder, statistics_from=demonstrations)


@pytest.fixture
def batch(smolvla, demonstrations):
    observation = observe(demonstrations, np.array([0, 1]), np.array([1, 2]))
    return smolvla.prepare(observation, np.zeros((2, 12, 7), np.float32))


def _noise(rows, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, 12, 32), np.float32)


def test_it_loads_by_the_same_call(smolvla):
    assert isinstance(smolvla, SmolVLAPolicy)
    assert smolvla.head_shape == HeadShape(4, 3, 64)
    assert (smolvla.chunk_size, smolvla.noise_dim, smolvla.action_dim) == (12, 32, 7)
    assert "the checkpoint has none" in smolvla.notices[0]


def test_it_acts_by_image_instruction_state_and_noise(smolvla, demonstrations):
    rows = observe(demonstrations, np.array([0, 1]), np.array([1, 2]))
    actions = smolvla.act(rows, _noise(2))
    assert actions.shape == (2, 12, 7) and np.isfinite(actions).all()
    np.testing.assert_array_equal(smolvla.act(rows, _noise(2)), actions)
    one = observe(demonstrations, np.array([1]), np.array([2]))
    np.testing.assert_allclose(smolvla.act(one, _noise(2)[1:]), actions[1:], atol=1e-5)
    changes = {
        "cameras": {name: 255 - images for name, images in one.cameras.items()},
        "state": one.state + 1,
        "instruction": (INSTRUCTIONS[0],),
    }
    for name, value in changes.items():
        other = smolvla.act(type(one)(**{**vars(one), name: value}), _noise(2)[1:])
        assert np.abs(other - actions[1:]).max() > 1e-4, name
    assert np.abs(smolvla.act(one, _noise(1, seed=5)) - actions[1:]).max() > 1e-3


def test_actions_see_earlier_actions_only(smolvla, batch):
    """The expert is causal: a change of the noise at step 5 leaves the velocity of steps 0 to 4 as it was."""
    noise = torch.from_numpy(_noise(2))
    changed = noise.clone()
    changed[:, 5] += 1
    with torch.inference_mode():
        cache = smolvla.prefix(batch)
        length = cache.get_seq_length()
        before, after = (smolvla.velocity(batch, cache, values, torch.ones(2)) for values in (noise, changed))
        assert cache.get_seq_length() == length
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert ((before - after)[:, 5:].abs().amax(-1) > 1e-6).all()


def test_images_and_text_do_not_see_the_state(smolvla, batch):
    other = batch | {"state": batch["state"] + 1}
    last = batch["attention_mask"].sum(-1) - 1
    with torch.inference_mode():
        one, two = (smolvla.prefix(values).layers[3].keys for values in (batch, other))
    for row in range(2):
        torch.testing.assert_close(one[row, :, : last[row]], two[row, :, : last[row]])
        assert (one[row, :, last[row]] - two[row, :, last[row]]).abs().max() > 1e-3


def test_frozen_layers_give_the_same_cache(smolvla, batch):
    whole = smolvla.prefix(batch)
    for layers in (1, 3, 4):
        frozen = {name: batch[name] for name in ("attention_mask", "state")} | smolvla.freeze(batch, layers)
        cache = smolvla.prefix(frozen)
        for layer in range(4):
            torch.testing.assert_close(cache.layers[layer].keys, whole.layers[layer].keys)
            torch.testing.assert_close(cache.layers[layer].values, whole.layers[layer].values)


def test_the_inert_heads_are_inert(smolvla, batch):
    gains = {stack: torch.ones(4, 3, requires_grad=True) for stack in STACKS}
    with scaled_heads(smolvla.model, gains):
        smolvla.flow_loss(batch, torch.from_numpy(_noise(2))[:, None], torch.full((2, 1), 0.5)).backward()
    gradient = np.stack([gains[stack].grad.numpy() for stack in STACKS])
    inert = inert_mask(smolvla.head_shape)
    assert (gradient[inert] == 0).all() and (gradient[~inert] != 0).all()


def test_attention_rows_are_distributions(smolvla, batch):
    with attention_rows(smolvla.model, {stack: lambda weights: weights[:, :, 0] for stack in STACKS}) as rows:
        smolvla.flow_loss(batch, torch.from_numpy(_noise(2))[:, None], torch.full((2, 1), 0.5))
    prefix = batch["attention_mask"].shape[1]
    assert rows["vlm", 0].shape == (2, 3, prefix) and rows["expert", 0].shape == rows["expert", 1].shape
    for row in rows.values():
        torch.testing.assert_close(row.sum(-1), torch.ones(2, 3))


def test_every_stage_of_the_method_takes_it(smolvla, demonstrations, tmp_path):
    activations = capture(smolvla, demonstrations)
    assert activations.outputs.shape == (sum(e.frames for e in demonstrations.episodes), 2, 4, 3, 64)
    assert (activations.outputs.std(0) > 0).all()
    relevance = score(activations, preset="paper", ks=(2, 3), inert=inert_mask(smolvla.head_shape))
    selection = top_k(relevance, 3, ("vlm", "expert"))
    settings = FinetuneSettings(steps=2, batch_size=4, rank=2, noise_samples=2)
    before = {name: tensor.clone() for name, tensor in smolvla.model.state_dict().items()}
    result = finetune(smolvla, demonstrations, "steering", settings, selection, tmp_path)
    assert np.isfinite(result.loss).all() and result.trainable_parameters > 0
    for name, tensor in smolvla.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_a_trained_adapter_loads_again_and_moves_its_heads_only(smolvla, smolvla_folder, demonstrations, tmp_path):
    selection = Selection((Head("vlm", 1, 0),), "manual")
    settings = FinetuneSettings(steps=2, batch_size=4, rank=2, noise_samples=1)
    finetune(smolvla, demonstrations, "steering", settings, selection, tmp_path)
    adapted = load_policy(smolvla_folder, tmp_path, demonstrations)
    moved = {
        name for name, p in adapted.model.named_parameters() if not torch.equal(p, smolvla.model.get_parameter(name))
    }
    layer = "model.vlm.language_model.layers.1.self_attn"
    assert moved == {f"{layer}.q_proj.weight", f"{layer}.o_proj.weight"}
    change = adapted.model.get_parameter(f"{layer}.q_proj.weight") - smolvla.model.get_parameter(
        f"{layer}.q_proj.weight"
    )
    assert (change[64:] == 0).all() and (change[:64] != 0).any()


def test_other_arrangements_are_refused(smolvla_folder, tmp_path):
    folder = shutil.copytree(smolvla_folder, tmp_path / "other")
    config = json.loads((folder / "config.json").read_text()) | {"attention_mode": "self_attn"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="as published"):
        load_policy(folder)
