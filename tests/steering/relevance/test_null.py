"""The permutation null: what is permuted, exactness against a rerun, uniform p-values, planted signals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from steering.errors import InputError
from steering.relevance import conditional_null, conditioning, null, scoring
from steering.relevance.conditioning import Conditioner
from steering.relevance.null import permutation_null, permuted_rows
from steering.relevance.scoring import prepare, rescore, score
from steering.relevance.targets import Target
from steering.relevance.trust import trust

KS = (2, 5)


def everything(a):
    return np.ones(len(a.episode), bool)


def test_a_permutation_moves_whole_trajectories_resampled_in_time(build):
    a = build((6, 12, 9))
    seen = set()
    for seed in range(20):
        source = permuted_rows(a.episode, a.frame, np.random.default_rng(seed))
        places = []
        for one in range(3):
            rows = source[a.episode == one]
            assert len(set(a.episode[rows])) == 1 and (np.diff(a.frame[rows]) >= 0).all()
            assert abs(a.time_in_episode[rows].mean() - 0.5) < 0.06
            places.append(int(a.episode[rows[0]]))
        assert sorted(places) == [0, 1, 2]
        seen.add(tuple(places))
    assert len(seen) == 6


def test_equals_a_rerun_on_permuted_actions(build):
    a = build()
    neighbours, counted = prepare(a), everything(a)
    counted[3:9] = False
    inert = np.zeros((2, 3, 4), bool)
    inert[0, 2] = True
    found = permutation_null(neighbours, a.action, KS, counted=counted, inert=inert, permutations=9, seed=4)
    generator = np.random.default_rng(4)
    sources = [np.arange(len(a.episode)), *(permuted_rows(a.episode, a.frame, generator) for _ in range(9))]
    best = []
    for rows in sources:
        target = Target("raw", a.action[rows].astype(float), ("x",) * 7, tuple(range(7)))
        each = [rescore(a, neighbours, k=k, preset="paper", target=target, counted=counted) for k in KS]
        best.append(1 - np.min([r.error[0] for r in each], axis=0) / each[0].baselines["mean_action"])
    np.testing.assert_allclose(found.statistic, best[0], atol=1e-5)
    maxima = [b[~inert].max() for b in best[1:]]
    np.testing.assert_allclose(found.maxima, maxima, atol=1e-5)
    for place in ((0, 0, 1), (1, 2, 3)):
        b = sum(m >= best[0][place] for m in maxima)
        assert found.p[place] == pytest.approx((b + 1) / 10)
        alone = sum(x[place] >= best[0][place] for x in best[1:])
        assert found.p_head[place] == pytest.approx((alone + 1) / 10)
    assert np.isnan(found.p[0, 2]).all()


@pytest.mark.slow
def test_p_values_are_uniform_where_no_head_knows_anything():
    """200 sets of demonstrations with smooth actions and smooth outputs that have nothing to do with each other.

    Episodes of one length: then they can be exchanged exactly.
    """
    generator = np.random.default_rng(11)
    lengths = (9,) * 6
    family, single = [], []
    for _ in range(200):
        smooth = [generator.standard_normal((n, 14)).cumsum(0) for n in lengths]
        a = _activations(lengths, np.concatenate(smooth), generator)
        inert = np.zeros((2, 1, 2), bool)
        found = permutation_null(
            prepare(a, 5),
            a.action,
            (2, 4),
            counted=everything(a),
            inert=inert,
            permutations=39,
            seed=int(generator.integers(1 << 30)),
        )
        assert found.p.min() >= 1 / 40 and (found.p >= found.p_head).all()
        family.append(found.p.min())
        single.append(found.p_head[0, 0, 1])
    jitter = generator.uniform(0, 1 / 40, len(family))  # p takes 40 values; spread over its step it is continuous
    for found_p in (family, single):
        assert stats.kstest(np.array(found_p) - jitter, "uniform").pvalue > 0.02
        assert np.mean(np.array(found_p) <= 0.1) < 0.17


def test_finds_the_action_demotes_the_clock_rejects_noise(build):
    a, heads = _planted(build)
    r = score(a, "default", KS)
    target = Target("action", a.action.astype(float), ("x",) * 7, tuple(range(6)))
    neighbours = prepare(a)
    given = {"set_size": 2, "replicates": 30, "permutations": 60, "seed": 0}
    t = trust(r, neighbours, target, everything(a), conditioner=Conditioner(a), **given)
    action, clock, noise = (heads[name] for name in ("action", "clock", "noise"))
    assert t.p[action] < 0.05 and t.p_head[action] < 0.05
    assert r.score[action] > 0.5 and t.score_low[action] > 0.1 and t.rank_high[action] == 1
    assert t.p[clock] > 0.2 and r.score[clock] < 0.05
    assert t.p[noise] > 0.2 and r.score[noise] <= 0
    paper = score(a, "paper", KS)
    assert paper.score[clock] > 0.3  # beside the mean action alone the clock looks relevant
    assert (t.p[np.isfinite(t.p)] < 0.05).sum() == 1
    assert t.chosen_share[action] == 1


def test_permutations_do_not_depend_on_chunks_and_repeat_with_the_seed(build, monkeypatch):
    a = build()
    given = {"counted": everything(a), "inert": np.zeros((2, 3, 4), bool), "permutations": 7}
    neighbours = prepare(a)
    first = permutation_null(neighbours, a.action, KS, **given)
    monkeypatch.setattr(null, "CHUNK_BYTES", 1)
    again = permutation_null(neighbours, a.action, KS, **given)
    np.testing.assert_allclose(first.maxima, again.maxima, atol=1e-6)
    assert not np.allclose(first.maxima, permutation_null(neighbours, a.action, KS, seed=1, **given).maxima)


def test_one_episode_has_no_null(build):
    a = build((100,))
    with pytest.raises(InputError, match="two episodes"):
        permutation_null(prepare(a), a.action, KS, counted=everything(a), inert=np.zeros((2, 3, 4), bool))


def _activations(lengths, walk, generator):
    """Two heads a stack, that walk by themselves, and an action that walks by itself."""
    from steering.types import Activations

    count = sum(lengths)
    outputs = np.concatenate([generator.standard_normal((n, 2, 1, 2, 3)).cumsum(0) for n in lengths])
    return Activations(
        outputs=outputs.astype(np.float32),
        episode=np.repeat(np.arange(len(lengths)), lengths).astype(np.int32),
        frame=np.concatenate([np.arange(n) for n in lengths]).astype(np.int32),
        action=np.tanh(walk[:, :3]).astype(np.float32),
        chunk=walk[:, None, :3].astype(np.float32),
        state=np.zeros((count, 0), np.float32),
        time_in_episode=np.concatenate([np.linspace(0, 1, n) for n in lengths]).astype(np.float32),
        tokens=("last_prefix", "state"),
        timestep=1.0,
        seed=0,
        inert=np.zeros((2, 1, 2), bool),
    )


def _planted(build):
    """One head carries what differs between episodes, one the clock, the rest noise."""
    generator = np.random.default_rng(5)
    lengths = (20,) * 8
    a = build(lengths, seed=2)
    clock = a.time_in_episode
    place = np.repeat(generator.uniform(-0.7, 0.7, (len(lengths), 2)), lengths, axis=0)
    action = np.zeros((len(clock), 7), np.float32)
    action[:, :2] = place * np.sin(3 * clock)[:, None]
    action[:, 2] = np.cos(3 * clock)  # common to all episodes
    outputs = a.outputs.copy()
    outputs[:, 0, 1, 2] = np.column_stack([3 * action[:, :3], np.ones_like(clock), place * 0])
    outputs[:, 1, 0, 3] = np.column_stack([np.cos(3 * clock), np.sin(3 * clock), *[clock * 0] * 4])
    state = np.zeros_like(a.state)
    state[:, 0] = clock
    heads = {"action": (0, 1, 2), "clock": (1, 0, 3), "noise": (1, 2, 1)}
    return replace(a, outputs=outputs, action=action, state=state), heads


def test_a_null_needs_episodes_permutations_and_movable_heads(build) -> None:
    a = build((5, 6, 7))
    given = {"counted": np.ones(18, bool), "permutations": 1}
    some, none = np.zeros((2, 3, 4), bool), np.ones((2, 3, 4), bool)
    found = null.permutation_null(scoring.prepare(a, 4), a.action, (2,), inert=some, **given)
    assert found.maxima.shape == (1,) and set(np.unique(found.p)) <= {np.float32(0.5), np.float32(1)}
    conditioner = conditioning.Conditioner(a)
    strict = conditional_null.conditional_null(scoring.prepare(a, 4), conditioner, a.action, (2,), inert=some, **given)
    assert strict.maxima.shape == (1,)
    for inert, permutations, words in ((none, 1, "marked inert"), (some, 0, "at least one permutation")):
        asked = {"counted": np.ones(18, bool), "permutations": permutations, "inert": inert}
        with pytest.raises(InputError, match=words):
            null.permutation_null(scoring.prepare(a, 4), a.action, (2,), **asked)
        with pytest.raises(InputError, match=words):
            conditional_null.conditional_null(scoring.prepare(a, 4), conditioner, a.action, (2,), **asked)
