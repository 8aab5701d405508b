"""A set of heads belongs to what it was chosen on: kept apart, taken over on purpose, and said where it comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app import head_sets, link
from app.head_sets import HeadSet, chosen, head_set
from app.service import Workbench
from app.tabs import heads as heads_tab
from app.training_form import Asked
from app.views.header import header
from steering import pipeline
from steering.pipeline.heldout import HEADS_SAW, heads_elsewhere
from steering.types import Head, Origin, origin_of_word, origin_words

Samples = tuple[Path, dict[str, str]]
BY_HAND = (Head("vlm", 0, 0), Head("vlm", 1, 1))


@pytest.fixture
def both(bench: Workbench, samples: Samples) -> tuple[Workbench, str, str]:
    """A workbench with two scored sets: cube in bowl, and button."""
    cube, button = samples[1]["place_cube_in_bowl"], samples[1]["press_button"]
    scored = bench.load(samples[1]["relevance"])
    bench.store.save("relevance", scored, parents=[button], params={"of": "the button"})
    return bench, cube, button


def words(bench: Workbench, one: HeadSet) -> str:
    return origin_words(head_sets.origin_of(bench, one))


def test_demonstrations_begin_with_their_own_heads_and_get_them_back(both: tuple[Workbench, str, str]) -> None:
    bench, cube, button = both
    first = head_sets.newcomer(bench, cube, "")
    assert words(bench, first).startswith("Best heads by k-NN (paper) on place cube in bowl, 20")
    kept = head_sets.keep({}, head_sets.key_of(bench.policies.key, cube), first)
    other = head_sets.opened(bench, kept, button, "")
    assert " on press button, 20" in words(bench, other), "not those of the cube"
    kept = head_sets.keep(kept, head_sets.key_of(bench.policies.key, button), other)
    assert head_sets.opened(bench, kept, cube, "") == first
    assert head_sets.opened(bench, {head_sets.key_of("another policy", cube): [*kept.values()][-1]}, cube, "") == first
    assert head_sets.others(bench, kept, cube) == {button: "Set of press button (20 heads)"}
    form = heads_tab.show(bench, cube, first.digits or "", kept=kept)[3]
    assert f'value="kept {button}">Set of press button (20 heads)' in form
    assert head_sets.others(bench, kept, button).keys() == {cube}


def test_unscored_demonstrations_have_no_heads_until_they_are_scored(bench: Workbench, samples: Samples) -> None:
    assert head_sets.opened(bench, {}, samples[1]["press_button"], "").digits is None


def test_clicks_change_where_a_set_comes_from(both: tuple[Workbench, str, str]) -> None:
    bench, cube, _ = both
    first = head_sets.newcomer(bench, cube, "")
    fewer = bench.digits(bench.heads(first.digits or "")[1:])
    once = head_sets.changed(bench, first, fewer, cube, "")
    assert words(bench, once) == f"{words(bench, first)}; changed by hand since"
    back = head_sets.changed(bench, once, first.digits or "", cube, "")
    assert words(bench, back) == words(bench, first), "undone is not changed"
    empty = head_sets.changed(bench, first, "", cube, "")
    assert words(bench, head_sets.changed(bench, empty, first.digits or "", cube, "")) == words(bench, first)
    others = bench.digits(BY_HAND)
    assert not set(BY_HAND) & set(bench.heads(first.digits or ""))
    by_hand = head_sets.changed(bench, empty, others, cube, "")
    assert words(bench, by_hand).startswith("Chosen by hand beside k-NN (paper) on place cube in bowl, 20")


def test_what_the_browser_keeps_is_not_believed(bench: Workbench) -> None:
    for bad in (None, 7, "x", [1, 2, 3], ["", ""], {"a": 1}, [["x"], "", ""]):
        assert origin_words(head_sets.origin_of(bench, head_set("ff", bad))) == "origin unknown"
        assert head_sets.others(bench, bad, "") == {}
        assert head_sets.keep(bad, "key", chosen("ff", None)) == {"key": ["ff", "unknown", "ff", ""]}
    assert head_sets.others(bench, {"<img> embedded": ["ff", "", "", ""]}, "") == {}
    many = {str(i): ["ff", "", "", ""] for i in range(100)}
    assert list(head_sets.keep(many, "new", chosen("ff", None)))[-2:] == ["99", "new"]
    assert len(head_sets.keep(many, "new", chosen("ff", None))) == head_sets.MOST_KEPT


def test_a_link_carries_the_origin_and_keeps_what_was_open(both: tuple[Workbench, str, str]) -> None:
    bench, cube, button = both
    mine = head_sets.newcomer(bench, cube, "")
    theirs = head_sets.newcomer(bench, button, "")
    query = dict(link.header_of(bench, [button, 0], theirs, "").query)
    memory = link.Memory([cube, 0], mine.digits, mine.kept, {}, "", bench.policies.key)
    screen = link.restore(bench, query, memory)
    assert screen.opened[0] == button and words(bench, screen.heads) == words(bench, theirs)
    assert head_sets.opened(bench, screen.kept, cube, "") == mine
    plain = link.restore(bench, {"demonstrations": button}, memory)
    assert words(bench, plain.heads) == words(bench, theirs), "a link without heads shows the set's own"
    old = link.restore(bench, {"demonstrations": button, "heads": theirs.digits or ""}, memory)
    assert words(bench, old.heads) == "origin unknown"
    fewer = head_sets.changed(bench, mine, bench.digits(bench.heads(mine.digits or "")[1:]), cube, "")
    memory = link.Memory([cube, 0], fewer.digits, fewer.kept, {}, "", bench.policies.key)
    again = link.restore(bench, dict(link.header_of(bench, [cube, 0], fewer, "").query), memory)
    assert again.heads == fewer, "a reload still knows what the set was before"


def test_header_and_file_say_the_same(both: tuple[Workbench, str, str]) -> None:
    bench, cube, button = both
    mine = head_sets.newcomer(bench, button, "")
    said = words(bench, mine)
    away = header(link.header_of(bench, [cube, 0], mine, ""))
    assert "20 from press button" in away and said in away and "had no part in the choice" in away
    home = header(link.header_of(bench, [button, 0], mine, ""))
    assert "20 selected" in home and said in home and "had no part" not in home
    origin = head_sets.origin_of(bench, mine)
    file = bench.exports.heads("selection.json", cube, "", bench.heads(mine.digits or ""), origin)
    content = json.loads((bench.previews.folder / Path(file.url).name).read_text())
    assert content["origin_in_words"] == said and content["origin"]["demonstrations"] == button
    assert bench.read_selection(json.dumps(content)).origin == origin


def test_what_is_trained_carries_the_origin(both: tuple[Workbench, str, str], samples: Samples) -> None:
    bench, cube, button = both
    mine = head_sets.newcomer(bench, button, "")
    origin, heads = head_sets.origin_of(bench, mine), bench.heads(mine.digits or "")
    assert origin is not None
    found = bench.training.outlook(cube, "", heads, Asked(), origin)
    assert found["steering"].origin == origin_words(origin)
    assert found["steering"].remark == heads_elsewhere("press button") and found["lora"].origin == ""
    assert "Control, the worst heads by" in found["bottom"].origin
    own = bench.training.outlook(button, "", heads, Asked(), origin)["steering"]
    assert own.origin == found["steering"].origin and own.remark == ""

    def started(given: Origin | None) -> Any:
        bench.training.start("o", cube, "", heads, Asked(("steering",)), given)
        return bench.jobs.submitted[-1][1]["selection_id"]  # type: ignore[attr-defined]

    selection = started(origin)
    assert pipeline.origin_of(bench.store, selection) == origin
    later = Origin(**{**vars(origin), "date": "2031-01-01"})
    assert started(later) == selection, "the same set, chosen again, trains nothing anew"
    assert pipeline.origin_of(bench.store, started(None)) is None
    shell, _ = bench.training.preview(cube, "", heads, Asked(("steering",)), origin)
    assert origin_of_word(shell.split("--origin ")[1].split(" ")[0].strip("'")) == origin


def test_results_say_whose_heads_were_trained(bench: Workbench, samples: Samples) -> None:
    rows = {row.method: row for row in bench.results.finetunes()}
    assert rows["steering"].origin.startswith("Chosen by hand beside k-NN (paper) on place cube in bowl, ")
    assert rows["lora"].origin == "" and rows["steering"].notice == HEADS_SAW
    shown = bench.results.comparison(samples[1]["comparison"]).success
    assert f"Robotic Steering: 20 heads. {rows['steering'].origin}." in shown
    report = bench.exports.report(samples[1]["steering"])
    assert rows["steering"].origin in (bench.previews.folder / Path(report.url).name).read_text()
