"""What is drawn for a step hangs on the seed and the step alone; no training is needed to see it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from steering.finetune.schedule import Draws, batch_rows, draws, learning_rate
from steering.types import FinetuneSettings

SETTINGS = FinetuneSettings(steps=40, batch_size=8, noise_samples=3, seed=5)
TIMES = SimpleNamespace(
    time_sampling_beta_alpha=1.5, time_sampling_beta_beta=1.0, time_sampling_scale=0.9, time_sampling_offset=0.05
)
FRAMES, CHUNK, DIM = 20, 4, 6


def _draws(step: int = 2, seed: int = 5, frames: int = FRAMES) -> Draws:
    return draws(step, frames, replace(SETTINGS, seed=seed), TIMES, CHUNK, DIM)


def test_the_same_seed_and_step_draw_the_same() -> None:
    one, two = _draws(), _draws()
    for name in ("rows", "noise", "timestep"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.noise.shape == (8, 3, CHUNK, DIM) and one.timestep.shape == (8, 3) and one.rows.shape == (8,)
    assert one.noise.dtype == one.timestep.dtype == np.float32


@pytest.mark.parametrize("other", [{"seed": 6}, {"seed": 0}, {"step": 3}, {"step": 0}])
def test_another_seed_or_step_draws_other_noise_times_and_rows(other: dict[str, int]) -> None:
    one, two = _draws(), _draws(**other)
    for name in ("noise", "timestep"):
        assert not np.isclose(getattr(one, name), getattr(two, name)).any(), name
    assert one.rows.tolist() != two.rows.tolist()


def test_the_number_of_frames_changes_no_noise() -> None:
    np.testing.assert_array_equal(_draws(frames=7).noise, _draws(frames=70).noise)


def test_noise_is_standard_normal_and_times_fill_their_range() -> None:
    every = [_draws(step) for step in range(300)]
    noise, times = (np.stack([getattr(one, name) for one in every]) for name in ("noise", "timestep"))
    assert abs(noise.mean()) < 0.01 and abs(noise.std() - 1) < 0.01
    assert times.min() >= 0.05 and times.max() <= 0.95
    assert times.mean() == pytest.approx(0.05 + 0.9 * 0.6, abs=0.01), "the mean of Beta(1.5, 1) is .6"


def test_a_pass_has_every_frame_once_in_an_order_of_its_own() -> None:
    """20 frames, 8 a batch: passes end within a batch."""
    rows = np.concatenate([batch_rows(step, FRAMES, SETTINGS) for step in range(10)]).reshape(4, FRAMES)
    assert all(sorted(one) == list(range(FRAMES)) for one in rows.tolist())
    assert len({tuple(one) for one in rows.tolist()}) == 4 and (np.diff(rows, axis=1) != 1).any(1).all()
    other = np.concatenate([batch_rows(step, FRAMES, replace(SETTINGS, seed=6)) for step in range(10)])
    assert (other.reshape(4, FRAMES) != rows).any(1).all()


def test_the_rate_rises_to_its_peak_and_falls_by_a_cosine_to_a_tenth() -> None:
    settings = FinetuneSettings(steps=101, warmup_steps=1, learning_rate=2.0)
    assert learning_rate(0, settings) == 2.0 == learning_rate(1, settings)
    assert learning_rate(100, settings) == pytest.approx(0.2)
    assert learning_rate(1 + 33, settings) == pytest.approx(0.2 + 1.8 * 0.5 * (1 + np.cos(np.pi / 3)))
    assert learning_rate(5, replace(settings, warmup_steps=10)) == pytest.approx(2.0 * 6 / 10)
    assert learning_rate(0, FinetuneSettings(steps=1, warmup_steps=0, learning_rate=2.0)) == 2.0
    assert learning_rate(500, settings) == pytest.approx(0.2), "past the end it stays"


def test_draws_are_those_of_generators_named_by_seed_purpose_and_step() -> None:
    """Written out, since a resumed or repeated run of an earlier version must draw the same."""
    found, rng = _draws(), np.random.default_rng((5, 2, 2))
    np.testing.assert_array_equal(found.noise, rng.standard_normal((8, 3, CHUNK, DIM), np.float32))
    np.testing.assert_array_equal(found.timestep, (rng.beta(1.5, 1.0, (8, 3)) * 0.9 + 0.05).astype(np.float32))
    first, second = (np.random.default_rng((5, 0, p)).permutation(FRAMES) for p in (0, 1))
    assert found.rows.tolist() == [*first[16:], *second[:4]]


def test_the_rate_at_the_ends_of_the_warm_up() -> None:
    settings = FinetuneSettings(steps=12, warmup_steps=4, learning_rate=1.0)
    assert [learning_rate(step, settings) for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    assert learning_rate(5, settings) == pytest.approx(0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi / 7)))
    assert learning_rate(1, FinetuneSettings(steps=2, warmup_steps=1, learning_rate=1.0)) == 1.0
    assert learning_rate(1, FinetuneSettings(steps=2, warmup_steps=0, learning_rate=1.0)) == pytest.approx(0.1)
