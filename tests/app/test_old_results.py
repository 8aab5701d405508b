"""What an older version made says so wherever it is shown: cards, finetunes, comparisons, reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from app import questions
from app.questions.context import Context
from app.tabs import compare, demonstrations, finetune
from steering import stages
from steering.types import OpenLoop, OpenLoopComparison

OLD = "Made by an older version of this workbench"


def shown(context: Context, ids: dict[str, str]) -> dict[str, str]:
    """Place -> what the page says there."""
    opened = [ids["place_cube_in_bowl"], 0]
    compared = compare.show(context, opened, "")
    reports = {
        name: context.media.folder / Path(questions.exports.report(context, ids[name]).url).name
        for name in ("lora", "comparison")
    }
    return {
        "cards": demonstrations.show_sets(context, opened),
        "finetunes": finetune.show(context, opened, "", "", "", {})[1],
        "compare form": compared[0],
        "comparison": compared[5],
        **{f"report of {name}": path.read_text() for name, path in reports.items()},
    }


@pytest.mark.parametrize(
    ("room", "places"),
    [
        ("finetune", {"finetunes", "compare form", "comparison", "report of lora", "report of comparison"}),
        ("comparison", {"comparison", "report of comparison"}),
        ("relevance", {"cards", "finetunes", "compare form", "comparison", "report of comparison"}),
        ("rollout", {"comparison", "report of comparison"}),
    ],
)
def test_old_results_say_so_where_they_are_shown(
    context: Context,
    samples: tuple[Path, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    room: str,
    places: set[str],
) -> None:
    before = shown(context, samples[1])
    assert not [place for place, said in before.items() if OLD in said]
    monkeypatch.setattr(stages.ROOMS[room], "RESULTS", 90)
    after = shown(context, samples[1])
    told = {place for place, said in after.items() if f"{OLD}: {room}" in said or f"{room} (version" in said}
    assert told == places


def test_old_demonstrations_say_so_on_their_card(
    context: Context, samples: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages.ROOMS["simulation"], "RESULTS", 90)
    cards = demonstrations.show_sets(context, ["", 0])
    assert cards.count('data-testid="old"') == 2 and "simulation (version" in cards


def test_old_predictions_on_recordings_say_so(
    context: Context, samples: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    opened, rows = samples[1]["place_cube_in_bowl"], np.arange(4, dtype=np.int32)
    chunks, valid = np.zeros((4, 2, 7), np.float32), np.ones((4, 2), bool)
    one = OpenLoop("lora", rows * 0, rows, chunks, chunks, valid, np.ones(7, np.float32), ("x",) * 7, 20.0)
    made = context.store.save("open_loop", one, parents=[opened], params={"method": "lora"})
    errors, summed = (np.ones((1, 2, 7), np.float32),) * 3, np.ones((1, 2, 3), np.float32)
    by_dim, total = np.ones((1, 7, 3), np.float32), np.ones((1, 3), np.float32)
    value = OpenLoopComparison(("lora",), (0,), ("x",) * 7, 20.0, *errors, summed, by_dim, total, total)
    compared = context.store.save("open_loop_comparison", value, parents=[made])
    assert OLD not in compare.show(context, [opened, 0], "")[8]
    monkeypatch.setattr(stages.ROOMS["rollout"], "RESULTS", 90)
    assert OLD in compare.show(context, [opened, 0], "")[8]
    address = questions.exports.report(context, compared).url
    assert (context.media.folder / Path(address).name).read_text().count(OLD) == 1
