"""Trials on a robot on the page: of what is trained, recorded once a click, blind to the end, on one's own server."""

from __future__ import annotations

from pathlib import Path

import pytest

from app import questions
from app.questions.context import Context
from app.views.trials import trials_card
from steering.errors import InputError, NotFound
from steering.trials.book import open_book

Samples = tuple[Path, dict[str, str]]
PLAN = (["usual", "dim"], 4, 0.3, 0.5, ["grasped", "lifted"])


@pytest.fixture
def book(context: Context, samples: Samples) -> str:
    return questions.trials.plan(context, samples[1]["place_cube_in_bowl"], "cups", ["lora", "zero_shot"], *PLAN)


def card(context: Context, samples: Samples, name: str) -> str:
    return trials_card(questions.trials.shown(context, samples[1]["place_cube_in_bowl"], name))


def test_a_book_is_planned_recorded_and_named_at_the_end(context: Context, samples: Samples, book: str) -> None:
    demonstrations = samples[1]["place_cube_in_bowl"]
    opened = open_book(context.store.root / "trials" / "cups")
    assert set(opened.plan.adapters) == {"lora"} and opened.plan.stages == ("grasped", "lifted")
    shown = questions.trials.shown(context, demonstrations, book)
    assert shown is not None and shown.books == ("cups",) and shown.card is not None
    assert "At most 4 blocks, 8 trials" in shown.card.power and "--trial" in shown.card.command
    markup = card(context, samples, book)
    assert "Now block 1 of 4" in markup and "LoRA" not in markup and "Zero-shot" not in markup
    for slot in opened.slots:
        outcome = "success" if slot.method == "lora" else "failure"
        questions.trials.record(context, book, slot.number, outcome, "grasped", "<b>note</b>")
        questions.trials.record(context, book, slot.number, outcome)  # a double click
    assert [trial.progress for trial in opened.trials()] == [
        2 if t.outcome == "success" else 1 for t in opened.trials()
    ]
    done = card(context, samples, book)
    assert "All 8 trials have an outcome" in done and "<td>LoRA, all heads</td><td>dim</td><td>2 of 2</td>" in done
    assert "Zero-shot against LoRA, all heads" in done and not opened.unblinded
    questions.trials.undo(context, book)
    assert "LoRA" not in card(context, samples, book)
    questions.trials.unblind(context, book)
    assert "LoRA" in card(context, samples, book) and opened.unblinded


def test_only_what_is_trained_is_offered_and_names_stay_in_their_folder(context: Context, samples: Samples) -> None:
    demonstrations = samples[1]["place_cube_in_bowl"]
    shown = questions.trials.shown(context, demonstrations, "none")
    assert shown is not None and shown.card is None and set(shown.methods) == {"zero_shot", "steering", "lora"}
    assert 'data-testid="trials-plan"' in card(context, samples, "")
    for name in ("", "../out", "a/b", ".hidden", "x" * 61):
        with pytest.raises(InputError, match="Give the trials a name"):
            questions.trials.plan(context, demonstrations, name, ["lora", "zero_shot"], *PLAN)
    with pytest.raises(InputError, match="not trained on these"):
        questions.trials.plan(context, demonstrations, "cups", ["full", "zero_shot"], *PLAN)
    with pytest.raises(InputError, match="leaves no room"):
        questions.trials.plan(context, demonstrations, "cups", ["lora", "zero_shot"], [], 4, 0.7, 0.5, [])
    with pytest.raises(InputError, match="two to"):
        questions.trials.plan(context, demonstrations, "cups", ["lora"], *PLAN)
    for act in (questions.trials.undo, questions.trials.unblind):
        with pytest.raises(NotFound, match="no trial book"):
            act(context, "../../etc")
    assert not (context.store.root / "trials").exists()


def test_strangers_have_no_robot_here(
    context: Context, samples: Samples, book: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEERING_PUBLIC", "1")
    assert card(context, samples, book) == ""
    for act in (
        lambda: questions.trials.record(context, book, 0, "success"),
        lambda: questions.trials.plan(context, samples[1]["place_cube_in_bowl"], "more", ["lora", "zero_shot"], *PLAN),
    ):
        with pytest.raises(InputError, match="server of one's own"):
            act()
