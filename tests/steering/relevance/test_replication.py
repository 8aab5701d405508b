"""Agreement of independent demonstrations: planted heads repeat, noise does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from steering.errors import InputError
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
    found = replicate(pools, K, (2, 4), preset="paper", set_size=3, replicates=6)
    assert found.counts == (2, 4) and found.stability["vlm"].shape == (2, 3)
    assert found.stability["vlm"][1, 1] > 0.9
    assert abs(found.stability["expert"][1, 1]) < 0.5
    again = replicate(pools, K, (2, 4), preset="paper", set_size=3, replicates=6)
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
