"""A relevance as a table, with inert heads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from steering.relevance import scoring, tables
from steering.types import Head


def test_ranks_in_a_table_leave_inert_heads_out(build) -> None:
    a = build((6, 7, 8))
    inert = np.zeros((2, 3, 4), bool)
    inert[0, 1, 2] = True
    r = scoring.score(replace(a, inert=inert), "paper", (3,))
    header, *body = tables.rows(r, {Head("vlm", 0, 1)})
    place = {(row[0], row[1], row[2]): row for row in body}
    score_at, rank_at = header.index("score"), header.index("rank")
    vlm = [float(row[score_at]) for row in body if row[0] == "vlm" and not row[3]]
    for (stack, layer, head), row in place.items():
        assert row[3] == int(inert[0 if stack == "vlm" else 1, layer, head])
        assert row[4] == int((stack, layer, head) == ("vlm", 0, 1))
        if stack == "vlm" and not row[3]:
            assert float(row[rank_at]) == 1 + sum(one > float(row[score_at]) for one in vlm)
    assert place["vlm", 1, 2][rank_at] == "" and max(float(row[rank_at]) for row in body if row[rank_at]) == 12
    document = tables.document(r)
    assert document["trust"] is None and document["inert"]["vlm"][1] == [False, False, True, False]
    assert document["rank"]["vlm"][1][2] is None and document["ks"] == [3] and set(document["error"]["vlm"]) == {"3"}
    assert document["score"]["expert"][2][3] == pytest.approx(float(r.score[1, 2, 3]))


def test_a_measure_that_predicts_nothing_has_no_errors_in_a_table(build) -> None:
    r = scoring.score(build((6, 7, 8)), "paper", (3,))
    plain = replace(r, error=r.error[:0], ks=(), best_k={})  # as gradient_activation gives it
    header, *body = tables.rows(plain)
    assert "error" not in header and {len(row) for row in body} == {len(header)}
    assert tables.document(plain)["error"] == {"vlm": {}, "expert": {}}
