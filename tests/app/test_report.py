"""A report is opened again: the page and the command line read its head set and results from the file alone."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from app import questions
from app.questions.context import Context
from app.views.report import report
from steering.cli.main import app
from steering.errors import InputError
from steering.selection import exchange, report_file

Samples = tuple[Path, dict[str, str]]


@pytest.fixture
def kept(context: Context, samples: Samples) -> Path:
    file = questions.exports.report(context, samples[1]["comparison"])
    assert re.fullmatch(r"comparison_place-cube-in-bowl_policy_\d{4}-\d\d-\d\d\.html", file.name)
    return context.media.folder / file.url.removeprefix("media/")


def test_a_report_holds_what_it_shows_as_data(context: Context, samples: Samples, kept: Path) -> None:
    found = report_file.read(kept)
    value = context.store.load(samples[1]["comparison"])
    assert [(one["successes"], one["trials"]) for one in found["comparison"]["rates"]] == [
        (one.successes, one.trials) for one in value.rates
    ]
    assert (
        found["comparison"]["seeds"] == list(value.seeds) and found["comparison"]["tests"][0]["p"] == value.tests[0].p
    )
    result = context.store.load(samples[1]["steering"])
    steering = next(one for one in found["finetunes"] if one["id"] == samples[1]["steering"])
    assert steering["heldout_after"] == float(result.heldout_error[-1]) and steering["heads"] == 20
    assert report_file.results(found)[0] == (
        "place cube in bowl: Zero-shot 3 of 10, Robotic Steering 8 of 10, LoRA, all heads 7 of 10 scenes"
    )
    page = kept.read_text("utf-8")
    assert page.count('poster="data:image/webp;base64,') == page.count("<video") == 24
    assert f"policy · place cube in bowl · {found['date']}" in page
    assert "95 % Wilson interval" in page and "wb-term" not in page, "no word opens in a page without scripts"


def test_its_head_set_is_given_back(context: Context, samples: Samples, kept: Path, tmp_path: Path) -> None:
    trained = context.store.load(samples[1]["steering"]).selection.heads
    shape = context.size.head_shape
    beginning = kept.read_text("utf-8")[: report_file.MAX_BYTES]
    data = re.search(r'<script type="application/json">(.*?)</script>', beginning, re.S)[1]  # as the page sends it
    for content in (beginning, data):
        assert questions.head_sets.read_selection(context, content).heads == trained
    assert questions.head_sets.report_words(data)[1].startswith("place cube in bowl: Zero-shot 3 of 10")
    assert questions.head_sets.report_words('{"trainable_head_indices": []}') == ()
    out = tmp_path / "set.json"
    app(["open", str(kept), "--json", str(out)], standalone_mode=False)
    assert exchange.read(out, shape).heads == trained == exchange.read(kept, shape).heads


def test_what_is_no_report_is_said(context: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ("<!doctype html><p>hello", '<!doctype html><script type="application/json">{"a": 1}</script>'):
        (tmp_path / "page.html").write_text(wrong)
        with pytest.raises(InputError, match="Expected a report that the workbench made"):
            report_file.read(tmp_path / "page.html")
        with pytest.raises(InputError, match="Expected a report that the workbench made"):
            questions.head_sets.read_selection(context, wrong)
    later = json.dumps({"format": report_file.FORMAT, "version": 99})
    with pytest.raises(InputError, match="version 99"):
        report_file.checked(later)
    alone = {"format": report_file.FORMAT, "version": 1, "selections": []}
    with pytest.raises(InputError, match="trained a head set"):
        questions.head_sets.read_selection(context, json.dumps(alone))
    assert report_file.results({**alone, "finetunes": [1, {"method": []}], "comparison": {"rates": [None, {}]}}) == []


def test_a_name_cannot_end_the_data(context: Context, samples: Samples) -> None:
    run = questions.exports.Run("a</script><b>", (), data="x", document={"title": "</script><script>alert(1)"})
    page = report(replace(run, notes=("n",)))
    assert page.count("</script>") == 1 and "<script>alert" not in page and "<b>" not in page
