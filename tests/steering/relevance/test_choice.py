"""The nested choice of k and heads against a plain loop, and the in-sample choice of the paper beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from steering.errors import InputError
from steering.progress import Progress
from steering.relevance import choice, scoring, targets
from steering.relevance.conditioning import Conditioner
from steering.relevance.keyframes import take
from steering.relevance.scoring import prepare, rescore, score
from steering.types import PAPER_SET_SIZE, Head, Stack

KS = (4, 6, 8)
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


def told(x: np.ndarray, r: np.ndarray, asked: np.ndarray, kept: np.ndarray, dropped: np.ndarray, k: int) -> np.ndarray:
    """Predictions of `r` at the rows `asked` by the paper's rule, from the `kept` rows but for the `dropped` ones."""
    unit = x.astype(float) / np.linalg.norm(x.astype(float), axis=1, keepdims=True)
    found = []
    for row in asked:
        distance = 1 - unit[kept] @ unit[row]
        near = np.argsort(distance, kind="stable")[:k]
        weight = np.where(dropped[kept[near]], 0, 1 / (np.maximum(distance[near], 0) + 1e-8))
        found.append(weight @ r[kept[near]] / (weight.sum() or 1))
    return np.array(found)


def fold_errors(x: np.ndarray, a, r: np.ndarray, out: int, k: int, drop: bool) -> tuple[float, float]:
    """Mean error of the other episodes and summed error of `out`, both with the share that fits the others best.

    drop: whether frames of `out` take up places among the nearest k of the others, as heads' neighbours do.
    """
    others, nobody = np.flatnonzero(a.episode != out), np.zeros(len(r), bool)
    predicted = np.zeros_like(r)
    for one in np.unique(a.episode):
        kept = np.flatnonzero(a.episode != one) if drop or one == out else others[a.episode[others] != one]
        rows = np.flatnonzero(a.episode == one)
        predicted[rows] = told(x, r, rows, kept, a.episode == out if drop and one != out else nobody, k)
    share = np.clip((predicted[others] * r[others]).sum() / (predicted[others] ** 2).sum(), 0, 1)
    squared = ((share * predicted - r) ** 2).mean(1)
    return squared[others].mean(), squared[a.episode == out].sum()


def loop(a, stack: int, inert: np.ndarray) -> tuple[list[int], float, np.ndarray, np.ndarray]:
    """Chosen ks, held-out error of the sets, error of every head at the chosen ks, and how often each was chosen."""
    y, scored = targets.standardise(a.action), range(6)
    residuals = Conditioner(a).nested(y, scored, np.ones(len(y), bool)).astype(float)[..., :6]
    movable = [(la, h) for la in range(GRID[1]) for h in range(GRID[2]) if not inert[la, h]]
    chosen, total, error, share = [], 0.0, np.zeros(GRID[1:]), np.zeros(GRID[1:])
    for place, out in enumerate(sorted(set(a.episode.tolist()))):
        r = residuals[place]
        found = {
            k: {p: fold_errors(a.outputs[:, stack, *p], a, r, out, k, True) for p in np.ndindex(GRID[1:])} for k in KS
        }
        best: tuple[float, int, list] = (np.inf, 0, [])
        for k in KS:
            heads = sorted(movable, key=lambda p, k=k: found[k][p][0])[:PAPER_SET_SIZE]
            mean = np.mean([found[k][p][0] for p in heads])
            if mean < best[0]:
                best = (mean, k, heads)
        _, k, heads = best
        chosen.append(k)
        joined = np.concatenate([a.outputs[:, stack, *p] for p in heads], axis=1)
        total += fold_errors(joined, a, r, out, k, False)[1]
        for p in np.ndindex(GRID[1:]):
            error[p] += found[k][p][1]
        for p in heads:
            share[p] += 1 / len(residuals)
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


def test_two_episodes_leave_nothing_to_choose_with(activations):
    two = take(activations, activations.episode < 2)
    with pytest.raises(InputError, match="at least 3 episodes"):
        score(two, "default", KS)


def test_rescore_equals_score_at_that_k_and_skips_the_sets(activations):
    neighbours = prepare(activations)
    full = score(activations, "paper", (5,), neighbours=neighbours)
    quick = rescore(activations, neighbours, k=5, preset="paper")
    np.testing.assert_array_equal(quick.score, full.score)
    np.testing.assert_array_equal(quick.dimension_r2, full.dimension_r2)
    assert quick.cv_mse == {} and quick.best_k == {"vlm": 5, "expert": 5}


def test_a_head_that_only_the_judging_episode_speaks_for_is_not_chosen_there(activations):
    """Of two heads the one is the better by the errors of the others wherever the last episode does not judge."""
    stacks, inert = (Stack("vlm", 1, 2, 5),), np.zeros((1, 1, 2), bool)
    a = replace(activations, outputs=activations.outputs[:, :1, :1, :2], inert=inert, stacks=stacks)
    error = np.array([[[1.0, 2.0]]] * 4 + [[[2.0, 1.0]]])  # [episode, k, head]
    asked: list[tuple[int, int]] = []

    def judge(fold: int, heads: list[Head], k: int) -> float:
        asked.append((fold, heads[0].head))
        return 1.0

    (found,) = choice.judged(a, error, np.ones(55, bool), (3,), a.inert, judge, Progress(), size=1)
    assert sorted(asked) == [(0, 0), (1, 0), (2, 0), (3, 0), (4, 1)]
    np.testing.assert_allclose(found.share[0], [0.8, 0.2], atol=1e-6)
    assert found.error == pytest.approx(5 / 55)


def test_the_best_heads_are_movable_and_the_first_of_equals() -> None:
    error, inert = np.array([[3.0, 1, 2], [1, 1, 0]]), np.array([[False, False, False], [False, False, True]])
    assert choice.best_heads(error, inert, 3).tolist() == [1, 3, 4]
    assert choice.best_heads(error, inert).tolist() == [1, 3, 4, 2, 0]
    with pytest.raises(InputError, match="marked inert"):
        choice.best_heads(error, np.ones((2, 3), bool))
    assert choice.Choice(np.array([2, 1, 2, 1, 0]), 0.0, error, nested=True).common() == 1


def test_a_stack_without_movable_heads_has_no_choice(build) -> None:
    a = build((6, 7, 8))
    inert = np.zeros((2, 3, 4), bool)
    inert[0] = True
    assert (
        choice.given(a, inert[0]) is None
        and choice.linear(a, a.action, np.ones(21, bool), np.zeros((2, 3, 4)), inert)[0] is None
    )
    given = choice.given(a, inert[1])
    assert given is not None and given.index.tolist() == [0, 0, 0] and not given.nested and np.isnan(given.error)
    assert not given.share.any() and given.share.shape == (3, 4)
    error = np.random.default_rng(0).random((1, 2, 3, 4))
    vlm, expert = choice.in_sample(a, a.action, np.ones(21, bool), error, (3,), inert)
    assert vlm is None and expert is not None
    assert expert.index.tolist() == [0, 0, 0] and not expert.nested and (expert.share == 1).all()
    assert (
        choice.judged(a, error.reshape(1, 1, -1), np.ones(21, bool), (3,), inert, lambda *_: 0.0, Progress())[0] is None
    )
    for preset in ("paper", "default"):
        r = scoring.score(replace(a, inert=inert), preset, (3,))
        assert set(r.best_k) == set(r.cv_mse) == {"expert"} and np.isfinite(r.score).all()
        assert r.fold_share is None if preset == "paper" else not r.fold_share[0].any() and r.fold_share[1].any()
