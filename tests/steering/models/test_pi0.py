"""The π0 adapter against the model's own functions."""

from __future__ import annotations

import numpy as np
import torch

from steering.models.preprocessing import observe
from steering.types import Observation


def _noise(policy, rows, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, policy.chunk_size, policy.noise_dim), np.float32)


def _first(observation, rows):
    cameras = {name: images[:rows] for name, images in observation.cameras.items()}
    return Observation(cameras, observation.state[:rows], observation.instruction[:rows])


def test_act_equals_the_models_own_sampling(policy, demonstrations):
    observation = observe(demonstrations, np.array([0, 1, 2]), np.array([0, 3, 5]))
    noise = _noise(policy, 3)
    own = policy.model.sample_actions(**policy.prepare(observation), noise=torch.from_numpy(noise))
    mean, std = policy.preprocessor.statistics.actions_mean, policy.preprocessor.statistics.actions_std
    expected = own.numpy()[..., :7] * std + mean
    actions = policy.act(observation, noise)
    assert actions.shape == (3, 4, 7) and actions.dtype == np.float32
    assert np.ptp(actions) > 0.1
    np.testing.assert_allclose(actions, expected, atol=1e-5)


def test_act_does_not_depend_on_the_rest_of_the_batch(policy, demonstrations):
    observation = observe(demonstrations, np.array([0, 1, 3]), np.array([2, 3, 4]))
    noise = _noise(policy, 3)
    np.testing.assert_allclose(
        policy.act(_first(observation, 1), noise[:1]), policy.act(observation, noise)[:1], atol=1e-5
    )


def test_act_repeats_and_follows_noise_image_and_instruction(policy, demonstrations):
    observation = observe(demonstrations, np.array([0]), np.array([2]))
    actions = policy.act(observation, _noise(policy, 1))
    np.testing.assert_array_equal(policy.act(observation, _noise(policy, 1)), actions)
    assert np.abs(policy.act(observation, _noise(policy, 1, seed=1)) - actions).max() > 1e-3
    black = {name: np.zeros_like(images) for name, images in observation.cameras.items()}
    for other in (
        Observation(black, observation.state, observation.instruction),
        Observation(observation.cameras, observation.state, ("place the marker in the mug",)),
    ):
        assert np.abs(policy.act(other, _noise(policy, 1)) - actions).max() > 1e-4


def test_flow_loss_shares_the_prefix_between_noise_samples(policy, demonstrations):
    observation = observe(demonstrations, np.array([0, 1]), np.array([1, 2]))
    chunk = np.random.default_rng(1).uniform(-1, 1, (2, 4, 7)).astype(np.float32)
    batch = policy.prepare(observation, chunk)
    noise, timestep = torch.randn(2, 3, 4, 8), torch.rand(2, 3)
    losses = [
        policy.model(**batch, noise=noise[:, sample], timestep=timestep[:, sample]).loss.item() for sample in range(3)
    ]
    np.testing.assert_allclose(policy.flow_loss(batch, noise, timestep).item(), np.mean(losses), rtol=1e-5)


def test_embedded_prefix_stands_in_for_pixels(policy, demonstrations):
    observation = observe(demonstrations, np.array([0, 1]), np.array([1, 2]))
    batch = policy.prepare(observation, np.zeros((2, 4, 7), np.float32))
    short = {name: batch[name] for name in ("attention_mask", "state", "actions")}
    short["inputs_embeds"] = policy.embed(batch)
    noise, timestep = torch.randn(2, 1, 4, 8), torch.rand(2, 1)
    assert policy.flow_loss(short, noise, timestep) == policy.flow_loss(batch, noise, timestep)


def test_frozen_layers_give_the_same_cache(policy, demonstrations):
    batch = policy.prepare(observe(demonstrations, np.array([0, 1]), np.array([1, 2])))
    whole = policy.prefix(batch)
    for layers in (1, 2, 3):
        frozen = batch | policy.freeze(batch, layers)
        del frozen["pixel_values"]
        cache = policy.prefix(frozen)
        for layer in range(3):
            assert torch.equal(cache.layers[layer].keys, whole.layers[layer].keys)
            assert torch.equal(cache.layers[layer].values, whole.layers[layer].values)
