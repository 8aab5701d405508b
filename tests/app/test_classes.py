"""Classes: a teacher's chart of what learners predict, vote and train, without names; learners see their own alone."""

from __future__ import annotations

import csv
import io
import shutil
import sqlite3
import time
from pathlib import Path
from types import ModuleType

import pytest

from app import classbook, questions
from app.classbook import FILE, ClassBook
from app.lessons import LESSONS
from app.questions import classes
from app.questions.context import Context
from app.questions.link import Memory, restore
from app.visitors import Visitor, asked_by
from steering.errors import InputError, NotFound
from steering.types import METHOD_LABELS

TEACHER, ADA, EVE = (Visitor(letter * 16) for letter in "tae")
Samples = tuple[Path, dict[str, str]]


@pytest.fixture
def code(context: Context) -> str:
    with asked_by(TEACHER):
        return classes.make_class(context, "  Robot \n learning ").code


def predict(context: Context, who: Visitor, code: str, choice: str, found: str = "", revealed: bool = False) -> None:
    with asked_by(who):
        classes.class_prediction(context, code, "train", choice, found, revealed)


def answers(context: Context, code: str) -> dict[str, int]:
    with asked_by(TEACHER):
        chart = classes.class_chart(context, code)
    return dict(next(one for one in chart.predictions if one.question == "train").answers)


def test_one_learner_counts_once_and_the_last_prediction_before_the_reveal_stays(context: Context, code: str) -> None:
    for choice in ("steering", "lora", "tie"):
        predict(context, ADA, code, choice)
    predict(context, EVE, code, "lora")
    assert answers(context, code) == {"steering": 0, "lora": 1, "tie": 1}
    predict(context, ADA, code, "lora", "steering", revealed=True)
    predict(context, ADA, code, "steering")  # once more, with the answer known
    predict(context, ADA, code, "steering", "steering", revealed=True)
    assert answers(context, code) == {"steering": 0, "lora": 2, "tie": 0}
    with asked_by(TEACHER):
        chart = classes.class_chart(context, code)
    assert chart.title == "Robot learning" and chart.learners == 2
    assert [dict(one.found) for one in chart.predictions if one.question == "train"] == [{"steering": 1}]


def test_only_the_teacher_sees_the_chart_by_cookie_or_secret(context: Context) -> None:
    with asked_by(TEACHER):
        made = classes.make_class(context)
        assert [one.code for one in classes.classes(context)] == [made.code] and made.title.startswith("Class of")
        assert not classes.classes(context)[0].secret
        assert classes.join_class(context, made.code).since_s == 0  # no learner of their own class
        with pytest.raises(InputError, match="You are the teacher"):
            classes.class_prediction(context, made.code, "train", "lora")
    with asked_by(EVE):
        classes.join_class(context, made.code)
        for question in (classes.class_chart, classes.class_table, classes.close_class):
            for secret in ("", "0" * 32, made.secret[:-1]):
                with pytest.raises(InputError, match="somebody else's"):
                    question(context, made.code, secret)
        assert not classes.classes(context)
        assert classes.class_chart(context, made.code, made.secret).learners == 1
    assert made.secret.encode() not in (context.store.root / FILE).read_bytes()


def test_a_restart_loses_nothing_and_a_closed_class_is_gone(context: Context, code: str) -> None:
    predict(context, ADA, code, "tie")
    again = ClassBook(context.store.root)
    assert [(one.kind, one.answer) for one in again.answers(code)] == [("prediction", "tie")]
    with asked_by(TEACHER):
        classes.close_class(context, code)
        with pytest.raises(NotFound, match="no such class"):
            classes.class_chart(context, code)
    assert not again.takes_part(ADA.owner) and not again.answers(code)
    with asked_by(ADA):
        screen = restore(context, {"class": code}, Memory())
    assert any("no such class" in note for note in screen.notes)


@pytest.mark.parametrize(
    ("lesson", "choice", "found", "words"),
    [
        ("magic", "lora", "", "Expected lesson to be one of head, baseline"),
        ("train", "<b>", "", "Expected choice to be one of steering, lora, tie"),
        ("train", "lora", "x" * 10_000, "Expected found to be one of"),
    ],
)
def test_an_odd_answer_is_said_in_words(
    context: Context, code: str, lesson: str, choice: str, found: str, words: str
) -> None:
    with asked_by(ADA), pytest.raises(InputError, match=words):
        classes.class_prediction(context, code, lesson, choice, found)
    with asked_by(ADA), pytest.raises(NotFound, match="no such class"):
        classes.class_prediction(context, "' OR 1=1 --", "train", "lora")
    assert not context.classes.answers(code)


def test_votes_are_of_scenes_and_methods_that_were_compared(context: Context, code: str, samples: Samples) -> None:
    found = samples[1]["comparison"]
    seed = context.store.kept(found).seeds[0]
    with asked_by(ADA):
        classes.class_vote(context, code, found, seed, "lora")
        classes.class_vote(context, code, found, seed, "same")  # the first counts
        for scene, method, words in ((-1, "lora", "no scene of seed -1"), (seed, "magic", "Expected method")):
            with pytest.raises(InputError, match=words):
                classes.class_vote(context, code, found, scene, method)
        with pytest.raises(InputError, match="the id of a comparison"):
            classes.class_vote(context, code, samples[1]["lora"], seed, "lora")
    with asked_by(TEACHER):
        assert dict(classes.class_chart(context, code).votes) == {METHOD_LABELS["lora"]: 1}


def test_a_run_counts_that_the_learner_asked_for_in_class(
    context: Context, code: str, tmp_path: Path, sample_store: ModuleType
) -> None:
    made = sample_store.fill(tmp_path / "made", episodes=2, count=12, size=40)
    shutil.copytree(tmp_path / "made" / "artefacts", context.store.artefacts)
    context.store.owned_by(ADA.owner).claim(made["lora"])
    with asked_by(ADA):
        classes.join_class(context, code)
        for run in (made["lora"], made["steering"], "../x"):  # earlier, somebody else's, none
            with pytest.raises(InputError, match="no finetune that you asked for"):
                classes.class_run(context, code, run)
        context.store.owned_by(ADA.owner).claim(made["lora"])
        for _ in range(2):
            classes.class_run(context, code, made["lora"])
        row = questions.results.row(context, made["lora"])
    with asked_by(TEACHER):
        (run,) = classes.class_chart(context, code).runs
        table = list(csv.DictReader(io.StringIO(classes.class_table(context, code))))
    assert run.method == "lora" and (run.before, run.after) == (row.heldout or (None, None))
    assert [(one["kind"], one["method"], one["steps"]) for one in table] == [("run", "lora", str(run.steps))]
    assert not {ADA.owner, ADA.owner[:6]} & {cell for one in table for cell in one.values()}


def test_learners_do_not_see_each_others_sets_nor_the_servers(
    context: Context, code: str, tmp_path: Path, sample_store: ModuleType, samples: Samples
) -> None:
    made = sample_store.fill(tmp_path / "made", episodes=2, count=12, size=40)
    shutil.copytree(tmp_path / "made" / "artefacts", context.store.artefacts)
    own = made["place_cube_in_bowl"]
    context.store.owned_by(ADA.owner).claim(own)
    sample = samples[1]["place_cube_in_bowl"]

    def seen(who: Visitor) -> set[str]:
        with asked_by(who):
            return {one.id for one in questions.demonstrations.sets(context)}

    assert own in seen(EVE)  # a server of one's own, before the class
    with asked_by(EVE):
        restore(context, {"class": code}, Memory())  # the link
    with asked_by(ADA):
        classes.join_class(context, code)
    assert own in seen(ADA) and own not in seen(EVE) and own in seen(TEACHER) and sample in seen(EVE)
    with asked_by(EVE):
        with pytest.raises(NotFound, match="not yours to delete"):
            questions.holdings.delete(context, own)
        restore(context, {"class": code, "demonstrations": own}, Memory())
    assert own in seen(EVE)  # the teacher's link opens it
    with asked_by(EVE):
        classes.leave_class(context, code)
    assert made["place_cube_in_bowl"] in seen(EVE)


def test_what_a_class_holds_is_bounded(context: Context, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classbook, "MOST_LEARNERS", 1)
    monkeypatch.setitem(classbook.MOST_ANSWERS, "prediction", 1)
    predict(context, ADA, code, "tie")
    with asked_by(ADA):
        classes.class_prediction(context, code, "control", "same")
    assert len(context.classes.answers(code)) == 1
    with asked_by(EVE), pytest.raises(InputError, match="1 learners, the most"):
        classes.join_class(context, code)
    monkeypatch.setattr(classbook, "MOST_OF_A_TEACHER", 1)
    with asked_by(TEACHER), pytest.raises(InputError, match="the most at a time"):
        classes.make_class(context, "second")
    monkeypatch.setattr(classbook, "MOST_CLASSES", 1)
    with asked_by(EVE), pytest.raises(InputError, match="as many classes"):
        classes.make_class(context, "hers")
    monkeypatch.setattr(classbook, "KEEP_S", -1.0)
    questions.holdings.tend(context)
    with asked_by(TEACHER):
        assert not classes.classes(context)


def test_a_clock_that_jumps_ends_no_class(context: Context, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    predict(context, ADA, code, "tie")
    now_s, jump_s = time.time(), 2 * classbook.KEEP_S
    monkeypatch.setattr(time, "time", lambda: now_s + jump_s)
    context.classes.move_times(jump_s)
    questions.holdings.tend(context)
    assert answers(context, code)["tie"] == 1


def test_deleting_everything_deletes_classes_and_answers(context: Context, code: str) -> None:
    with asked_by(EVE):
        other = classes.make_class(context, "hers").code
    predict(context, ADA, code, "tie")
    predict(context, EVE, code, "lora")
    context.classes.forget(EVE.owner)
    assert [one.answer for one in context.classes.answers(code)] == ["tie"]
    with pytest.raises(NotFound):
        context.classes.entry(other)


def test_a_damaged_list_is_said_and_set_aside(context: Context, code: str) -> None:
    (context.store.root / FILE).write_bytes(b"no database at all" * 100)
    with asked_by(TEACHER):
        with pytest.raises(InputError, match="list of classes was damaged"):
            classes.class_chart(context, code)
        assert not context.store.apart  # said once, and the page goes on
        assert classes.make_class(context, "new").code
    assert list(context.store.root.glob(f"{FILE}.damaged-*"))


def test_codes_are_not_guessed_and_a_table_holds_no_formula(context: Context, code: str) -> None:
    assert len(code) == classbook.CODE_LENGTH and set(code) <= set(classbook.LETTERS)
    assert len(classbook.LETTERS) ** classbook.CODE_LENGTH > 10**13
    with sqlite3.connect(context.store.root / FILE) as db:
        db.execute("INSERT INTO answers VALUES (?, 1, 'vote', '=1+1', '@x', '', 1, 0)", (code,))
    with asked_by(TEACHER):
        assert "'=1+1,'@x" in classes.class_table(context, code)


def test_lessons_name_their_choices_apart_and_say_why_each_is_wrong(context: Context) -> None:
    for lesson in classes.lessons(context):
        names = [one.name for one in lesson.choices]
        assert len(set(names)) == len(names) >= 3 and all(one.why for one in lesson.choices)
        assert lesson.know and lesson.tasks
    assert len({one.id for one in LESSONS}) == len(LESSONS) == 7


def test_nobody_is_apart_where_there_is_no_class(context: Context) -> None:
    with asked_by(ADA):
        assert not context.store.apart and not (context.store.root / FILE).exists()
