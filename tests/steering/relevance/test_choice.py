"""The nested choice of k and heads against a plain loop, and the in-sample choice of the paper beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsRegressor

from steering.progress import Progress
from steering.relevance import choice, targets
from steering.relevance.keyframes import take
from steering.relevance.neighbours import SPARE
from steering.relevance.scoring import prepare, rescore, score
from steering.types import PAPER_SET_SIZE, Stack

KS = (2, 3, 4)
GRID = (2, 4, 6)


@pytest.fixture
def activations(build):
    """Five short episodes in which some heads see how far along an action is that only some episodes share."""
    lengths = (9, 12, 10, 11, 13)
    generator = np.random.default_rng(7)
    a = build(lengths, seed=6)
    clock, kind = a.time_in_episode[:, None], (a.episode % 2)[:, None]
    action = np.sin(5 * clock + 2 * kind * np.arange(7)) + 0.1 * generator.standard_normal((len(clock), 7))
    outputs = generator.standard_normal((sum(lengths), *GRID, 5)).astype(np.float32)
    told = np.concatenate([np.cos(3 * clock), np.sin(3 * clock), kind], axis=1)
    for head in range(6):
        outputs[:, 0, 1, head, :3] += 20 * head * told
        outputs[:, 1, 2, head, :3] += 20 * head * told
    nothing = np.zeros(GRID, bool)
    return replace(a, outputs=outputs, action=action.astype(np.float32), inert=nothing, stacks=())


def squared(x: np.ndarray, y: np.ndarray, episode: np.ndarray, queried: list[int], memory: list[int], k: int) -> float:
    """Sum over the frames of `queried` episodes of the mean squared error, by scikit-learn."""
    total = 0.0
    for one in queried:
        kept = np.isin(episode, [m for m in memory if m != one])
        model = KNeighborsRegressor(k, weights=lambda d: 1 / (d + 1e-8), algorithm="brute", metric="cosine")
        predicted = model.fit(x[kept].astype(float), y[kept]).predict(x[episode == one].astype(float))
        total += ((predicted - y[episode == one]) ** 2).mean(1).sum()
    return total


def loop(a, stack: int, inert: np.ndarray) -> tuple[list[int], float, np.ndarray, np.ndarray]:
    """Chosen ks, held-out error of the sets, error of every head at the chosen ks, and how often each was chosen."""
    y = targets.standardise(a.action)[:, :6]
    episodes = sorted(set(a.episode.tolist()))
    movable = [(la, h) for la in range(GRID[1]) for h in range(GRID[2]) if not inert[la, h]]
    chosen, total, error, share = [], 0.0, np.zeros(GRID[1:]), np.zeros(GRID[1:])
    for out in episodes:
        rest = [e for e in episodes if e != out]
        frames = np.isin(a.episode, rest).sum()
        best: tuple[float, int, list] = (np.inf, 0, [])
        for k in KS:
            inner = {p: squared(a.outputs[:, stack, *p], y, a.episode, rest, rest, k) / frames for p in movable}
            heads = sorted(movable, key=inner.__getitem__)[:PAPER_SET_SIZE]
            mean = np.mean([inner[p] for p in heads])
            if mean < best[0]:
                best = (mean, k, heads)
        _, k, heads = best
        chosen.append(k)
        joined = np.concatenate([a.outputs[:, stack, *p] for p in heads], axis=1)
        total += squared(joined, y, a.episode, [out], rest, k)
        for p in np.ndindex(GRID[1:]):
            error[p] += squared(a.outputs[:, stack, *p], y, a.episode, [out], rest, k)
        for p in heads:
            share[p] += 1 / len(episodes)
    return chosen, total / len(y), error / len(y), share


def test_k_and_heads_are_chosen_without_the_episode_that_judges_them(activations):
    a = activations
    inert = np.zeros(GRID, bool)
    inert[0, 2:] = inert[1, :2] = True  # 12 VLM heads stay, fewer than a set; half of them noise
    inert[1, 2, 0] = inert[1, 3, 1:] = True  # of the expert one head of noise and five that know something
    r = score(replace(a, inert=inert), "default", KS, neighbours=prepare(a, depth=60))
    for s, stack in enumerate(("vlm", "expert")):
        chosen, held_out, error, share = loop(a, s, inert[s])
        assert r.fold_k[stack] == tuple(chosen)
        assert r.cv_mse[stack] == pytest.approx(held_out, abs=1e-5)
        np.testing.assert_allclose(r.score[s], 1 - error / r.baselines["state_time"], atol=1e-5)
        np.testing.assert_allclose(r.fold_share[s], share, atol=1e-6)
        assert r.best_k[stack] in chosen
    assert len({k for ks in r.fold_k.values() for k in ks}) > 1, r.fold_k  # else the test shows little


def test_frames_of_the_judging_episode_cannot_change_what_was_chosen(activations):
    a = activations
    last = a.episode == 4
    other = replace(a, action=np.where(last[:, None], np.roll(a.action, 3, 0), a.action))
    for b in (a, other):
        b.action[0], b.action[1] = -1, 1  # the same spread in both, so that the units agree
    y = [targets.Target("raw", b.action.astype(float), ("x",) * 7, tuple(range(6))) for b in (a, other)]
    first, second = (score(b, "default", KS, target=t) for b, t in zip((a, other), y, strict=True))
    for stack in ("vlm", "expert"):
        assert first.fold_k[stack][4] == second.fold_k[stack][4]
    assert first.cv_mse != second.cv_mse


def test_spare_neighbours_are_enough_where_episodes_mix(activations):
    exact, spare = (score(activations, "default", KS, neighbours=prepare(activations, d)) for d in (60, 4 + SPARE))
    assert exact.fold_k == spare.fold_k and exact.cv_mse == spare.cv_mse
    np.testing.assert_array_equal(exact.score, spare.score)


def test_two_episodes_leave_nothing_to_choose_with(activations):
    two = take(activations, activations.episode < 2)
    r = score(two, "default", KS)
    assert r.fold_k == {} and r.fold_share is None and set(r.cv_mse) == {"vlm", "expert"}


def test_a_single_episode_is_scored_in_sample_by_the_window_rule(build):
    a = build((100,))
    r = score(a, "default", (3, 8))
    assert r.fold_k == {} and np.isfinite(r.score).all()


def test_rescore_equals_score_at_that_k_and_skips_the_sets(activations):
    neighbours = prepare(activations)
    full = score(activations, "paper", (5,), neighbours=neighbours)
    quick = rescore(activations, neighbours, k=5, preset="paper")
    np.testing.assert_array_equal(quick.score, full.score)
    np.testing.assert_array_equal(quick.dimension_r2, full.dimension_r2)
    assert quick.cv_mse == {} and quick.best_k == {"vlm": 5, "expert": 5}


def test_a_head_that_only_the_judging_episode_speaks_for_is_not_chosen_there(build):
    """Twenty heads know episodes 0 to 3 well and 4 not at all; one more knows every episode a little worse."""
    a = build((12,) * 5, seed=3)
    generator = np.random.default_rng(3)
    y = generator.uniform(-1, 1, (60, 1))
    told = np.where(a.episode[:, None] == 4, generator.uniform(-1, 1, (60, 20)), y)
    told += 0.01 * generator.standard_normal((60, 20))
    told = np.concatenate([y + 0.2 * generator.standard_normal((60, 1)), told], axis=1)  # [frame, head]
    outputs = np.stack([np.cos(told), np.sin(told)], axis=2).astype(np.float32)[:, None, None]
    a = replace(a, outputs=outputs, inert=np.zeros((1, 1, 21), bool), stacks=(Stack("vlm", 1, 21, 2),))
    (found,) = choice.nested(a, prepare(a), y, np.ones(60, bool), (3,), a.inert, Progress())
    np.testing.assert_allclose(found.share[0, 0], 0.8, atol=1e-6)  # in four of five folds, not where 4 judges
