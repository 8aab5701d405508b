"""Agreement of independent demonstrations: planted heads repeat, noise does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from steering.errors import InputError
from steering.relevance import replication
from steering.relevance.replication import replicate
from steering.relevance.scoring import score
from steering.relevance.stability import nogueira

K = {"vlm": 5, "expert": 5}


def planted(build, seed):
    """Three VLM heads carry the action; the expert's carry nothing."""
    a = build((18,) * 6, seed=seed)
    outputs = a.outputs.copy()
    for head in range(3):
        outputs[:, 0, 1, head] = 5 * a.action[:, head : head + 1] * np.ones(6) + a.action[:, :6]
    return replace(a, outputs=outputs)


def test_planted_heads_repeat_and_noise_does_not(build):
    pools = planted(build, 1), planted(build, 2)
    found = replicate(pools, K, (2, 4), preset="paper", set_size=3, replicates=4)
    assert found.counts == (2, 4) and found.stability["vlm"].shape == (2, 3)
    assert found.stability["vlm"][1, 1] > 0.9
    assert abs(found.stability["expert"][1, 1]) < 0.5
    again = replicate(pools, K, (2, 4), preset="paper", set_size=3, replicates=4)
    np.testing.assert_array_equal(found.stability["vlm"], again.stability["vlm"])


def test_whole_pools_give_the_agreement_of_their_scores(build):
    pools = planted(build, 1), planted(build, 2)
    inert = np.zeros((2, 3, 4), bool)
    inert[0, 0, 0] = True
    pools = replace(pools[0], inert=inert), pools[1]
    found = replicate(pools, K, (6,), preset="paper", set_size=3)
    scores = [score(pool, "paper", (5,)).score for pool in pools]
    for s, stack in enumerate(("vlm", "expert")):
        flat = [one[s][~inert[s]] for one in scores]
        assert found.rho[stack][0, 1] == pytest.approx(spearmanr(*flat).statistic, abs=1e-6)
        sets = np.zeros((2, len(flat[0])), bool)
        for row, values in zip(sets, flat, strict=True):
            row[np.argsort(-values)[:3]] = True
        assert found.stability[stack][0, 1] == pytest.approx(nogueira(sets)[1], abs=1e-6)
        assert np.isnan(found.stability[stack][0, [0, 2]]).all()


def test_counts_that_cannot_be_drawn(build):
    pools = planted(build, 1), planted(build, 2)
    for counts in ((), (1,), (7,)):
        with pytest.raises(InputError, match="from 2 to 6"):
            replicate(pools, K, counts, preset="paper", set_size=3)


def test_counts_of_two_pools_are_bounded_by_the_smaller_and_the_preset(build) -> None:
    small, large = build((9,) * 4, seed=1), build((9,) * 6, seed=2)
    given = {"set_size": 3, "replicates": 2}
    k = {"vlm": 50, "expert": 4}  # more than nine frames have: as many as there are
    found = replication.replicate((small, large), k, (2, 4), preset="paper", **given)
    assert set(found.rho) == {"vlm", "expert"} and (found.set_size, found.replicates) == (3, 2)
    again = replication.replicate((small, large), k, (2, 4), preset="paper", seed=0, **given)
    np.testing.assert_array_equal(found.rho["vlm"], again.rho["vlm"])
    assert np.isfinite(found.rho["vlm"][0]).all()  # two draws of two
    for counts, preset in (((2, 5), "paper"), ((1, 3), "paper"), ((2, 3), "default"), ((3, 5), "default")):
        least = 2 if preset == "paper" else 3
        with pytest.raises(InputError, match=f"from {least} to 4"):
            replication.replicate((small, large), k, counts, preset=preset, **given)
    other = replace(large, outputs=large.outputs[:, :, :2], inert=large.inert[:, :2], stacks=())
    with pytest.raises(InputError, match="same heads"):
        replication.replicate((small, other), k, (2,), preset="paper", **given)
    alone = replication.replicate((small, large), {"vlm": 4}, (4,), preset="paper", set_size=3)
    assert set(alone.rho) == {"vlm"}
    inert = np.zeros((2, 3, 4), bool)
    inert[1, 0] = True  # eight of the expert's heads stay: no more than a set, so nothing is chosen
    held = replication.replicate((replace(small, inert=inert), large), k, (4,), preset="paper", set_size=8)
    assert set(held.rho) == {"vlm"}


def test_ends_of_an_agreement_are_percentiles() -> None:
    values = np.linspace(0, 1, 41)
    assert replication._summary(values) == pytest.approx((0.025, 0.5, 0.975))
    assert replication._summary(np.array([0.0, 1.0])) == pytest.approx((0.025, 0.5, 0.975))
    low, mean, high = replication._summary(np.array([0.3]))
    assert np.isnan(low) and mean == 0.3 and np.isnan(high)
