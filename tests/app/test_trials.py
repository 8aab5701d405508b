"""Trials on a robot on the page: of what is trained, recorded once a click, blind to the end, on one's own server."""

from __future__ import annotations

from pathlib import Path

import pytest

from app import questions
from app.questions.context import Context
from app.views.trials import trials_card
from app.visitors import Visitor, asked_by
from steering.errors import InputError, NotFound
from steering.trials.book import open_book
from steering.types import NO_STAGE

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
    assert "Block 1 of 4" in markup and "LoRA" not in markup and "Zero-shot" not in markup
    for slot in opened.slots:
        outcome = "success" if slot.method == "lora" else "failure"
        questions.trials.record(context, book, slot.number, outcome, "grasped", "<b>note</b>")
        questions.trials.record(context, book, slot.number, outcome)  # a double click
    assert [trial.progress for trial in opened.trials()] == [
        2 if t.outcome == "success" else 1 for t in opened.trials()
    ]
    done = card(context, samples, book)
    assert (
        "All 8 trials have an outcome" in done
        and '<td>LoRA, all heads</td><td>dim</td><td data-values="2|2">2 of 2</td>' in done
    )
    assert "Zero-shot against LoRA, all heads" in done and not opened.unblinded
    questions.trials.undo(context, book)
    assert "LoRA" not in card(context, samples, book)
    questions.trials.unblind(context, book)
    assert "LoRA" in card(context, samples, book) and opened.unblinded


def test_a_photograph_goes_along_with_the_trial_through_the_guards_on_uploads(context: Context, book: str) -> None:
    opened = open_book(context.store.root / "trials" / "cups")
    for file, size in (("notes.txt", 5), ("a.jpg", 0), ("a.mp4", (2 << 30) + 1)):
        with pytest.raises(InputError, match="photograph or film"):
            questions.trials.send(context, book, file, size)
    address = questions.trials.send(context, book, "../../cup on Monday.JPG", 3)
    upload = address.split("/")[1]
    with pytest.raises(InputError, match="Not every file arrived"):
        questions.trials.sent(context, address)
    with asked_by(Visitor("1" * 16)), pytest.raises(NotFound, match="no such upload of yours"):
        questions.trials.sent(context, questions.trials.send(context, book, "b.png", 3).replace("uploads/", "u/x"))

    address = questions.trials.send(context, book, "cup on Monday.JPG", 3)
    upload = address.split("/")[1]
    (context.store.root / "uploads" / upload / "files" / "cup on Monday.JPG").write_bytes(b"jpg")
    questions.trials.sent(context, address)
    shown = questions.trials.shown(context, "", book)
    assert shown is not None and shown.card is not None and shown.card.media == "cup on Monday.JPG"
    assert "With cup on Monday.JPG" in trials_card(shown)
    questions.trials.record(context, book, opened.slots[0].number, "failure", NO_STAGE)
    (trial,) = opened.trials()
    assert (opened.folder / "media" / trial.media).read_bytes() == b"jpg" and trial.progress == 0
    assert not (context.store.root / "uploads" / upload).exists(), "it goes along once"
    questions.trials.record(context, book, opened.slots[1].number, "failure")
    assert opened.trials()[1].media == "" and opened.trials()[1].progress is None


def test_the_trial_to_run_has_keys_and_fields_that_start_anew(context: Context, samples: Samples, book: str) -> None:
    first = card(context, samples, book)
    assert all(f'data-key="{key}"' in first for key in "sfvun") and "Trial 1 of at most 8" in first
    assert 'name="note-0"' in first and 'name="stage-0" value="nothing"' in first
    opened = open_book(context.store.root / "trials" / "cups")
    questions.trials.record(context, book, opened.slots[0].number, "void")
    again = card(context, samples, book)
    assert "Trial 1 of at most 8" in again and 'name="note-1"' in again


def test_trials_show_in_the_report_of_the_same_policies(context: Context, samples: Samples, book: str) -> None:
    def page() -> str:
        kept = questions.exports.report(context, samples[1]["comparison"])
        return (context.media.folder / kept.url.removeprefix("media/")).read_text("utf-8")

    assert "On the robot" not in page(), "nothing was run yet"
    opened = open_book(context.store.root / "trials" / "cups")
    for slot in opened.slots[:4]:
        questions.trials.record(context, book, slot.number, "success" if slot.method == "lora" else "failure")
    blind = page().partition("On the robot: cups, 4 of at most 8 trials")[2].partition("</section>")[0]
    assert "Two methods: go on" in blind and "Blinded" in blind and "LoRA" not in blind
    for slot in opened.slots[4:]:
        questions.trials.record(context, book, slot.number, "success" if slot.method == "lora" else "failure")
    whole = page().partition("On the robot: cups, 8 trials")[2].partition("</section>")[0]
    assert (
        '<td>LoRA, all heads</td><td>all</td><td data-values="4|4">4 of 4</td>' in whole
        and "Zero-shot against LoRA" in whole
    )


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
