"""Scores through the store: which k a small set is scored at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from steering import pipeline
from steering.errors import InputError
from steering.relevance.knn import KS
from steering.store import Store
from steering.types import Activations


@pytest.mark.parametrize(("lengths", "ks"), [((25, 25, 25), KS), ((14, 13, 15), (10, 20)), ((4, 3, 5), (7,))])
def test_a_set_of_few_frames_is_scored_at_the_ks_that_it_has_frames_for(
    tmp_path: Path, lengths: tuple[int, ...], ks: tuple[int, ...]
) -> None:
    generator = np.random.default_rng(0)
    count = sum(lengths)
    action = generator.uniform(-1, 1, (count, 7)).astype(np.float32)
    activations = Activations(
        outputs=generator.standard_normal((count, 2, 1, 2, 4)).astype(np.float32),
        episode=np.repeat(np.arange(len(lengths)), lengths).astype(np.int32),
        frame=np.concatenate([np.arange(length) for length in lengths]).astype(np.int32),
        action=action,
        chunk=action[:, None],
        state=generator.standard_normal((count, 8)).astype(np.float32),
        time_in_episode=np.zeros(count, np.float32),
        tokens=("last_prefix", "first_action"),
        timestep=1.0,
        seed=0,
        inert=np.zeros((2, 1, 2), bool),
    )
    store = Store(tmp_path)
    made = store.save("activations", activations)
    assert store.manifest(pipeline.score(store, activations_id=made, preset="paper")).params["ks"] == list(ks)
    if ks != KS:
        with pytest.raises(InputError, match="k = 40"):
            pipeline.score(store, activations_id=made, preset="paper", ks=KS)
