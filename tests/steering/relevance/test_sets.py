"""Errors of head sets, and of sets that grow, against scikit-learn on concatenated outputs."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsRegressor

from steering.errors import InputError
from steering.relevance.conditioning import Conditioner
from steering.relevance.scoring import score
from steering.relevance.sets import GrowingSet, judge_of, set_errors
from steering.relevance.targets import named
from steering.types import Head

HEADS = (Head("vlm", 0, 1), Head("vlm", 2, 3), Head("expert", 1, 0))


def by_scikit_learn(a, heads, values, k, counted):
    stacks = ("vlm", "expert")
    x = np.concatenate([a.outputs[:, stacks.index(h.stack), h.layer, h.head] for h in heads], 1).astype(np.float64)
    squared = np.empty(len(x))
    for one in np.unique(a.episode):
        model = KNeighborsRegressor(k, weights=lambda d: 1 / (d + 1e-8), algorithm="brute", metric="cosine")
        model.fit(x[a.episode != one], values[a.episode != one])
        rows = a.episode == one
        squared[rows] = ((model.predict(x[rows]) - values[rows]) ** 2).mean(1)
    return squared[counted].mean()


def asked(a, counted, preset="paper"):
    return judge_of(a, named("action", a, preset=preset), counted, preset)


@pytest.fixture
def counted(build):
    return np.random.default_rng(1).random(54) > 0.4


def test_a_set_against_scikit_learn(build, counted):
    a = build()
    values = a.action.astype(np.float64)
    found = set_errors(a, HEADS, asked(a, counted), (3, 7))
    for k, error in zip((3, 7), found, strict=True):
        assert error == pytest.approx(by_scikit_learn(a, HEADS, values, k, counted), abs=1e-6)
    with pytest.raises(InputError, match="at least one head"):
        set_errors(a, (), asked(a, counted), (3,))


@pytest.mark.parametrize("preset", ["paper", "default"])
def test_a_growing_set_has_the_errors_of_the_whole_set_in_any_order_of_asking(build, counted, preset):
    a = build()
    judge = asked(a, counted, preset)
    growing = GrowingSet(a, judge)
    candidates = (Head("vlm", 1, 1), Head("expert", 2, 2))
    for chosen in ((), HEADS[:1], HEADS, HEADS[1:2], ()):
        found = growing(5, chosen, candidates)
        expected = [set_errors(a, (*chosen, one), judge, (5,))[0] for one in candidates]
        np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(InputError, match="at least one head"):
        growing(5, HEADS, ())


def test_exact_matches_and_silent_heads(build, counted):
    a = build()
    outputs = a.outputs.copy()
    outputs[20] = outputs[3]  # an exact match in another episode
    outputs[:, 0, 0, 1] = 0  # a head that says nothing
    a = build(outputs=outputs)
    judge = asked(a, counted)
    found = GrowingSet(a, judge)(5, HEADS[:2], HEADS[2:])
    assert found[0] == pytest.approx(set_errors(a, HEADS, judge, (5,))[0], abs=1e-6)
    silent = GrowingSet(a, judge)(5, (), HEADS[:1])
    assert silent[0] == pytest.approx(set_errors(a, HEADS[:1], judge, (5,))[0], abs=1e-6)


def test_a_set_of_one_has_the_strict_error_of_its_head(build, counted):
    a = build()
    target, given = named("action", a), Conditioner(a)
    r = score(a, "default", (3, 7), target=target, counted=counted, conditioner=given)
    for head in HEADS:
        found = set_errors(a, (head,), judge_of(a, target, counted, "default", given), (3, 7))
        np.testing.assert_allclose(found, r.error[(slice(None), *r.shape.place(head))], rtol=1e-4)
