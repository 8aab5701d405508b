"""π0 as it is published, at reduced width: loads under every layout, acts, captures, trains selected heads."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PI0Config, PI0ForConditionalGeneration

from steering.activations.capture import capture
from steering.errors import InputError, NotFound
from steering.finetune.training import finetune
from steering.models.hooks import scaled_heads
from steering.models.loading import load_policy
from steering.models.preprocessing import camera_order, dataset_statistics, observe
from steering.types import STACKS, FinetuneSettings, Head, HeadShape, Selection

OLDER = (
    ("paligemma.model.language_model.", "paligemma.language_model.model."),
    ("paligemma.lm_head", "paligemma.language_model.lm_head"),
    ("paligemma.model.vision_tower.", "paligemma.vision_tower."),
    ("paligemma.model.multi_modal_projector.", "paligemma.multi_modal_projector."),
)


@pytest.fixture(scope="module")
def published(published_folder, tokenizer_folder):
    return load_policy(published_folder, tokenizer=tokenizer_folder)


def _noise(policy, rows):
    return np.random.default_rng(0).standard_normal((rows, policy.chunk_size, policy.noise_dim), np.float32)


def _older_names(name):
    for new, old in OLDER:
        name = name.replace(new, old)
    return name


LAYOUTS = {
    "openpi": lambda name: name.removeprefix("model."),
    "before 0.4": _older_names,
}


def test_the_layout_loads_with_its_sizes(published, narrow_pi0):
    assert published.head_shape == HeadShape.pair(18, 8, 256)
    assert (published.chunk_size, published.noise_dim, published.action_dim) == (50, 32, 14)
    for name, parameter in narrow_pi0.named_parameters():
        assert torch.equal(parameter, published.model.get_parameter(name)), name


def test_the_names_are_translated_as_transformers_does(published, published_folder, narrow_pi0):
    theirs = PI0ForConditionalGeneration.from_pretrained(published_folder, config=narrow_pi0.config)
    for name, parameter in theirs.named_parameters():
        assert torch.equal(parameter, published.model.get_parameter(name)), name


@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_published_layouts_load_the_same(layout, published, published_folder, tokenizer_folder, tmp_path):
    folder = shutil.copytree(published_folder, tmp_path / "other")
    state = load_file(folder / "model.safetensors")
    save_file({LAYOUTS[layout](name): tensor for name, tensor in state.items()}, folder / "model.safetensors")
    other = load_policy(folder, tokenizer=tokenizer_folder)
    for name, parameter in published.model.named_parameters():
        assert torch.equal(parameter, other.model.get_parameter(name)), name


def test_transformers_layout_in_shards_loads_the_same(narrow_pi0, published, tokenizer_folder, tmp_path):
    narrow_pi0.save_pretrained(tmp_path, max_shard_size="10MB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    statistics = published.preprocessor.statistics
    other = load_policy(tmp_path, tokenizer=tokenizer_folder, statistics=statistics)
    assert isinstance(other.model.config, PI0Config) and other.own_statistics is None
    for name, parameter in published.model.named_parameters():
        assert torch.equal(parameter, other.model.get_parameter(name)), name


def test_it_acts_in_the_robots_units(published, robot_demonstrations):
    observation = observe(robot_demonstrations, np.array([0, 1]), np.array([0, 2]))
    actions = published.act(observation, _noise(published, 2))
    assert actions.shape == (2, 50, 14) and np.isfinite(actions).all()
    assert np.abs(actions).max() > 2  # not clipped to [-1, 1]
    own = published.model.sample_actions(**published.prepare(observation), noise=torch.from_numpy(_noise(published, 2)))
    data = np.concatenate([e.action for e in robot_demonstrations.episodes])
    np.testing.assert_allclose(actions, own.numpy()[..., :14] * data.std(0) + data.mean(0), rtol=1e-3, atol=1e-3)


def test_a_missing_camera_is_masked(published, robot_demonstrations):
    """Leaving it out equals lerobot's black image whose tokens are masked."""
    batch = published.prepare(observe(robot_demonstrations, np.array([0]), np.array([1])))
    assert batch["pixel_values"].shape[1] == 2
    patches = published.preprocessor.tokens_per_image
    masked = dict(batch)
    black = torch.full_like(batch["pixel_values"][:, :1], -1)
    masked["pixel_values"] = torch.cat([batch["pixel_values"], black], dim=1)
    masked["pixel_attention_mask"] = torch.ones(1, 3, dtype=torch.bool)
    for name, extra in (("input_ids", published.preprocessor.image_token_id), ("attention_mask", 0)):
        front, back = batch[name][:, : 2 * patches], batch[name][:, 2 * patches :]
        masked[name] = torch.cat([front, torch.full((1, patches), extra), back], dim=1)
    noise = torch.from_numpy(_noise(published, 1))
    with torch.inference_mode():
        left_out = published.velocity(batch, published.prefix(batch), noise, torch.ones(1))
        lerobot = published.velocity(masked, published.prefix(masked), noise, torch.ones(1))
    torch.testing.assert_close(left_out, lerobot, atol=1e-5, rtol=1e-4)


def test_cameras_go_to_the_slots_of_their_kind():
    slots = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb", "empty_camera_0")
    assert camera_order(["wrist", "exterior"], slots) == ["exterior", "wrist"]
    assert camera_order(["wrist_left", "top"], slots) == ["top", "wrist_left"]
    assert camera_order(["front", "side", "hand"], slots) == ["front", "hand", "side"]
    assert camera_order(["right_wrist_0_rgb", "top"], slots) == ["top", "right_wrist_0_rgb"]
    assert camera_order(["b", "wrist", "exterior"]) == ["exterior", "wrist", "b"]
    with pytest.raises(InputError, match="1 to 3 cameras.*got a, b, c, d"):
        camera_order(["a", "b", "c", "d"], slots)
    with pytest.raises(InputError, match="got none"):
        camera_order([], slots)


def test_instructions_end_at_the_published_length(published):
    ids = published.preprocessor.text_tokens("place the marker " * 40)
    assert (
        len(ids) == 48 and ids == published.preprocessor.tokenizer("<bos>" + "place the marker " * 40)["input_ids"][:48]
    )


@pytest.mark.slow
def test_heads_are_captured_and_selected_ones_trained(published, robot_demonstrations, tmp_path):
    frames = [np.array([0, 3]), np.array([1]), np.array([2])]
    activations = capture(published, robot_demonstrations, frames=frames)
    assert activations.outputs.shape == (4, 2, 18, 8, 256) and np.isfinite(activations.outputs).all()
    assert activations.chunk.shape == (4, 50, 14)
    assert (activations.outputs.std(0) > 0).all()
    before = {name: tensor.clone() for name, tensor in published.model.state_dict().items()}
    selection = Selection((Head("vlm", 3, 5), Head("vlm", 12, 0)), "manual")
    settings = FinetuneSettings(steps=1, batch_size=2, rank=2, noise_samples=1)
    result = finetune(published, robot_demonstrations, "steering", settings, selection, tmp_path, heldout_episodes=[2])
    assert result.parameters == {"q_proj": 2 * 2 * (64 + 256), "o_proj": 2 * 2 * (64 + 256)}
    assert np.isfinite(result.loss).all() and len(result.loss) == 1
    for name, tensor in published.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_only_the_last_vlm_layer_is_inert(published, robot_demonstrations):
    chunk = np.zeros((1, 50, 14), np.float32)
    batch = published.prepare(observe(robot_demonstrations, np.array([0]), np.array([1])), chunk)
    gains = {stack: torch.ones(18, 8, requires_grad=True) for stack in STACKS}
    with scaled_heads(published.model, gains):
        published.flow_loss(batch, torch.from_numpy(_noise(published, 1))[:, None], torch.full((1, 1), 0.5)).backward()
    gradient = np.stack([gains[stack].grad.numpy() for stack in STACKS])
    inert = published.layout.inert
    assert (gradient[inert] == 0).all() and (gradient[~inert] != 0).all()


@pytest.mark.slow
def test_half_precision_follows_single(published, published_folder, tokenizer_folder, robot_demonstrations):
    half = load_policy(published_folder, tokenizer=tokenizer_folder, precision="bfloat16")
    assert {parameter.dtype for parameter in half.model.parameters()} == {torch.bfloat16}
    observation = observe(robot_demonstrations, np.array([0, 1]), np.array([0, 2]))
    actions, single = (policy.act(observation, _noise(policy, 2)) for policy in (half, published))
    assert actions.dtype == np.float32
    assert np.abs(actions - single).mean() < 0.03 * single.std()


def test_without_its_tokenizer_it_says_where_to_get_it(published_folder):
    with pytest.raises(NotFound, match="google/paligemma-3b-pt-224.*licence"):
        load_policy(published_folder)


def test_missing_statistics_come_from_the_demonstrations(published_folder, tokenizer_folder, demonstrations, tmp_path):
    own = load_policy(published_folder, tokenizer=tokenizer_folder, statistics_from=demonstrations)
    assert own.action_dim == 7 and "14 state and 14 action dimensions" in own.notices[0]
    assert len(own.own_statistics.actions_mean) == 14
    folder = shutil.copytree(published_folder, tmp_path / "base")
    (folder / "policy_preprocessor.json").unlink()
    with pytest.raises(InputError, match="statistics_from"):
        load_policy(folder, tokenizer=tokenizer_folder)
    policy = load_policy(folder, tokenizer=tokenizer_folder, statistics_from=demonstrations)
    assert policy.notices == ("Normalised by the statistics of 'noise' (4 episodes): the checkpoint has none.",)
    expected = dataset_statistics(demonstrations)
    np.testing.assert_array_equal(policy.preprocessor.statistics.state_std, expected.state_std)


def test_what_changes_the_meaning_of_actions_is_refused(published_folder, tokenizer_folder, tmp_path):
    folder = shutil.copytree(published_folder, tmp_path / "relative")
    config = json.loads((folder / "config.json").read_text()) | {"use_relative_actions": True}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="relative to the state"):
        load_policy(folder, tokenizer=tokenizer_folder)


@pytest.mark.slow
def test_selected_heads_train_over_half_precision_weights(
    published_folder, tokenizer_folder, robot_demonstrations, tmp_path
):
    half = load_policy(published_folder, tokenizer=tokenizer_folder, precision="bfloat16")
    before = {name: tensor.clone() for name, tensor in half.model.state_dict().items()}
    settings = FinetuneSettings(steps=2, batch_size=2, rank=2, noise_samples=1)
    selection = Selection((Head("vlm", 3, 5), Head("expert", 17, 1)), "manual")
    result = finetune(half, robot_demonstrations, "steering", settings, selection, tmp_path, heldout_episodes=())
    assert np.isfinite(result.loss).all()
    for name, tensor in half.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    again = load_policy(published_folder, tmp_path, tokenizer=tokenizer_folder, precision="bfloat16")
    changed = {n for n, p in again.model.named_parameters() if not torch.equal(p, before[n])}
    assert changed and all(".layers.3." in name or "dit.layers.17." in name for name in changed)
