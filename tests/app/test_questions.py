"""The gateway over a synthetic sample store: what is opened, chosen, counted and submitted."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from app import questions, untrusted
from app.answers.jobs import JobLine
from app.questions import training_form
from app.questions.context import Context, Memory, remembered
from app.questions.demonstrations import TASKS, UNSEEN_TASK, VARIATIONS
from app.questions.head_sets import HeadSet
from app.tabs import compare, demonstrations, finetune, heads
from steering.errors import InputError
from steering.types import Demonstrations, FinetuneSettings, Head, Relevance

Samples = tuple[Path, dict[str, str]]


def test_names_of_tasks_are_those_of_the_simulator() -> None:
    tasks = pytest.importorskip("steering.simulation.tasks", reason="needs MuJoCo's libraries")
    assert set(TASKS) == set(tasks.BENCH_TASKS)
    assert tasks.UNSEEN_TASK == UNSEEN_TASK
    assert tasks.VARIATIONS == VARIATIONS


def test_the_scored_sample_opens_first(context: Context, samples: Samples) -> None:
    assert questions.demonstrations.open_set(context) == samples[1]["place_cube_in_bowl"]
    assert (
        questions.demonstrations.open_set(context, "demonstrations-0000000000000000")
        == samples[1]["place_cube_in_bowl"]
    )
    assert questions.demonstrations.open_set(context, samples[1]["press_button"]) == samples[1]["press_button"]


def test_cards_tell_samples_and_scores(context: Context, samples: Samples) -> None:
    cards = {card.task: card for card in questions.demonstrations.sets(context)}
    assert cards["place_cube_in_bowl"].scored and cards["place_cube_in_bowl"].sample
    assert not cards["press_button"].scored
    shown = demonstrations.show_sets(context, [samples[1]["press_button"], 0])
    assert shown.count('data-action="find"') == 1
    assert shown.count("/first.webp") == 4


def test_an_empty_store_says_what_to_do(make_bench: Callable[[bool], Context]) -> None:
    context = make_bench(False)
    assert questions.demonstrations.open_set(context) == ""
    assert "Record" in heads.show(context, "", "")[0]
    assert "No demonstrations yet" in demonstrations.show_sets(context, ["", 0])
    assert "Nothing compared yet" in compare.show(context, ["", 0], "")[2]
    assert "Results" in finetune.show(context, ["", 0], "", None, "", {})[1]


def test_unscored_demonstrations_offer_to_find_heads(context: Context, samples: Samples) -> None:
    shown = heads.show(context, samples[1]["press_button"], "")
    assert shown[4] is None and "Find heads" in shown[5]


def test_the_address_names_the_measure_that_is_shown(context: Context, samples: Samples) -> None:
    scored, unscored = samples[1]["place_cube_in_bowl"], samples[1]["press_button"]
    own = next(iter(questions.measures.stored(context, scored))).key
    assert questions.link.header_of(context, [scored, 0], HeadSet(), "").query["metric"] == own
    assert questions.link.header_of(context, [scored, 0], HeadSet(), "gradient.of.another.set").query["metric"] == own
    assert questions.link.header_of(context, [unscored, 0], HeadSet(), own).query["metric"] == ""


def test_a_drawing_does_not_choose_heads_and_a_rule_does(context: Context, samples: Samples) -> None:
    made = samples[1]["place_cube_in_bowl"]
    shown = [heads.show(context, made, "", chosen=chosen)[4] for chosen in (False, True)]
    assert shown[0]["version"] == 0 != shown[1]["version"] and shown[0]["demonstrations"] == made


def test_as_many_heads_are_chosen_as_can_move_an_action(context: Context, samples: Samples) -> None:
    made = samples[1]["place_cube_in_bowl"]
    asked = {"rule": "bottom", "count": "900"}
    for stacks, most in (("vlm", 56), ("expert", 64), ("both", 120)):
        rule, count, named = heads.rule_of(context, made, "", {**asked, "stacks": stacks})
        assert (rule, count) == ("bottom", most)
        assert len(questions.choosing.auto_select(context, made, count, named, rule=rule)) == most
    assert 'max="120"' in heads.show(context, made, "")[3]


def test_keyframes_of_an_episode_are_marked(context: Context, samples: Samples) -> None:
    made = samples[1]["place_cube_in_bowl"]
    value, marked = heads.show_episode(context, made, 1), questions.demonstrations.keyframes(context, made, 1)
    assert value is not None and value["keyframes"][0][0] == 0 and value["keyframes"][-1][1] == value["frames"]
    assert sum(end - start for start, end in value["keyframes"]) == marked.sum() < value["frames"]


def test_find_heads_is_one_job_that_the_page_only_watches(context: Context, samples: Samples) -> None:
    made = samples[1]["place_cube_in_bowl"]
    job = questions.measures.find_heads(context, made)
    asked = context.jobs.submitted  # type: ignore[attr-defined]
    assert asked == [("find_heads", {"demonstrations_id": made, "policy": context.policy})]
    done = JobLine(
        job, "", "done", 1, "", 0, result=samples[1]["relevance"], function="find_heads", arguments=asked[0][1]
    )
    questions.ahead.follow(context, [done])
    questions.ahead.follow(context, [done])
    assert len(asked) == 1


def test_auto_select_takes_the_best_heads(context: Context, samples: Samples) -> None:
    chosen = questions.choosing.auto_select(context, samples[1]["place_cube_in_bowl"], 5, ("expert",))
    relevance = questions.measures.relevance(context, samples[1]["place_cube_in_bowl"])
    assert relevance is not None
    worst = min(relevance.score[1, head.layer, head.head] for head in chosen)
    assert (relevance.score[1] >= worst).sum() == 5
    assert (
        len(questions.choosing.auto_select(context, samples[1]["place_cube_in_bowl"], 999, ("vlm",))) == 56
    )  # inert ones stay out


def test_head_sets_travel_as_digits(context: Context) -> None:
    chosen = (Head("vlm", 0, 1), Head("expert", 7, 7))
    assert questions.head_sets.heads_of(context, questions.head_sets.digits_of(context, chosen)) == chosen
    assert questions.head_sets.digits_of(context, ()) == "" and questions.head_sets.heads_of(context, "") == ()
    for wrong in ("zz", "f" * 32 + "0", "<script>", "f" * 72):
        assert questions.head_sets.heads_of(context, wrong) == ()


def test_settings_from_the_client_stay_in_bounds() -> None:
    settings = training_form.read(
        {"steps": "99999999", "rank": "7", "batch_size": "8", "learning_rate": "inf"}
    ).settings
    assert (
        settings.steps == 3000 and settings.rank == 16 and settings.batch_size == 8 and settings.learning_rate == 1e-3
    )
    assert training_form.read({}).settings == FinetuneSettings()


def test_browser_memory_is_checked() -> None:
    assert untrusted.as_opened(["demonstrations-1", "2"]) == ("demonstrations-1", 2)
    assert untrusted.as_opened({"x": 1}) == ("", 0) and untrusted.as_opened([["a"], None]) == ("", 0)
    assert untrusted.whole("7.5", 0, 9, 3) == 3 and untrusted.whole(10**30, 0, 9, 3) == 9
    assert untrusted.names(["b", "zz", "a"], ("a", "b")) == ["a", "b"] and untrusted.names("a", ("a",)) == []


def test_attention_is_kept_without_its_images(context: Context, samples: Samples) -> None:
    whole = context.store.load(samples[1]["attention"])
    found = questions.heads.attention(context, samples[1]["place_cube_in_bowl"], 0)
    assert found is not None and found[0] == samples[1]["attention"]
    assert (
        found[1].image.nbytes == 0 and found[1].image.base is None and found[1].image.shape[1:] == whole.image.shape[1:]
    )
    assert (found[1].mass == whole.mass).all() and found[1].grid == whole.grid
    again = questions.heads.attention(context, samples[1]["place_cube_in_bowl"], 0)
    assert again is not None and again[1] is found[1]


def test_the_measure_says_what_it_is_measured_on(context: Context, samples: Samples) -> None:
    made = samples[1]["place_cube_in_bowl"]
    said = [
        heads.show(context, made, "", one.key)[2].replace("\u00a0", " ")
        for one in questions.measures.stored(context, made)
    ]
    frames = sum(questions.demonstrations.card(context, made).frames)
    assert all(f"All {frames} frames count, " in one and "of the variance" in one for one in said)
    paper = next(
        one for one in questions.measures.stored(context, made) if (one.preset, one.target) == ("paper", "action")
    )
    assert "gripper is" in heads.show(context, made, "", paper.key)[2]


def test_what_is_loaded_is_of_the_kind_that_was_asked(context: Context, samples: Samples) -> None:
    assert context.load(samples[1]["press_button"], Demonstrations).episodes
    with pytest.raises(InputError, match="Expected Relevance, but demonstrations-.* holds Demonstrations"):
        context.load(samples[1]["press_button"], Relevance)


def test_the_newest_answers_are_remembered_by_context_until_they_are_forgotten(context: Context) -> None:
    asked = []

    @remembered(2)
    def double(_: Context, number: int, plus: int = 0) -> int:
        asked.append(number)
        return 2 * number + plus

    assert [double(context, 1), double(context, 2), double(context, 1), double(context, 3)] == [2, 4, 2, 6]
    assert asked == [1, 2, 3]
    assert double(context, 1) == 2 and double(context, 1, plus=1) == 3 and asked == [1, 2, 3, 1]
    assert double(replace(context, memory=Memory()), 1) == 2 and asked[4:] == [1]
    context.forget()
    assert double(context, 1) == 2 and asked[5:] == [1]


def test_what_many_ask_at_once_is_worked_out_once(context: Context) -> None:
    asked = []

    @remembered(2)
    def slow(_: Context, number: int) -> int:
        asked.append(number)
        time.sleep(0.05)
        return number

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda _: slow(context, 7), range(8))) == [7] * 8
    assert asked == [7]
