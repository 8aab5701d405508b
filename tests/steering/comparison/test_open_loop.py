"""Open-loop errors against direct sums, and intervals against resampling by hand."""

from __future__ import annotations

import inspect
from dataclasses import replace

import numpy as np
import pytest

from steering.comparison import open_loop
from steering.comparison.open_loop import compare_open_loop, open_loop_report
from steering.errors import InputError
from steering.types import OpenLoop

STEPS, DIMS = 4, 3


def prediction(method: str, noise: float, episodes: int = 6, seed: int = 0) -> OpenLoop:
    rng = np.random.default_rng(7)
    frames = [5 + e for e in range(episodes)]
    episode = np.repeat(np.arange(episodes), frames).astype(np.int32)
    frame = np.concatenate([np.arange(n) for n in frames]).astype(np.int32)
    demonstrated = rng.uniform(-1, 1, (len(frame), STEPS, DIMS)).astype(np.float32)
    left = np.array(frames)[episode] - frame
    errors = np.random.default_rng(seed).standard_normal(demonstrated.shape) * noise * (1 + episode[:, None, None])
    return OpenLoop(
        method=method,
        episode=episode,
        frame=frame,
        predicted=(demonstrated + errors).astype(np.float32),
        demonstrated=demonstrated,
        valid=np.arange(STEPS) < left[:, None],
        spread=np.array([0.5, 1.0, 0.0], np.float32),
        action_names=("x", "y", "gripper"),
        rate_hz=20.0,
    )


def squared(one: OpenLoop) -> np.ndarray:
    return ((one.predicted.astype(float) - one.demonstrated) / np.array([0.5, 1.0, 0.01])) ** 2


def test_errors_are_means_over_the_valid_frames() -> None:
    one = prediction("lora", 0.1)
    found = compare_open_loop([one], resamples=50)
    errors = squared(one)
    for step in range(STEPS):
        rows = one.valid[:, step]
        assert np.allclose(found.error[0, step], errors[rows, step].mean(0), rtol=1e-5)
        assert found.by_step[0, step, 0] == pytest.approx(errors[rows, step].mean(), rel=1e-5)
    for dim in range(DIMS):
        assert found.by_dim[0, dim, 0] == pytest.approx(errors[..., dim][one.valid].mean(), rel=1e-5)
    assert found.total[0, 0] == pytest.approx(errors[one.valid].mean(), rel=1e-5)
    assert (found.low <= found.error).all() and (found.error <= found.high).all()
    assert found.methods == ("lora",) and found.difference[0].tolist() == [0, 0, 0]


def test_intervals_are_those_of_resampled_episodes() -> None:
    one, other = prediction("zero_shot", 0.2), prediction("steering", 0.1, seed=1)
    found = compare_open_loop([one, other], resamples=3000)
    rng = np.random.default_rng(99)
    totals, differences = [], []
    per_episode = [[squared(p)[p.episode == e][p.valid[p.episode == e]] for e in range(6)] for p in (one, other)]
    for _ in range(3000):
        drawn = rng.integers(6, size=6)
        means = [np.concatenate([rows[e] for e in drawn]).mean() for rows in per_episode]
        totals.append(means[1])
        differences.append(means[1] - means[0])
    low, high = np.percentile(totals, (2.5, 97.5))
    assert found.total[1, 1:] == pytest.approx((low, high), rel=0.06)
    low, high = np.percentile(differences, (2.5, 97.5))
    assert found.difference[1, 1:] == pytest.approx((low, high), rel=0.06)
    assert found.difference[1, 0] == pytest.approx(found.total[1, 0] - found.total[0, 0], rel=1e-5)


def test_the_same_seed_gives_the_same_bytes() -> None:
    one = prediction("lora", 0.1)
    assert compare_open_loop([one], resamples=50).low.tobytes() == compare_open_loop([one], resamples=50).low.tobytes()


def test_the_report_says_what_is_shown_and_what_is_not() -> None:
    text = open_loop_report(
        compare_open_loop([prediction("zero_shot", 0.3), prediction("steering", 0.1), prediction("lora", 0.3, seed=2)]),
        {"steering": "Flattered."},
    )
    lines = text.splitlines()
    assert "6 held-out episodes" in lines[0] and len(lines) == 6
    assert lines[2].endswith("). Flattered.") and text.count("Flattered") == 1
    assert lines[4].startswith("Robotic Steering less Zero-shot: -") and lines[4].endswith("lower.")
    assert lines[5].endswith("no difference shown.")
    two = compare_open_loop([prediction("lora", 0.1, episodes=2)])
    assert "2 held-out episodes;" in open_loop_report(two, {}) and "One episode" not in open_loop_report(two, {})
    assert two.total[0, 1] < two.total[0, 2]
    single = compare_open_loop([prediction("lora", 0.1, episodes=1)])
    assert open_loop_report(single, {}).startswith("1 held-out episode;")
    assert "One episode has no interval" in open_loop_report(single, {})
    assert single.total[0, 0] == single.total[0, 1] == single.total[0, 2]


def test_other_frames_are_refused() -> None:
    one = prediction("zero_shot", 0.1)
    with pytest.raises(InputError, match="same frames"):
        compare_open_loop([one, replace(prediction("lora", 0.1), frame=one.frame + 1)])
    with pytest.raises(InputError, match="each method once"):
        compare_open_loop([one, one])
    with pytest.raises(InputError, match="at least one"):
        compare_open_loop([])


def test_the_numbers_of_the_comparison() -> None:
    found = inspect.signature(compare_open_loop).parameters
    assert (found["resamples"].default, found["seed"].default) == (2000, 0)
    assert open_loop.CONFIDENCE == 0.95 and open_loop._SMALLEST_SPREAD == 0.01


def test_ends_of_an_interval_at_zero_show_nothing() -> None:
    comparison = compare_open_loop([prediction("zero_shot", 0.1), prediction("steering", 0.1)], resamples=20)
    for low, high, words in ((-2, -1e-3, "lower."), (-2, 0, "no difference shown."), (0, 2, "no difference shown.")):
        difference = comparison.difference.copy()
        difference[1] = (low + high) / 2, low, high
        assert open_loop_report(replace(comparison, difference=difference), {}).endswith(words)
    difference[1] = 1, 1e-3, 2
    assert open_loop_report(replace(comparison, difference=difference), {}).endswith("higher.")


def test_an_interval_is_the_percentiles_of_the_seeds_own_draws() -> None:
    one = prediction("lora", 0.1)
    found = compare_open_loop([one], resamples=40, seed=3)
    drawn = np.random.default_rng(3).integers(0, 6, (40, 6))
    per_episode = [squared(one)[one.episode == e][one.valid[one.episode == e]] for e in range(6)]
    means = [np.concatenate([per_episode[e] for e in rows]).mean() for rows in drawn]
    assert found.total[0, 1:] == pytest.approx(np.percentile(means, (2.5, 97.5)), rel=1e-5)
    assert found.low.shape == found.high.shape == (1, STEPS, DIMS) and (found.low < found.high).all()
