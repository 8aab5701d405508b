"""Which errors on held-out episodes are flattered by the choice of heads, by what an adapter was made from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from steering import pipeline
from steering.pipeline.heldout import HEADS_SAW, HEADS_UNKNOWN, heads_changed, heads_elsewhere
from steering.store import Store
from steering.types import Origin, Selection

STAND_IN = Selection((), "stands in for any artefact: only manifests are read")


class Lineage:
    """Two sets of demonstrations, each scored, in a store."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self.demonstrations, self.others = (self.save("demonstrations", task=task) for task in ("own", "other"))
        self.relevance, self.relevance_of_others = (
            self.save("relevance", self.save("activations", one), one) for one in (self.demonstrations, self.others)
        )

    def save(self, kind: str, *parents: str, **params: object) -> str:
        return self.store.save(kind, STAND_IN, parents=parents, params=params)

    def notice(self, *selections: str, method: str = "steering", demonstrations_id: str = "") -> str:
        adapter = self.save("adapter", self.demonstrations, *selections, method=method)
        return pipeline.heldout_notice(self.store, adapter, demonstrations_id or self.demonstrations)


@pytest.fixture
def lineage(tmp_path: Path) -> Lineage:
    return Lineage(tmp_path)


def test_heads_that_were_scored_on_the_held_out_episodes_are_said(lineage: Lineage) -> None:
    trust = lineage.save("trust", lineage.relevance)
    best = lineage.save("selection", lineage.relevance, rule="top_k")
    for chosen in (
        best,
        lineage.save("selection", lineage.relevance, trust, rule="above_null"),
        lineage.save("selection", lineage.relevance, rule="manual"),
        lineage.save("selection", best, operation="union"),
    ):
        assert lineage.notice(chosen) == lineage.notice(chosen, method="dense_heads") == HEADS_SAW
        assert lineage.notice(chosen, method="lora_rank_matched") == ""
        assert lineage.notice(chosen, demonstrations_id=lineage.others) == heads_elsewhere("own")


def test_nothing_is_said_of_what_scores_did_not_choose(lineage: Lineage) -> None:
    assert lineage.notice(method="lora") == ""
    for rule in ("random", "bottom"):
        assert lineage.notice(lineage.save("selection", lineage.relevance, rule=rule)) == ""


def test_heads_of_another_task_are_said_to_come_from_there(lineage: Lineage) -> None:
    best_of_others = lineage.save("selection", lineage.relevance_of_others, rule="top_k")
    parents = (lineage.relevance, lineage.relevance_of_others)
    control = lineage.save("selection", *parents, rule="other_task")
    assert lineage.notice(best_of_others) == lineage.notice(control) == heads_elsewhere("other")
    assert lineage.notice(control, demonstrations_id=lineage.others) == HEADS_SAW


def test_a_set_that_carries_its_origin_is_judged_by_it_and_not_by_the_scores_that_were_open(lineage: Lineage) -> None:
    def notice(origin: str) -> str:
        return lineage.notice(lineage.save("selection", lineage.relevance, rule="manual", origin=origin))

    of_others = Origin("top_k", demonstrations=lineage.others, name="press_button")
    assert notice(of_others.word()) == heads_elsewhere("press button")
    assert notice(replace(of_others, changed_on=lineage.demonstrations).word()) == heads_changed("press button")
    assert notice(replace(of_others, changed_on=lineage.others).word()) == heads_elsewhere("press button")
    own = replace(of_others, demonstrations=lineage.demonstrations)
    assert notice(own.word()) == HEADS_SAW
    assert notice(replace(own, rule="random").word()) == ""
    assert notice("unknown") == HEADS_UNKNOWN
    assert lineage.notice(lineage.save("selection", lineage.relevance, rule="file")) == HEADS_UNKNOWN


def test_open_loop_says_it_of_the_methods_that_it_is_true_of(lineage: Lineage) -> None:
    chosen = lineage.save("selection", lineage.relevance, rule="top_k")
    made = [lineage.save("open_loop", lineage.demonstrations, method="zero_shot")]
    for method, parents in (("lora", ()), ("steering", (chosen,))):
        adapter = lineage.save("adapter", lineage.demonstrations, *parents, method=method)
        made.append(lineage.save("open_loop", lineage.demonstrations, adapter, method=method))
    comparison = lineage.save("open_loop_comparison", *made)
    assert pipeline.open_loop_notices(lineage.store, comparison) == {"steering": HEADS_SAW}
