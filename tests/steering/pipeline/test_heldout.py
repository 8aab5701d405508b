"""Which errors on held-out episodes are flattered by the choice of heads, by what an adapter was made from."""

from __future__ import annotations

from pathlib import Path

import pytest

from steering import pipeline
from steering.pipeline.heldout import HEADS_SAW
from steering.store import Store
from steering.types import Selection

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
        assert lineage.notice(chosen, demonstrations_id=lineage.others) == ""


def test_nothing_is_said_of_what_scores_did_not_choose(lineage: Lineage) -> None:
    assert lineage.notice(method="lora") == ""
    assert lineage.notice(lineage.save("selection", lineage.relevance_of_others, rule="top_k")) == ""
    for rule in ("random", "bottom", "file"):
        assert lineage.notice(lineage.save("selection", lineage.relevance, rule=rule)) == ""
    parents = (lineage.relevance, lineage.relevance_of_others)
    assert lineage.notice(lineage.save("selection", *parents, rule="other_task")) == ""


def test_open_loop_says_it_of_the_methods_that_it_is_true_of(lineage: Lineage) -> None:
    chosen = lineage.save("selection", lineage.relevance, rule="top_k")
    made = [lineage.save("open_loop", lineage.demonstrations, method="zero_shot")]
    for method, parents in (("lora", ()), ("steering", (chosen,))):
        adapter = lineage.save("adapter", lineage.demonstrations, *parents, method=method)
        made.append(lineage.save("open_loop", lineage.demonstrations, adapter, method=method))
    comparison = lineage.save("open_loop_comparison", *made)
    assert pipeline.open_loop_notices(lineage.store, comparison) == {"steering": HEADS_SAW}
