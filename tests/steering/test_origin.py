"""The origin of a head set: its words, its word in links, and where it is read from in the store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from steering import pipeline
from steering.assets import ASSETS
from steering.selection import exchange
from steering.store import Store
from steering.types import (
    Demonstrations,
    Episode,
    Head,
    HeadShape,
    Origin,
    Relevance,
    origin_of_word,
    origin_word,
    origin_words,
)
from steering.types.origin import RULE_WORDS

FULL = Origin("top_k", "knn", "default", "action", "whole", "demonstrations-1", "press_button", "2026-11-29")


def test_words_say_rule_measure_demonstrations_and_day() -> None:
    assert origin_words(FULL) == "Best heads by k-NN (strict) on press button, 2026-11-29"
    by_hand = replace(FULL, rule="manual", preset="paper", target="gripper", phase="approach")
    said = "Chosen by hand beside k-NN (paper, predicts the gripper, approach frames) on press button, 2026-11-29"
    assert origin_words(by_hand) == said
    assert origin_words(replace(FULL, changed_on="demonstrations-1")).endswith("2026-11-29; changed by hand since")
    assert origin_words(replace(by_hand, changed_on="demonstrations-1")) == said
    named = replace(FULL, policy="lerobot/pi0_base")
    assert origin_words(named) == "Best heads by k-NN (strict) on press button, lerobot/pi0_base, 2026-11-29"
    assert origin_words(replace(FULL, policy="embedded")).endswith("on press button, embedded policy, 2026-11-29")
    assert origin_words(Origin("random")) == "Control, random heads in the layers of the best"
    assert origin_words(None) == "origin unknown"


def test_every_rule_of_the_pipeline_has_words() -> None:
    assert set(pipeline.RULES) <= set(RULE_WORDS)


def test_a_word_comes_back_and_a_hostile_one_names_nothing() -> None:
    assert origin_of_word(origin_word(FULL)) == FULL
    assert origin_of_word(origin_word(replace(FULL, name="a~b"))) == replace(FULL, name="a-b")
    before_policies = "top_k~knn~default~action~whole~demonstrations-1~press_button~2026-11-29~"
    assert origin_of_word(before_policies) == FULL
    for bad in ("", "unknown", "~" * 8, "x~" * 5000, FULL.word() + "~more", FULL.word().replace("top_k", "best_ever")):
        assert origin_of_word(bad) is None
    assert origin_of_word(replace(FULL, metric="<img src=x>").word()) is None


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Store, str, str, str]:
    """A store with two scored sets: its folder, the first set, and the relevance of each."""
    store = Store(tmp_path / "store")
    rng = np.random.default_rng(0)
    ids = []
    for task in ("press_button", "pick_cube"):
        images = np.zeros((3, 8, 8, 3), np.uint8)
        state, action = np.zeros((3, 8), np.float32), np.zeros((3, 7), np.float32)
        episode = Episode("one", "do it", 20.0, {"exterior": images}, state, action)
        one = store.save("demonstrations", Demonstrations(task, task, (), (episode,)), params={"task": task})
        relevance = Relevance(
            *("knn", "paper", "raw action", rng.normal(size=(2, 3, 4)).astype(np.float32)),
            *(np.zeros((1, 2, 3, 4), np.float32), (10,), {}, {}, {}, np.zeros((2, 3, 4), bool), ("a", "b")),
        )
        params = {"target": "gripper", "policy": "/srv/policies/pi0_base"}
        ids.append((one, store.save("relevance", relevance, parents=[one], params=params)))
    return store, ids[0][0], ids[0][1], ids[1][1]


def test_sets_in_the_store_say_where_they_come_from(stored: tuple[Store, str, str, str], tmp_path: Path) -> None:
    store, demonstrations, relevance, other = stored

    def words(selection_id: str) -> str:
        said, _, rest = origin_words(pipeline.origin_of(store, selection_id)).rpartition(", pi0_base, 20")
        assert len(rest) == len("26-11-29"), "the policy's name without the folder that it lies in, and the day"
        return said

    best = pipeline.select(store, relevance_id=relevance, count=2)
    measured = "k-NN (paper, predicts the gripper) on"
    assert words(best) == f"Best heads by {measured} press button"
    assert pipeline.selection_of(store, best).origin.demonstrations == demonstrations
    control = pipeline.select(store, relevance_id=relevance, rule="other_task", other_id=other, count=2)
    assert words(control) == f"Control, best heads of another task by {measured} pick cube"
    theirs = pipeline.select(store, relevance_id=other, count=2)
    both = pipeline.combine(store, selection_ids=[best, theirs], operation="union")
    assert words(both) == f"Several sets together by {measured} press button and pick cube"
    carried = {"rule": "manual", "heads": [("vlm", 0, 1)], "origin": pipeline.selection_of(store, theirs).origin.word()}
    moved = pipeline.select(store, relevance_id=relevance, **carried)
    assert words(moved) == f"Best heads by {measured} pick cube", "where it was chosen, not where it is used"
    unknown = pipeline.select(store, relevance_id=relevance, **(carried | {"origin": "unknown"}))
    assert pipeline.origin_of(store, unknown) is None

    exchange.write(pipeline.selection_of(store, theirs), tmp_path / "heads.json")
    back = pipeline.import_selection(store, tmp_path / "heads.json", relevance_id=relevance)
    assert words(back) == f"Best heads by {measured} pick cube"
    (tmp_path / "old.json").write_text('{"trainable_head_indices": [[0, 1]]}')
    old = pipeline.import_selection(store, tmp_path / "old.json", relevance_id=relevance)
    assert exchange.read(tmp_path / "old.json", HeadShape.pair(3, 4, 8)).heads == (Head("vlm", 0, 1),)
    assert pipeline.origin_of(store, old) is None and pipeline.origin_of(store, "selection-0123456789abcdef") is None


def test_a_set_scored_by_its_activations_names_their_policy() -> None:
    samples = Store(ASSETS / "samples")
    chosen = next(one.id for one in samples.find("selection"))
    assert pipeline.origin_of(samples, chosen).policy == "embedded"
