"""Parts of an episode at their edges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from steering.relevance import over_time, scoring, targets


def test_parts_of_an_episode_begin_at_their_edges(build) -> None:
    a = build((5,) * 3)  # at 0, .25, .5, .75 and 1 of each episode
    target = targets.named("action", a, preset="paper")
    found = over_time.over_time(a, scoring.prepare(a, 4), target, k=4, preset="paper", bins=4)
    np.testing.assert_array_equal(found.frames, [3, 3, 3, 6])
    np.testing.assert_allclose(found.edges, [0, 0.25, 0.5, 0.75, 1])
    assert found.k == 4 and found.zero == "mean_action"


def test_a_part_that_needs_no_prediction_has_no_score(build) -> None:
    a = build((5,) * 3)
    target = targets.named("action", a, preset="paper")
    target = replace(target, values=np.ones_like(target.values))
    found = over_time.over_time(a, scoring.prepare(a, 4), target, k=4, preset="paper")
    assert np.isnan(found.score).all()
