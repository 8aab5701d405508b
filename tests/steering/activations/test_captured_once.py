"""Captures are found again by content: demonstrations, weights and settings, not by names or ids."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from steering import pipeline, policy_cache
from steering.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_the_same_demonstrations_under_another_name_share_the_work(store, demonstrations, policy_folder, monkeypatch):
    source = str(policy_folder)
    first = store.save("demonstrations", demonstrations, params={"from": "here"})
    made = pipeline.capture(store, demonstrations_id=first, policy=source, samples=2)
    renamed = dataclasses.replace(demonstrations, name="the same, copied")
    second = store.save("demonstrations", renamed, params={"from": "there"})
    assert second != first
    episode = demonstrations.episodes[2]
    action = episode.action.copy()
    action[0, 0] += 0.5
    changed = dataclasses.replace(
        demonstrations,
        episodes=(
            *demonstrations.episodes[:2],
            dataclasses.replace(episode, action=action),
            demonstrations.episodes[3],
        ),
    )
    third = store.save("demonstrations", changed)

    def never(*_: object) -> None:
        raise AssertionError("the policy ran")

    with monkeypatch.context() as patched:
        patched.setattr(policy_cache, "get", never)
        again = pipeline.capture(store, demonstrations_id=second, policy=source, samples=2)
        with pytest.raises(AssertionError, match="ran"):
            pipeline.capture(store, demonstrations_id=third, policy=source, samples=2)
        with pytest.raises(AssertionError, match="ran"):
            pipeline.capture(store, demonstrations_id=second, policy=source, samples=1)
    assert store.manifest(again).parents == (second,) and store.manifest(made).parents == (first,)
    np.testing.assert_array_equal(store.load(again).outputs, store.load(made).outputs)
    policy_cache.forget()


def test_attention_of_one_frame_is_an_artefact(store, demonstrations, policy_folder):
    recorded = store.save("demonstrations", demonstrations)
    options = {"demonstrations_id": recorded, "episode": 1, "frame": 2, "policy": str(policy_folder)}
    made = pipeline.attention_at(store, **options)
    assert store.load(made).words[2] == "marker" and pipeline.attention_at(store, **options) == made
    policy_cache.forget()
