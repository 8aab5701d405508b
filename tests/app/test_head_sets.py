"""A set of heads belongs to what it was chosen on: kept apart, taken over on purpose, and said where it comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import gradio as gr
import numpy as np
import pytest

from app import questions
from app.questions.context import Context
from app.questions.head_sets import HeadSet, chosen, head_set
from app.questions.training_form import Asked
from app.tabs import heads as heads_tab
from app.tabs.selected import shown_set
from app.views.header import header
from steering import pipeline
from steering.pipeline.heldout import HEADS_SAW, heads_elsewhere
from steering.types import Head, Origin, origin_of_word, origin_words

Samples = tuple[Path, dict[str, str]]
BY_HAND = (Head("vlm", 0, 0), Head("vlm", 1, 1))


@pytest.fixture
def both(context: Context, samples: Samples) -> tuple[Context, str, str]:
    """A workbench with two scored sets: cube in bowl, and button."""
    cube, button = samples[1]["place_cube_in_bowl"], samples[1]["press_button"]
    scored = context.store.kept(samples[1]["relevance"])
    context.store.save("relevance", scored, parents=[button], params={"of": "the button"})
    return context, cube, button


def words(context: Context, one: HeadSet) -> str:
    return origin_words(questions.head_sets.origin_of(context, one))


def test_demonstrations_begin_with_their_own_heads_and_get_them_back(both: tuple[Context, str, str]) -> None:
    context, cube, button = both
    first = questions.head_sets.newcomer(context, cube, "")
    assert words(context, first).startswith("Best heads by k-NN (paper) on place cube in bowl, policy, 20")
    kept = questions.head_sets.keep({}, questions.head_sets.key_of(context.policies.key, cube), first)
    other = questions.head_sets.opened(context, kept, button, "")
    assert " on press button, policy, 20" in words(context, other), "not those of the cube"
    kept = questions.head_sets.keep(kept, questions.head_sets.key_of(context.policies.key, button), other)
    assert questions.head_sets.opened(context, kept, cube, "") == first
    assert (
        questions.head_sets.opened(
            context, {questions.head_sets.key_of("another policy", cube): [*kept.values()][-1]}, cube, ""
        )
        == first
    )
    assert questions.head_sets.others(context, kept, cube) == {button: "Set of press button (20 heads)"}
    form = heads_tab.show(context, cube, first.digits or "", kept=kept)[3]
    assert f'value="kept {button}">Set of press button (20 heads)' in form
    assert questions.head_sets.others(context, kept, button).keys() == {cube}


def test_unscored_demonstrations_have_no_heads_until_they_are_scored(context: Context, samples: Samples) -> None:
    assert questions.head_sets.opened(context, {}, samples[1]["press_button"], "").digits is None


def test_clicks_change_where_a_set_comes_from(both: tuple[Context, str, str]) -> None:
    context, cube, _ = both
    first = questions.head_sets.newcomer(context, cube, "")
    fewer = questions.head_sets.digits_of(context, questions.head_sets.heads_of(context, first.digits or "")[1:])
    once = questions.head_sets.changed(context, first, fewer, cube, "")
    assert words(context, once) == f"{words(context, first)}; changed by hand since"
    back = questions.head_sets.changed(context, once, first.digits or "", cube, "")
    assert words(context, back) == words(context, first), "undone is not changed"
    empty = questions.head_sets.changed(context, first, "", cube, "")
    assert words(context, questions.head_sets.changed(context, empty, first.digits or "", cube, "")) == words(
        context, first
    )
    others = questions.head_sets.digits_of(context, BY_HAND)
    assert not set(BY_HAND) & set(questions.head_sets.heads_of(context, first.digits or ""))
    by_hand = questions.head_sets.changed(context, empty, others, cube, "")
    assert words(context, by_hand).startswith("Chosen by hand beside k-NN (paper) on place cube in bowl, policy, 20")


def test_what_the_browser_keeps_is_not_believed(context: Context) -> None:
    for bad in (None, 7, "x", [1, 2, 3], ["", ""], {"a": 1}, [["x"], "", ""]):
        assert origin_words(questions.head_sets.origin_of(context, head_set("ff", bad))) == "origin unknown"
        assert questions.head_sets.others(context, bad, "") == {}
        assert questions.head_sets.keep(bad, "key", chosen("ff", None)) == {"key": ["ff", "unknown", "ff", ""]}
    assert questions.head_sets.others(context, {"<img> embedded": ["ff", "", "", ""]}, "") == {}
    many = {str(i): ["ff", "", "", ""] for i in range(100)}
    assert list(questions.head_sets.keep(many, "new", chosen("ff", None)))[-2:] == ["99", "new"]
    assert len(questions.head_sets.keep(many, "new", chosen("ff", None))) == questions.head_sets.MOST_KEPT


def test_a_link_carries_the_origin_and_keeps_what_was_open(both: tuple[Context, str, str]) -> None:
    context, cube, button = both
    mine = questions.head_sets.newcomer(context, cube, "")
    theirs = questions.head_sets.newcomer(context, button, "")
    query = dict(questions.link.header_of(context, [button, 0], theirs, "").query)
    memory = questions.link.Memory([cube, 0], mine.digits, mine.kept, {}, "", context.policies.key)
    screen = questions.link.restore(context, query, memory)
    assert screen.opened[0] == button and words(context, screen.heads) == words(context, theirs)
    assert questions.head_sets.opened(context, screen.kept, cube, "") == mine
    plain = questions.link.restore(context, {"demonstrations": button}, memory)
    assert words(context, plain.heads) == words(context, theirs), "a link without heads shows the set's own"
    old = questions.link.restore(context, {"demonstrations": button, "heads": theirs.digits or ""}, memory)
    assert words(context, old.heads) == "origin unknown"
    fewer = questions.head_sets.changed(
        context,
        mine,
        questions.head_sets.digits_of(context, questions.head_sets.heads_of(context, mine.digits or "")[1:]),
        cube,
        "",
    )
    memory = questions.link.Memory([cube, 0], fewer.digits, fewer.kept, {}, "", context.policies.key)
    again = questions.link.restore(context, dict(questions.link.header_of(context, [cube, 0], fewer, "").query), memory)
    assert again.heads == fewer, "a reload still knows what the set was before"


def test_header_and_file_say_the_same(both: tuple[Context, str, str]) -> None:
    context, cube, button = both
    mine = questions.head_sets.newcomer(context, button, "")
    said = words(context, mine)
    away = header(questions.link.header_of(context, [cube, 0], mine, ""))
    assert "20 from press button" in away and said in away and "had no part in the choice" in away
    home = header(questions.link.header_of(context, [button, 0], mine, ""))
    assert "20 selected" in home and said in home and "had no part" not in home
    origin = questions.head_sets.origin_of(context, mine)
    file = questions.exports.heads(
        context, "selection.json", cube, "", questions.head_sets.heads_of(context, mine.digits or ""), origin
    )
    content = json.loads((context.media.folder / Path(file.url).name).read_text())
    assert content["origin_in_words"] == said and content["origin"]["demonstrations"] == button
    assert questions.head_sets.read_selection(context, json.dumps(content)).origin == origin


def test_what_is_trained_carries_the_origin(both: tuple[Context, str, str], samples: Samples) -> None:
    context, cube, button = both
    mine = questions.head_sets.newcomer(context, button, "")
    origin, heads = (
        questions.head_sets.origin_of(context, mine),
        questions.head_sets.heads_of(context, mine.digits or ""),
    )
    assert origin is not None
    found = questions.training.outlook(context, cube, "", heads, Asked(), origin)
    assert found["steering"].origin == origin_words(origin)
    assert found["steering"].remark == heads_elsewhere("press button") and found["lora"].origin == ""
    assert "Control, the worst heads by" in found["bottom"].origin
    own = questions.training.outlook(context, button, "", heads, Asked(), origin)["steering"]
    assert own.origin == found["steering"].origin and own.remark == ""

    def started(given: Origin | None) -> Any:
        questions.training.start(context, cube, "", heads, Asked(("steering",)), given)
        return context.jobs.submitted[-1][1]["selection_id"]  # type: ignore[attr-defined]

    selection = started(origin)
    assert pipeline.origin_of(context.store, selection) == origin
    later = Origin(**{**vars(origin), "date": "2031-01-01"})
    assert started(later) == selection, "the same set, chosen again, trains nothing anew"
    assert pipeline.origin_of(context.store, started(None)) is None
    shell, _ = questions.training.preview(context, cube, "", heads, Asked(("steering",)), origin)
    assert origin_of_word(shell.split("--origin ")[1].split(" ")[0].strip("'")) == origin


def test_results_say_whose_heads_were_trained(context: Context, samples: Samples) -> None:
    rows = {row.method: row for row in questions.results.finetunes(context)}
    assert rows["steering"].origin.startswith("Chosen by hand beside k-NN (paper) on place cube in bowl, ")
    assert rows["lora"].origin == "" and rows["steering"].notice == HEADS_SAW
    shown = str(questions.comparison.comparison(context, samples[1]["comparison"]).origins)
    assert f"Robotic Steering: 20 heads. {rows['steering'].origin}." in shown
    report = questions.exports.report(context, samples[1]["steering"])
    assert rows["steering"].origin in (context.media.folder / Path(report.url).name).read_text()


class _Pressed:
    """What a browser sends with a press: the heads that it shows, and the demonstrations that they belong to."""

    def __init__(self, selected: object, demonstrations: str) -> None:
        self.selected, self.demonstrations = selected, demonstrations


def test_a_press_means_the_heads_that_the_page_shows_not_those_that_the_server_last_heard_of(
    both: tuple[Context, str, str],
) -> None:
    context, cube, button = both
    known = questions.head_sets.newcomer(context, cube, "")

    def meant(selected: object, demonstrations: str = cube) -> HeadSet:
        pressed = cast(gr.EventData, _Pressed(selected, demonstrations))
        return shown_set(context, pressed, [cube, 0], known.digits, known.kept, "")

    shape = context.size.head_shape
    flat = [int(np.ravel_multi_index(shape.place(head), shape.grid)) for head in _heads(context, known)]
    assert meant(flat) == known
    fewer = meant(flat[1:])
    assert set(_heads(context, fewer)) == set(_heads(context, known)[1:]) and fewer.base == known.base
    assert words(context, fewer).endswith("; changed by hand since")
    assert _heads(context, meant([])) == ()
    for malformed in ("all", None, {"0": 1}):
        assert meant(malformed) == known
    assert meant([0], button) == known, "of what was open before"
    assert set(_heads(context, meant([flat[0], -1, 10**9, "1", True]))) == {_heads(context, known)[0]}


def _heads(context: Context, one: HeadSet) -> tuple[Head, ...]:
    return questions.head_sets.heads_of(context, one.digits or "")
