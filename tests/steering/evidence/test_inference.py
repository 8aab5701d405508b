"""Tests over training seeds, on data whose true effect is known."""

import numpy as np
import pytest
from scipy import stats

from steering.errors import InputError
from steering.evidence.inference import contrast, equivalence_power, holm, power


def _rejected(difference: float, spread: float, experiments: int = 1000) -> tuple[float, float]:
    drawn = np.random.default_rng(4).normal(difference, spread, (experiments, 15))
    found = [contrast(one) for one in drawn]
    return float(np.mean([one.p < 0.05 for one in found])), float(np.mean([one.p_equal < 0.05 for one in found]))


def test_the_level_is_kept_and_the_power_is_the_one_computed() -> None:
    level, equal = _rejected(0.0, 0.13)
    assert abs(level - 0.05) < 0.02  # standard error .007
    assert abs(equal - equivalence_power(0.13, 15)) < 0.04
    assert abs(_rejected(0.10, 0.13)[0] - power(0.10, 0.13, 15)) < 0.04


def test_a_difference_of_the_margin_is_called_equal_at_most_as_often_as_the_level() -> None:
    assert _rejected(0.10, 0.05)[1] < 0.07


def test_the_plans_table_of_power() -> None:
    assert power(0.10, 0.13, 15) == pytest.approx(0.791, abs=0.001)
    assert power(0.10, 0.13, 15, 0.01) == pytest.approx(0.521, abs=0.001)
    assert power(0.15, 0.18, 15, 0.01) == pytest.approx(0.606, abs=0.001)
    assert equivalence_power(0.09, 15) == pytest.approx(0.985, abs=0.005)


def test_a_contrast_by_hand_and_by_scipy() -> None:
    values = [0.1, 0.2, 0.0, 0.3, 0.15]
    found = contrast(values)
    assert (found.difference, found.test) == (pytest.approx(0.15), "paired t")
    assert found.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 4, 0.15, stats.sem(values)))


def test_one_wild_seed_is_left_to_wilcoxon_and_two_seeds_are_too_few() -> None:
    assert contrast([0.01, 0.02, 0.03, 0.02, 0.01, 0.02, 0.015, 0.9]).test == "Wilcoxon"
    with pytest.raises(InputError, match="at least 3"):
        contrast([0.1, 0.2])


@pytest.mark.parametrize("seeds", [3, 4, 15])
def test_power_is_a_number_however_sure(seeds: int) -> None:
    """The noncentral t distribution of scipy gives NaN far out in a tail."""
    found = [power(0.10, spread, seeds) for spread in (0.001, 0.005, 0.01, 0.02, 0.05)]
    assert all(0.3 < one <= 1 for one in found) and found == sorted(found, reverse=True) and found[0] == 1
    assert power(-0.10, 0.05, seeds) == power(0.10, 0.05, seeds)


def test_seeds_that_differ_by_rounding_have_no_spread() -> None:
    found = contrast([0.3, 0.1 + 0.2, 0.3])
    assert (found.test, found.p, found.spread) == ("no spread", 0, 0) and contrast([0.0] * 3).p == 1


def test_holm_by_hand() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
