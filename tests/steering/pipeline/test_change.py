"""Heads before and after a finetune: the same question to both policies, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from steering import pipeline
from steering.store import Store
from steering.types import Demonstrations, FinetuneSettings, Head, HeadChange, Relevance

SETTINGS = FinetuneSettings(steps=4, batch_size=4, rank=2, warmup_steps=1, noise_samples=1, learning_rate=0.05)


@pytest.fixture(scope="module")
def changed(
    tmp_path_factory: pytest.TempPathFactory, demonstrations: Demonstrations, policy_folder: Path
) -> tuple[Store, str, HeadChange]:
    store = Store(tmp_path_factory.mktemp("changed"))
    recorded = store.save("demonstrations", demonstrations)
    made = {"demonstrations_id": recorded, "policy": str(policy_folder)}
    activations = pipeline.capture(store, **made)
    relevance = pipeline.score(store, activations_id=activations, preset="default")
    selection = pipeline.select(store, relevance_id=relevance, rule="top_k", count=2)
    adapter = pipeline.finetune(store, method="steering", selection_id=selection, settings=SETTINGS, **made)
    return store, adapter, store.load(pipeline.head_change(store, adapter_id=adapter))


def test_before_is_the_stored_score_and_after_is_of_the_trained_policy(
    changed: tuple[Store, str, HeadChange],
) -> None:
    store, adapter, change = changed
    manifest = store.find("head_change")[0]
    assert manifest.parents[0] == adapter
    before: Relevance = store.load(manifest.parents[1])
    np.testing.assert_array_equal(change.before.score, before.score)
    assert change.trained == store.load(adapter).selection.heads and change.method == "steering"
    assert change.after.ks == before.ks and not np.allclose(change.after.score, before.score, equal_nan=True)
    untouched = [h for h in range(4) if Head("vlm", 0, h) not in change.trained]  # nothing below the first layer trains
    np.testing.assert_allclose(change.after.score[0, 0, untouched], before.score[0, 0, untouched], atol=1e-5)
    assert pipeline.head_change(store, adapter_id=adapter) == manifest.id, "made once"


def test_trained_and_other_heads_are_told_apart(changed: tuple[Store, str, HeadChange]) -> None:
    _, _, change = changed
    score = np.zeros_like(change.before.score)
    before = replace(change.before, score=score + np.arange(score.size).reshape(score.shape) / 100)
    after = replace(before, score=before.score.copy())
    after.score[0, 1, 2] += 1
    lines = pipeline.change_lines(HeadChange("steering", (Head("vlm", 1, 2),), before, after))
    assert "1 trained head 0.060 → 1.060, of 7 other heads 0.031 → 0.031" in lines[0]
    assert "mean score of 12 heads" in lines[1] and "rank agreement before and after 1.00" in lines[1]
