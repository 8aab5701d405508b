"""What heads know beyond state and time: left-out residuals against refits, and planted heads of each kind."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from steering.errors import InputError
from steering.progress import Progress
from steering.relevance import conditional, conditioning
from steering.relevance.conditioning import Conditioner
from steering.relevance.regression import frame_errors
from steering.relevance.ridge import PENALTY, ridge_frame_errors
from steering.relevance.scoring import prepare, rescore, score
from steering.relevance.stability import bootstrap
from steering.relevance.targets import named
from steering.relevance.trust import trust
from steering.selection.rules import top_k
from steering.types import Head, Stack

KS = (5, 10)
LENGTHS = (24, 20, 26, 22, 25, 23, 21, 24)
DIMS = (0, 1, 2)
BENCH = Path(__file__).parents[2] / "benchmarks/bench_intervals.py"


@pytest.fixture(scope="module")
def planted(build):
    """Eight episodes whose action follows state and time, and a hidden cause that neither tells.

    Heads of one layer: noise, two joints, the clock, the whole state, the hidden cause, the action itself.
    """
    generator = np.random.default_rng(11)
    a = build(LENGTHS, seed=5)
    count, clock = len(a.episode), a.time_in_episode[:, None]
    start = generator.standard_normal((len(LENGTHS), 8))[a.episode]
    state = start + np.sin(3 * clock + start) + 0.1 * generator.standard_normal((count, 8))
    hidden = (
        generator.standard_normal((len(LENGTHS), 1))[a.episode] * np.cos(4 * clock)
        + clock * generator.choice([-1.5, 1.5], (len(LENGTHS), 1))[a.episode]
    )
    action = np.tanh(state[:, :7]) + np.sin(4 * clock) + 0.1 * generator.standard_normal((count, 7))
    action[:, :3] += 1.2 * np.sign(hidden)
    outputs = generator.standard_normal((count, 1, 1, 6, 8)).astype(np.float32)
    ones = np.ones((count, 1))
    outputs[:, 0, 0, 1] = np.hstack([state[:, :2], ones, np.zeros((count, 5))])
    outputs[:, 0, 0, 2] = np.hstack([clock, ones, np.zeros((count, 6))])
    outputs[:, 0, 0, 3] = state
    outputs[:, 0, 0, 4] = np.hstack([np.sign(hidden), ones, np.zeros((count, 6))]) + 0.05 * outputs[:, 0, 0, 0]
    outputs[:, 0, 0, 5] = np.hstack([action, ones])
    return replace(
        a,
        outputs=outputs,
        state=state.astype(np.float32),
        action=action.astype(np.float32),
        inert=np.zeros((1, 1, 6), bool),
        tokens=("state",),
        stacks=(Stack("expert", 1, 6, 8),),
    )


@pytest.fixture
def one_smoother(monkeypatch):
    monkeypatch.setattr(conditioning, "WIDTHS", (1.0,))
    monkeypatch.setattr(conditioning, "PENALTIES", (0.5,))


def test_heads_of_state_and_clock_gain_nothing_and_what_lies_beyond_is_found(planted) -> None:
    found = score(planted, "default", KS)
    noise, joints, clock, state, hidden, action = found.score[0, 0]
    assert max(noise, joints, clock, state) < 0.06
    assert hidden > 0.15 and action > 0.15
    assert {head.head for head in top_k(found, 2, ("expert",)).heads} == {4, 5}
    of_neighbours = frame_errors(prepare(planted, 10), named("action", planted).values[:, :6], KS)[:, 6:].mean(2)
    assert found.baselines["state_time"] < of_neighbours.min()  # the smoother is the harder one to beat
    paper = score(planted, "paper", KS, target=named("action", planted))
    assert paper.baselines["state_time"] < of_neighbours.min() and (paper.gain < paper.score).all()
    assert found.fold_k and found.cv_mse["expert"] < found.baselines["state_time"]
    np.testing.assert_allclose(found.gain, found.score)


def test_no_residual_that_heads_learn_from_has_seen_the_held_out_episode(planted, one_smoother) -> None:
    values, counted = planted.action.astype(np.float64), np.ones(len(planted.episode), bool)
    changed = values.copy()
    changed[planted.episode == 2] = 100 - 50 * changed[planted.episode == 2]
    conditioner = Conditioner(planted)
    before, after = (conditioner.nested(one, DIMS, counted) for one in (values, changed))
    others = planted.episode != 2
    np.testing.assert_allclose(before[2][others], after[2][others], atol=1e-4)
    assert np.abs(before[1][others] - after[1][others]).max() > 0.1


def test_left_out_residuals_are_those_of_refits(planted, one_smoother) -> None:
    values = planted.action.astype(np.float64)
    conditioner = Conditioner(planted)
    smoother = conditioner._smoothers[0]
    factor = smoother.basis * np.sqrt(smoother.weight)
    nested = conditioner.nested(values, DIMS, np.ones(len(values), bool))
    own = conditioner.own(values, DIMS)
    gram = factor @ factor.T

    def refit(left_out: list[int], asked: int) -> np.ndarray:
        """Ridge in the feature space of the smoother: K = (I − H)⁻¹ H has the penalty in it."""
        kept, rows = ~np.isin(planted.episode, left_out), planted.episode == asked
        kernel = np.linalg.solve(np.eye(len(gram)) - gram, gram)
        weight = np.linalg.solve(kernel[np.ix_(kept, kept)] + np.eye(kept.sum()), values[kept])
        return values[rows] - kernel[np.ix_(rows, kept)] @ weight

    np.testing.assert_allclose(own[planted.episode == 3], refit([3], 3), atol=1e-6)
    np.testing.assert_allclose(nested[3][planted.episode == 3], refit([3], 3), atol=1e-4)
    np.testing.assert_allclose(nested[3][planted.episode == 5], refit([3, 5], 5), atol=1e-4)
    np.testing.assert_allclose(nested[5][planted.episode == 3], refit([3, 5], 3), atol=1e-4)


def test_the_errors_that_choose_know_nothing_of_the_held_out_episode(planted) -> None:
    counted = np.ones(len(planted.episode), bool)
    neighbours, conditioner = prepare(planted, max(KS)), Conditioner(planted)
    residuals = conditioner.nested(planted.action, DIMS, counted)
    changed = residuals.copy()
    changed[2, planted.episode == 2] = 9
    before, after = (conditional.errors(neighbours, one, DIMS, KS, counted, Progress()) for one in (residuals, changed))
    np.testing.assert_array_equal(before.inner, after.inner)
    assert np.abs(before.held_out - after.held_out)[:, :, 2].min() > 1
    np.testing.assert_array_equal(np.delete(before.held_out, 2, 2), np.delete(after.held_out, 2, 2))


def test_the_held_out_error_is_that_of_the_rule_with_its_share(planted) -> None:
    """One head by the plain rule of a joined set, which finds its neighbours itself."""
    counted = np.ones(len(planted.episode), bool)
    residuals = Conditioner(planted).nested(planted.action, DIMS, counted)[..., :3]
    found = conditional.errors(prepare(planted, max(KS)), residuals, DIMS, (10,), counted, Progress())
    own = planted.episode == 4
    plain = conditional.set_error(planted, [Head("expert", 0, 4)], residuals[4], own, counted, 10)
    assert found.held_out[0, 4, 4].mean() == pytest.approx(plain, rel=0.02)


def test_a_phase_judges_its_frames_alone(planted) -> None:
    late = planted.time_in_episode > 0.5
    whole, part = (score(planted, "default", KS, counted=c) for c in (None, late))
    assert not np.allclose(whole.score, part.score)
    one = rescore(planted, prepare(planted, max(KS)), k=10, preset="default", counted=late)
    assert one.score[0, 0, 5] == pytest.approx(part.score[0, 0, 5], abs=0.05)


def test_what_it_cannot_answer_is_said(planted) -> None:
    with pytest.raises(InputError, match="robot's state"):
        score(replace(planted, state=planted.state[:, :0]), "default", KS)
    two = planted.episode < 2
    few = replace(
        planted,
        **{n: getattr(planted, n)[two] for n in ("outputs", "episode", "frame", "action", "chunk", "state")},
        time_in_episode=planted.time_in_episode[two],
    )
    with pytest.raises(InputError, match="at least 3 episodes"):
        score(few, "default", KS)
    target, counted = named("action", planted), np.ones(len(planted.episode), bool)
    with pytest.raises(InputError, match="what it was conditioned on"):
        trust(score(planted, "default", KS), prepare(planted), target, counted, permutations=1)


def test_chance_and_intervals_tell_heads_of_the_state_from_those_that_know_more(planted) -> None:
    found = score(planted, "default", KS)
    target, counted = named("action", planted), np.ones(len(planted.episode), bool)
    given = {"set_size": 2, "permutations": 39, "seed": 3, "conditioner": Conditioner(planted)}
    first, again = (trust(found, prepare(planted), target, counted, **given) for _ in range(2))
    assert (first.p[0, 0, 4:] <= 0.05).all() and (first.p[0, 0, :4] > 0.05).all()
    assert (first.score_low <= found.score + 1e-6).all() and (found.score <= first.score_high + 1e-6).all()
    assert (first.score_low[0, 0, 4:] > 0).all() and (first.score_low[0, 0, :4] < 0.02).all()
    assert first.chosen_share[0, 0, 4:].min() > 0.9
    np.testing.assert_array_equal(first.null_max, again.null_max)
    np.testing.assert_array_equal(first.score_low, again.score_low)


def test_the_draw_that_moves_nothing_has_the_residuals_themselves(planted) -> None:
    conditioner, values = Conditioner(planted), planted.action.astype(np.float64)
    same = np.arange(len(values))[None]
    found = conditioner.redrawn(values, DIMS, same)[:, 0]
    np.testing.assert_allclose(found, conditioner.own(values, DIMS), atol=1e-5)


def test_a_linear_probe_is_asked_for_what_state_and_time_leave_open(planted) -> None:
    found = score(planted, "default", KS, metric="ridge").score[0, 0]
    assert max(found[:4]) < 0.06 and found[5] > 0.15
    residuals = Conditioner(planted).nested(
        named("action", planted).values, range(6), np.ones(len(planted.frame), bool)
    )
    features, e = planted.outputs[:, 0, 0, 5].astype(float), 3
    kept, rows = planted.episode != e, planted.episode == e
    model = Ridge(PENALTY * features[kept].var(0).mean() * kept.sum()).fit(features[kept], residuals[e][kept])
    errors = ridge_frame_errors(planted.outputs[:, 0, 0], residuals, planted.episode, planted.frame)[5]
    np.testing.assert_allclose(errors[rows], (model.predict(features[rows]) - residuals[e][rows]) ** 2, atol=1e-4)


def test_shares_and_errors_of_the_other_episodes_by_hand() -> None:
    generator, episodes, dims = np.random.default_rng(3), 3, 3
    place, rows = np.repeat(np.arange(episodes), 5), np.arange(0, 15, 2)
    residuals = generator.standard_normal((episodes, len(place), dims)).astype(np.float32)
    fit = conditional._Fit(residuals, place, rows, [[0, 1], [2]])
    sums = generator.uniform(0.5, 1.5, (len(rows), episodes, dims + 1)).astype(np.float32)
    sums[..., :-1] *= 1.6 * residuals[:, rows].transpose(1, 0, 2) + 0.1
    share, inner = fit.share(sums.reshape(len(rows), -1))
    for e in range(episodes):
        others = place[rows] != e
        told, truth = (sums[..., :-1] / sums[..., -1:])[others, e], residuals[e, rows][others]
        for dimensions in ([0, 1], [2]):
            one, other = told[:, dimensions], truth[:, dimensions]
            np.testing.assert_allclose(share[e, dimensions], np.clip((one * other).sum() / (one**2).sum(), 0, 1), 1e-5)
        expected = ((truth[:, :2] - share[e, 0] * told[:, :2]) ** 2).mean()
        np.testing.assert_allclose(inner[e], expected, rtol=1e-5)
    assert ((share > 0) & (share < 1)).any()


def test_the_residuals_of_a_target_are_found_once(planted, monkeypatch) -> None:
    conditioner, values = Conditioner(planted), planted.action.astype(np.float64)
    counted = np.ones(len(values), bool)
    first = conditioner.nested(values, DIMS, counted)
    monkeypatch.setattr(Conditioner, "_pairs", None)
    np.testing.assert_array_equal(conditioner.nested(values, DIMS, counted), first)
    late = planted.time_in_episode > 0.5
    assert conditioner.nested(values, DIMS, late).shape == first.shape  # another phase chooses, nothing is solved
    with pytest.raises(TypeError):
        conditioner.nested(values + 1, DIMS, counted)


def kept_bytes(conditioner: Conditioner) -> int:
    """Of what leaving out pairs of episodes takes."""
    return sum(inverse.nbytes for kept in conditioner._kept_pairs.values() for inverse in kept)


def test_what_leaving_out_pairs_takes_is_found_once_for_all_targets(planted, one_smoother, monkeypatch) -> None:
    values, counted = planted.action.astype(np.float64), np.ones(len(planted.action), bool)
    conditioner = Conditioner(planted)
    conditioner.nested(values, DIMS, counted)
    with monkeypatch.context() as patch:
        patch.setattr("steering.relevance.conditioning.solve_pairs", None)
        again = conditioner.nested(values[:, ::-1].copy(), DIMS, counted)
    whole = kept_bytes(conditioner)
    monkeypatch.setattr("steering.relevance.conditioning.REMEMBERED_BYTES", whole // 2)
    narrow = Conditioner(planted)
    np.testing.assert_array_equal(narrow.nested(values[:, ::-1].copy(), DIMS, counted), again)
    assert 0 < kept_bytes(narrow) <= whole // 2
    monkeypatch.setattr("steering.relevance.conditioning.REMEMBERED_BYTES", 0)
    crowded = Conditioner(planted)
    np.testing.assert_array_equal(crowded.nested(values[:, ::-1].copy(), DIMS, counted), again)
    assert not any(crowded._kept_pairs.values())
    crowded.nested(values, DIMS, counted)
    assert len(crowded._remembered) == 1  # the last alone


def test_what_a_conditioner_takes_is_all_of_it(planted) -> None:
    """Pairs of episodes are an inverse each, of the later one's frames: 66 MB of the samples were 22 of inverses."""
    conditioner, counted = Conditioner(planted), np.ones(len(planted.action), bool)
    opened = conditioner.nbytes
    conditioner.nested(planted.action, DIMS, counted)
    frames, dims = planted.action.shape
    inverses = 3 * 4 * sum(e * length**2 for e, length in enumerate(LENGTHS))
    assert kept_bytes(conditioner) == inverses
    residuals = 8 * frames * dims + 3 * len(LENGTHS) * frames * (4 * dims + 8)
    assert conditioner.nbytes - opened == inverses + residuals


@pytest.mark.parametrize("preset", ["paper", "default"])
@pytest.mark.slow
def test_intervals_hold_a_known_score_and_lie_around_their_own(preset) -> None:
    """`bench_intervals.py` says how often; percentiles of draws as they are lie below the score nearly always."""
    low, found, high = np.moveaxis(runpy.run_path(str(BENCH))["intervals"](preset, 16, 40), -1, 0)
    known = found.mean(0)
    assert ((low <= known) & (known <= high)).mean() > 0.85
    above = (found > (low + high) / 2).mean()
    assert 0.2 < above < 0.8


def test_the_bootstrap_of_what_is_open_shrinks_by_the_other_episodes(planted) -> None:
    """One replicate by hand: memory counted as drawn, c of each episode from the others."""
    values = Conditioner(planted).own(named("action", planted).values, range(6))[:, :6]
    counted, neighbours = np.ones(len(values), bool), prepare(planted, 60)
    given = {"counted": counted, "inert": planted.inert, "shared": True, "replicates": 2, "seed": 4}
    found = bootstrap(neighbours, values, {"expert": 10}, **given)
    times = np.bincount(np.random.default_rng(4).integers(0, 8, 8), minlength=8)
    repeated = np.concatenate([np.flatnonzero(planted.episode == e) for e in range(8) for _ in range(times[e])])
    x = planted.outputs[:, 0, 0, 5].astype(float)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    predicted = np.zeros_like(values)
    for row in range(len(values)):
        memory = repeated[planted.episode[repeated] != planted.episode[row]]
        distance = np.maximum(1 - unit[memory] @ unit[row], 0)
        near = np.argsort(distance, kind="stable")[:10]
        predicted[row] = np.average(values[memory[near]], axis=0, weights=1 / (distance[near] + 1e-8))
    weight, told = times[planted.episode], 0.0
    for e in range(8):
        own, others = planted.episode == e, np.where(planted.episode == e, 0, weight)
        share = (others @ (predicted * values).sum(1)) / (others @ (predicted**2).sum(1))
        told += times[e] * ((values[own] ** 2).sum() - ((values - np.clip(share, 0, 1) * predicted)[own] ** 2).sum())
    assert found.score[0, 0, 0, 5] == pytest.approx(told / (weight @ (values**2).sum(1)), abs=1e-4)


def test_the_share_that_fits_best_lies_between_nothing_and_all() -> None:
    product, square = np.array([-1.0, 0, 1, 3, 2, 0.1]), np.array([2.0, 0, 4, 2, 0, 0.5])
    np.testing.assert_allclose(conditional.best_share(product, square), [0, 0, 0.25, 1, 1, 0.2])


def test_frames_that_fit_are_evenly_spaced(monkeypatch) -> None:
    counted = np.ones(21, bool)
    counted[0] = False
    np.testing.assert_array_equal(conditional.fitted(counted), np.arange(1, 21))
    monkeypatch.setattr(conditional, "FITTED", 3)
    np.testing.assert_array_equal(conditional.fitted(counted), [1, 10, 20])
