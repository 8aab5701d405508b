"""Preprocessing against transformers' PI0Processor and direct computations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, PI0Processor
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from steering.errors import InputError
from steering.models.chunks import action_chunks
from steering.models.loading import fitting_statistics
from steering.models.preprocessing import Statistics, area_weights, dataset_statistics, observe
from steering.types import Robot


@pytest.fixture
def processor(policy_folder):
    """transformers' own processor from the policy's files, with the PIL backend of the image processor it names."""
    image_processor = SiglipImageProcessorPil.from_pretrained(policy_folder)
    image_processor.image_seq_length = 4
    settings, _ = PI0Processor.get_processor_dict(policy_folder)
    names = ("state_mean", "state_std", "actions_mean", "actions_std", "max_state_dim", "chunk_size")
    tokenizer = AutoTokenizer.from_pretrained(policy_folder)
    return PI0Processor(image_processor, tokenizer, **{name: settings[name] for name in names})


def test_prepare_equals_pi0_processor(policy, demonstrations, processor):
    observation = observe(demonstrations, np.array([0, 1]), np.array([1, 2]))
    chunk = np.random.default_rng(0).uniform(-1, 1, (2, 4, 7)).astype(np.float32)
    batch = policy.prepare(observation, chunk)
    images = [[observation.cameras["exterior"][i], observation.cameras["wrist"][i]] for i in range(2)]
    expected = processor(
        images,
        list(observation.instruction),
        state=observation.state,
        actions=chunk,
        padding="max_length",
        max_length=batch["input_ids"].shape[1],
    )
    assert batch["attention_mask"].sum(-1).tolist() != [batch["input_ids"].shape[1]] * 2
    for name in ("input_ids", "attention_mask", "pixel_attention_mask"):
        assert torch.equal(batch[name], expected[name]), name
    for name in ("state", "actions"):
        torch.testing.assert_close(batch[name], expected[name])
    # PIL rounds to whole grey levels
    torch.testing.assert_close(batch["pixel_values"], expected["pixel_values"], atol=1.2 / 127.5, rtol=0)


def test_images_are_reduced_by_averaging(policy):
    images = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    pixels = policy.preprocessor.pixels([images])
    expected = images.reshape(2, 32, 3, 32, 3, 3).mean((2, 4)).transpose(0, 3, 1, 2) / 127.5 - 1
    np.testing.assert_allclose(pixels[:, 0].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("side", (64, 96, 80))
def test_images_of_any_size_are_averaged_by_area(policy, side):
    images = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    weights = area_weights(side, 32)
    expected = weights @ torch.from_numpy(images).permute(0, 3, 1, 2).float() @ weights.T / 127.5 - 1
    tolerance = {} if side % 64 else {"rtol": 0, "atol": 0}  # halves are exact
    torch.testing.assert_close(policy.preprocessor.pixels([images])[:, 0], expected, **tolerance)


def test_area_weights_share_split_pixels():
    expected = torch.tensor([[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]])
    torch.testing.assert_close(area_weights(3, 2), expected)


def test_wide_images_are_centred_on_black(policy):
    pixels = policy.preprocessor.pixels([np.full((1, 32, 64, 3), 255, np.uint8)])[0, 0, 0]
    assert (pixels[:8] == -1).all() and (pixels[24:] == -1).all() and (pixels[8:24] == 1).all()


def test_actions_come_back(policy):
    actions = np.random.default_rng(0).uniform(-1, 1, (3, 4, 7)).astype(np.float32)
    normal = policy.preprocessor.actions(actions)
    assert normal.shape == (3, 4, 8) and (normal[..., 7] == 0).all()
    np.testing.assert_allclose(policy.preprocessor.raw_actions(normal), actions, atol=1e-6)


def test_action_chunks_rest_past_the_end():
    action = np.arange(1, 22, dtype=np.float32).reshape(3, 7)
    chunks = action_chunks(action, 3)
    assert chunks.shape == (3, 3, 7)
    np.testing.assert_array_equal(chunks[0], action)
    np.testing.assert_array_equal(chunks[2, 0], action[2])
    np.testing.assert_array_equal(chunks[2, 1], [0, 0, 0, 0, 0, 0, 21])
    np.testing.assert_array_equal(chunks[1, 2], chunks[2, 2])


def test_every_gripper_keeps_its_value_past_the_end():
    action = np.arange(1, 33, dtype=np.float32).reshape(2, 16)
    rest = action_chunks(action, 2)[1, 1]
    np.testing.assert_array_equal(np.flatnonzero(rest), [7, 15])
    roles = Robot(action_roles=("gripper", *["joint"] * 15))
    np.testing.assert_array_equal(np.flatnonzero(action_chunks(action, 2, robot=roles)[1, 1]), [0])


def test_positions_to_reach_are_held_past_the_end():
    action = np.arange(1, 22, dtype=np.float32).reshape(3, 7)
    chunks = action_chunks(action, 3, absolute=True)
    np.testing.assert_array_equal(chunks[0], action)
    np.testing.assert_array_equal(chunks[1], action[[1, 2, 2]])
    np.testing.assert_array_equal(chunks[2], action[[2, 2, 2]])


def test_statistics_of_all_frames(demonstrations):
    statistics = dataset_statistics(demonstrations)
    action = np.concatenate([e.action for e in demonstrations.episodes])
    np.testing.assert_allclose(statistics.actions_mean, action.mean(0), atol=1e-6)
    np.testing.assert_allclose(statistics.actions_std, action.std(0), atol=1e-6)


def test_another_robots_state_is_refused(policy):
    with pytest.raises(InputError, match="Expected 8 state dimensions.*got 6"):
        policy.preprocessor.state(np.zeros((1, 6), np.float32))


def test_float_images_are_refused(policy):
    with pytest.raises(InputError, match="uint8"):
        policy.preprocessor.pixels([np.zeros((1, 32, 32, 3), np.float32)])


def test_padding_of_openpi_s_statistics_is_left_out(demonstrations):
    own = dataset_statistics(demonstrations)
    padded = {name: np.pad(values, (0, 32 - len(values))) for name, values in vars(own).items()}
    found, notice = fitting_statistics(Statistics(**padded), demonstrations, "openpi")
    assert notice == ""
    for name, values in vars(own).items():
        np.testing.assert_array_equal(getattr(found, name), values)
    padded["state_mean"][20] = 1.0  # no padding: of another robot
    assert "32 state" in fitting_statistics(Statistics(**padded), demonstrations, "openpi")[1]
