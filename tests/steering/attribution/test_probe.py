"""The probe's frames and losses against the policy's own, and standard errors against plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from steering.attribution.probe import frame_losses, over_episodes, probe, spread_frames
from steering.errors import InputError


def test_frames_are_spread_over_all_episodes(demonstrations):
    episode, frame = spread_frames(demonstrations, 10)
    assert set(episode) == {0, 1, 2, 3} and (episode[0], frame[0]) == (0, 0) and (episode[-1], frame[-1]) == (3, 8)
    assert len(spread_frames(demonstrations, 1000)[0]) == 30


def test_losses_are_the_policys_flow_loss_frame_by_frame(policy, demonstrations):
    asked = probe(policy, demonstrations, frames=4, samples=3)
    with torch.no_grad():
        losses = frame_losses(policy, asked.batch, asked.noise, asked.timestep)
        for row in range(4):
            one = {name: tensor[row : row + 1] for name, tensor in asked.batch.items()}
            expected = policy.flow_loss(one, asked.noise[None], asked.timestep[None])
            torch.testing.assert_close(losses[row], expected)


def test_times_are_quantiles_of_the_training_distribution(policy, demonstrations):
    asked = probe(policy, demonstrations, frames=2, samples=1000)
    torch.manual_seed(0)
    config = policy.model.config
    drawn = torch.distributions.Beta(config.time_sampling_beta_alpha, config.time_sampling_beta_beta).sample((20000,))
    drawn = drawn * config.time_sampling_scale + config.time_sampling_offset
    expected = torch.quantile(drawn, torch.linspace(0.05, 0.95, 10))
    torch.testing.assert_close(
        torch.quantile(asked.timestep, torch.linspace(0.05, 0.95, 10)), expected, atol=0.02, rtol=0
    )


def test_the_same_seed_asks_the_same(policy, demonstrations):
    first, again, other = (probe(policy, demonstrations, frames=3, seed=seed) for seed in (1, 1, 2))
    torch.testing.assert_close(first.noise, again.noise, rtol=0, atol=0)
    assert (first.noise != other.noise).any() and (first.start != first.noise[:1]).any()


def test_standard_error_over_episodes():
    episode = np.array([0, 0, 0, 1, 2, 2])
    values = np.random.default_rng(0).normal(size=(6, 2))
    mean, error = over_episodes(values, episode)
    np.testing.assert_allclose(mean, values.mean(0))
    equal = np.repeat(np.arange(4), 3)
    of_means = np.random.default_rng(1).normal(size=(12, 1))
    means = of_means.reshape(4, 3).mean(1)
    np.testing.assert_allclose(over_episodes(of_means, equal)[1], means.std(ddof=1) / 2)
    assert (over_episodes(values, np.zeros(6))[1] == 0).all() and (error > 0).all()


def test_too_little_is_refused(policy, demonstrations):
    with pytest.raises(InputError, match="at least 2 frames"):
        probe(policy, demonstrations, frames=1)
    with pytest.raises(InputError, match="sample"):
        probe(policy, demonstrations, samples=0)
