"""Weights of neighbours and sums of predictions, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from steering.errors import InputError
from steering.relevance import regression, resampling
from steering.types import Neighbours


def _two(distance: list[float], heads: bool = True) -> Neighbours:
    """One predictor of three frames, each with the other two and itself."""
    order = np.array([[[1, 2, 0], [2, 0, 1], [0, 1, 2]]])
    away = np.tile(np.array(distance, np.float32), (1, 3, 1))
    return Neighbours(order, away, (1, 1, int(heads)), (), np.arange(3), np.zeros(3, int))


def test_predictions_weigh_by_one_over_distance_and_an_exact_match_counts_alone() -> None:
    target = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]], np.float32)
    found = dict(regression.predictions(_two([0.1, 0.2, 0.4]), 0, target, (3, 1)))
    np.testing.assert_allclose(found[1], target[[1, 2, 0]])
    np.testing.assert_allclose(found[0][0], (4 * target[1] + 2 * target[2] + target[0]) / 7, rtol=1e-5)
    for nearest_is, alone in ((9e-9, True), (1.1e-8, False)):
        near = _two([nearest_is, 2e-8, 1.0])
        found = dict(regression.predictions(near, 0, target, (2,)))[0][0]
        share = (2e-8 + 1e-8) / (2e-8 + nearest_is + 2e-8)
        expected = target[1] if alone else share * target[1] + (1 - share) * target[2]
        np.testing.assert_allclose(found, expected, rtol=1e-4)
        baseline = dict(regression.predictions(_two([nearest_is, 2e-8, 1.0], heads=False), 0, target, (2,)))[0][0]
        np.testing.assert_allclose(baseline, share * target[1] + (1 - share) * target[2], rtol=1e-4)
    regression.check_depth(near, (3,))
    with pytest.raises(InputError, match="k = 4 needs 4 neighbours, but only the nearest 3"):
        regression.check_depth(near, (2, 4))


def test_sums_of_a_resampling_are_of_products_squares_and_targets() -> None:
    one = np.ones((1, 1, 1, 1), np.float32)
    assert resampling.Sums(2 * one, 5 * one, 7 * one, one).error.ravel() == [7 - 4 + 5]
