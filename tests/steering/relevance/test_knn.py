"""Numbers of neighbours and queries at their ends."""

from __future__ import annotations

import numpy as np
import pytest

from steering.errors import InputError
from steering.relevance import knn
from steering.types import Head


def test_ks_are_those_that_have_neighbours_enough() -> None:
    for frames, ks in ((30, (10, 20, 30)), (29, (10, 20)), (9, (9,)), (1, (1,))):
        episode = np.repeat([0, 1], [frames, frames])
        assert knn.fitting_ks(episode, np.arange(2 * frames)) == ks
    alone = np.zeros(5, int)
    assert knn.fitting_ks(alone, np.arange(5)) == (1,)  # nothing predicts anything; asking says so


def test_queries_and_k_at_their_ends(build) -> None:
    a, head = build((4, 6, 5)), Head("vlm", 1, 3)
    order, distance = knn.nearest_frames(a, head, [0, 14], 9)
    assert order.shape == distance.shape == (2, 9)
    assert set(order[0]) <= set(range(4, 15)) and set(order[1]) <= set(range(10))
    for rows, k in (([15], 1), ([-1], 1), ([0], 0), ([4], 10)):
        with pytest.raises(InputError, match="Expected"):
            knn.nearest_frames(a, head, rows, k)
    with pytest.raises(InputError, match="There is no head"):
        knn.head_outputs(a, Head("vlm", 3, 0))
