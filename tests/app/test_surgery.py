"""Head surgery as a question: what is queued, what is refused, and what a paired run answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app import questions
from app.questions import head_sets, public
from app.questions.context import Context
from app.tabs.measures import show_menu, start_surgery
from app.views.surgery import FACTORS, LAST_S, surgery_card
from steering.comparison.compare import compare
from steering.errors import SteeringError
from steering.simulation.scene import CONTROL_HZ
from steering.simulation.tasks import TASKS
from steering.types import Head, Rollouts, Surgery, SurgeryRun

Samples = tuple[Path, dict[str, str]]


def test_a_surgery_is_queued_as_it_was_asked_for(context: Context, samples: Samples) -> None:
    chosen = context.size.head_shape.all_heads()[1:3]
    digits = head_sets.digits_of(context, chosen)
    public.surgery(context, digits, "press_button", -1.0, 0.75, scenes=8, seed=2)
    demonstrations_id = samples[1]["place_cube_in_bowl"]
    public.surgery(context, digits, "press_button", demonstrations_id=demonstrations_id, method="steering")
    (function, asked), (_, trained) = context.jobs.submitted  # type: ignore[attr-defined]
    assert function == "operate" and asked["heads"] == [[one.stack, one.layer, one.head] for one in chosen]
    assert (asked["factor"], asked["from_s"], asked["trials"], asked["seed"]) == (-1.0, 0.75, 8, 2)
    assert asked["adapter_id"] is None and trained["adapter_id"] == samples[1]["steering"]
    for wrong in ({"factor": float("nan")}, {"from_s": 0.3}, {"from_s": float("inf")}, {"scenes": 0}, {"task": "x"}):
        with pytest.raises(SteeringError):
            public.surgery(context, digits, **{"task": "press_button", **wrong})
    with pytest.raises(SteeringError, match="Finetune first"):
        public.surgery(context, digits, "press_button", demonstrations_id=demonstrations_id, method="full")


def test_the_page_asks_for_the_selected_heads_on_the_task_that_is_open(
    context: Context, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    demonstrations_id = samples[1]["press_button"]
    assert 'data-action="operate"' in show_menu(context, [demonstrations_id, 0], "")
    digits = head_sets.digits_of(context, context.size.head_shape.all_heads()[:2])
    start_surgery(context, demonstrations_id, digits, {"factor": "-1", "from": "2", "scenes": "6"})
    start_surgery(context, demonstrations_id, digits, {"factor": "7; x", "from": "99", "scenes": ["y"]})
    (_, asked), (_, bounded) = context.jobs.submitted  # type: ignore[attr-defined]
    assert (asked["task"], asked["factor"], asked["from_s"], asked["trials"]) == ("press_button", -1.0, 2, 6)
    assert (bounded["factor"], bounded["from_s"], bounded["trials"]) == (0.0, LAST_S, 10)
    assert min(task.step_limit for task in TASKS.values()) / CONTROL_HZ > LAST_S and len(FACTORS) == 4
    with pytest.raises(SteeringError, match="Select heads on the map first"):
        start_surgery(context, demonstrations_id, "", {})
    real = context.store.kept(demonstrations_id)
    monkeypatch.setattr(
        type(context), "load", lambda _, one, kind: replace(real, task="") if one == demonstrations_id else real
    )
    assert "operate" not in show_menu(context, [demonstrations_id, 0], ""), "no scene, no surgery"


def test_a_paired_run_answers_in_a_sentence_with_intervals_and_films(context: Context) -> None:
    ids, runs = [], []
    for method, won in (("zero_shot", "1110"), ("changed", "0010"), ("control", "1111")):
        success = np.array([one == "1" for one in won])
        with context.store.new_folder("rollouts") as folder:
            (folder / "7.mp4").write_bytes(b"film")
            one = Rollouts(method, "pick_cube", (), (7, 8, 9, 10), success, np.array([10, 50, 60, 90], np.int32))
            one = Rollouts(**{**vars(one), "videos": (folder / "7.mp4",)})
            ids.append(context.store.save("rollouts", one, params={"method": method}, folder=folder))
        runs.append(context.store.kept(ids[-1]))
    first, second, *_ = context.size.head_shape.all_heads()
    surgery = Surgery((first,), 0.0, 20)
    run = SurgeryRun(surgery, Surgery((first,), 0.0, 20, (second,)), compare(runs), 1, 20.0)
    made = context.store.save("surgery", run, parents=ids)
    other = SurgeryRun(Surgery((Head("vlm", 99, 0),)), None, compare(runs), 0, 20.0)
    context.store.save("surgery", other, parents=ids)
    (found,) = questions.surgery.surgeries(context)
    assert found.id == made and found.from_s == 1.0
    assert (found.heads, found.control) == tuple(head_sets.digits_of(context, (one,)) for one in (first, second))
    assert found.sentence == (
        "1 head silenced from 1 s on: 1 of 4 scenes instead of 3, no difference shown (p = 1); as large a change of "
        "other heads of the same layers: 4. 1 had ended before."
    )
    assert [one.words.split(":")[0] for one in found.effects][0] == "Zero-shot against Heads changed"
    assert found.effects[0].difference == 50 and found.effects[0].low < 50 < found.effects[0].high
    assert questions.surgery.newest(context) == found
    card = surgery_card(found)
    assert (
        found.sentence in card and card.count("<video") == 3 and card.count("<li>") == 3 and "data-play-films" in card
    )
    assert (
        card.index("Zero-shot</fig")
        < card.index("Heads changed</fig")
        < card.index("Control: other heads, same norm</")
    )
    assert "<video" not in surgery_card(replace(found, films=({}, {}, {}))) and surgery_card(None) == ""
    assert all(list(one) == ["7"] and one["7"].endswith(".mp4") for one in found.films)
