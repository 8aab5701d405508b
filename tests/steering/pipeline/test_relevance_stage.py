"""Scores through the store: which k a small set is scored at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from steering import pipeline
from steering.errors import InputError
from steering.metrics import KS
from steering.pipeline.questions import nearest_of
from steering.relevance.neighbours import DEPTH
from steering.relevance.scoring import rescore
from steering.store import Store
from steering.types import Activations, Neighbours


def captured(lengths: tuple[int, ...]) -> Activations:
    generator = np.random.default_rng(0)
    count = sum(lengths)
    action = generator.uniform(-1, 1, (count, 7)).astype(np.float32)
    return Activations(
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


@pytest.mark.parametrize(("lengths", "ks"), [((25, 25, 25), KS), ((14, 13, 15), (10, 20)), ((4, 3, 5), (7,))])
def test_a_set_of_few_frames_is_scored_at_the_ks_that_it_has_frames_for(
    tmp_path: Path, lengths: tuple[int, ...], ks: tuple[int, ...]
) -> None:
    store = Store(tmp_path)
    made = store.save("activations", captured(lengths))
    assert store.manifest(pipeline.score(store, activations_id=made, preset="paper")).params["ks"] == list(ks)
    if ks != KS:
        with pytest.raises(InputError, match="k = 40"):
            pipeline.score(store, activations_id=made, preset="paper", ks=KS)


def test_a_server_keeps_no_more_neighbours_than_a_k_asks_for(tmp_path: Path) -> None:
    store, activations = Store(tmp_path), captured((25, 25, 25, 25))
    found = pipeline.neighbours(store, activations_id=store.save("activations", activations))
    whole: Neighbours = store.load(found)
    assert whole.order.shape[2] == DEPTH > max(KS)
    for k in (10, 40):
        asked = pipeline.rescore(store, neighbours_id=found, k=k)
        np.testing.assert_array_equal(asked.score, rescore(activations, whole, k=k).score)
        pipeline.over_time(store, neighbours_id=found, k=k, bins=2)
    store.forget()
    pipeline.rescore(store, neighbours_id=found, k=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "load", None)
        assert nearest_of(store, found, 40).distance.shape == (*whole.order.shape[:2], max(KS))
        pipeline.rescore(store, neighbours_id=found, k=30)
    beyond = pipeline.rescore(store, neighbours_id=found, k=DEPTH)
    np.testing.assert_array_equal(beyond.score, rescore(activations, whole, k=DEPTH).score)
