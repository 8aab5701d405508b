"""The gateway over a synthetic sample store: what is opened, chosen, counted and submitted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app import link, session, training_form
from app.head_sets import HeadSet
from app.service import TASKS, UNSEEN_TASK, VARIATIONS, Workbench
from app.tabs import compare, demonstrations, finetune, heads
from app.views.jobs import JobLine
from steering.types import FinetuneSettings, Head

Samples = tuple[Path, dict[str, str]]


def test_importing_the_page_loads_no_heavy_library() -> None:
    code = "import app.main, sys; print([m for m in ('torch', 'mujoco', 'transformers') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_names_of_tasks_are_those_of_the_simulator() -> None:
    tasks = pytest.importorskip("steering.simulation.tasks", reason="needs MuJoCo's libraries")
    assert set(TASKS) == set(tasks.BENCH_TASKS)
    assert tasks.UNSEEN_TASK == UNSEEN_TASK
    assert tasks.VARIATIONS == VARIATIONS


def test_the_scored_sample_opens_first(bench: Workbench, samples: Samples) -> None:
    assert bench.open_set() == samples[1]["place_cube_in_bowl"]
    assert bench.open_set("demonstrations-0000000000000000") == samples[1]["place_cube_in_bowl"]
    assert bench.open_set(samples[1]["press_button"]) == samples[1]["press_button"]


def test_cards_tell_samples_and_scores(bench: Workbench, samples: Samples) -> None:
    cards = {card.task: card for card in bench.sets()}
    assert cards["place_cube_in_bowl"].scored and cards["place_cube_in_bowl"].sample
    assert not cards["press_button"].scored
    shown = demonstrations.show_sets(bench, [samples[1]["press_button"], 0])
    assert shown.count('data-action="find"') == 1
    assert shown.count("/first.webp") == 4


def test_an_empty_store_says_what_to_do(make_bench: Callable[[bool], Workbench]) -> None:
    bench = make_bench(False)
    assert bench.open_set() == ""
    assert "Record" in heads.show(bench, "", "")[0]
    assert "No demonstrations yet" in demonstrations.show_sets(bench, ["", 0])
    assert "Nothing compared yet" in compare.show(bench, ["", 0], "")[2]
    assert "Results" in finetune.show(bench, ["", 0], "", None, "", {})[1]


def test_unscored_demonstrations_offer_to_find_heads(bench: Workbench, samples: Samples) -> None:
    shown = heads.show(bench, samples[1]["press_button"], "")
    assert shown[4] is None and "Find heads" in shown[5]


def test_the_address_names_the_measure_that_is_shown(bench: Workbench, samples: Samples) -> None:
    scored, unscored = samples[1]["place_cube_in_bowl"], samples[1]["press_button"]
    own = next(iter(bench.measures(scored))).key
    assert link.header_of(bench, [scored, 0], HeadSet(), "").query["metric"] == own
    assert link.header_of(bench, [scored, 0], HeadSet(), "gradient.of.another.set").query["metric"] == own
    assert link.header_of(bench, [unscored, 0], HeadSet(), own).query["metric"] == ""


def test_a_drawing_does_not_choose_heads_and_a_rule_does(bench: Workbench, samples: Samples) -> None:
    made = samples[1]["place_cube_in_bowl"]
    shown = [heads.show(bench, made, "", chosen=chosen)[4] for chosen in (False, True)]
    assert shown[0]["version"] == 0 != shown[1]["version"] and shown[0]["demonstrations"] == made


def test_as_many_heads_are_chosen_as_can_move_an_action(bench: Workbench, samples: Samples) -> None:
    made = samples[1]["place_cube_in_bowl"]
    asked = {"rule": "bottom", "count": "900"}
    for stacks, most in (("vlm", 56), ("expert", 64), ("both", 120)):
        rule, count, named = heads.rule_of(bench, made, "", {**asked, "stacks": stacks})
        assert (rule, count) == ("bottom", most)
        assert len(bench.auto_select(made, count, named, rule=rule)) == most
    assert 'max="120"' in heads.show(bench, made, "")[3]


def test_keyframes_of_an_episode_are_marked(bench: Workbench, samples: Samples) -> None:
    made = samples[1]["place_cube_in_bowl"]
    value, marked = heads.show_episode(bench, made, 1), bench.keyframes(made, 1)
    assert value is not None and value["keyframes"][0][0] == 0 and value["keyframes"][-1][1] == value["frames"]
    assert sum(end - start for start, end in value["keyframes"]) == marked.sum() < value["frames"]


def test_find_heads_is_one_job_that_the_page_only_watches(bench: Workbench, samples: Samples) -> None:
    made = samples[1]["place_cube_in_bowl"]
    job = bench.find_heads("owner", made)
    asked = bench.jobs.submitted  # type: ignore[attr-defined]
    assert asked == [("find_heads", {"demonstrations_id": made, "policy": bench.policy})]
    done = JobLine(
        job, "", "done", 1, "", 0, result=samples[1]["relevance"], function="find_heads", arguments=asked[0][1]
    )
    bench.follow([done])
    bench.follow([done])
    assert len(asked) == 1


def test_auto_select_takes_the_best_heads(bench: Workbench, samples: Samples) -> None:
    chosen = bench.auto_select(samples[1]["place_cube_in_bowl"], 5, ("expert",))
    relevance = bench.relevance(samples[1]["place_cube_in_bowl"])
    assert relevance is not None
    worst = min(relevance.score[1, head.layer, head.head] for head in chosen)
    assert (relevance.score[1] >= worst).sum() == 5
    assert len(bench.auto_select(samples[1]["place_cube_in_bowl"], 999, ("vlm",))) == 56  # inert ones stay out


def test_head_sets_travel_as_digits(bench: Workbench) -> None:
    chosen = (Head("vlm", 0, 1), Head("expert", 7, 7))
    assert bench.heads(bench.digits(chosen)) == chosen
    assert bench.digits(()) == "" and bench.heads("") == ()
    for wrong in ("zz", "f" * 32 + "0", "<script>", "f" * 72):
        assert bench.heads(wrong) == ()


def test_settings_from_the_client_stay_in_bounds() -> None:
    settings = training_form.read(
        {"steps": "99999999", "rank": "7", "batch_size": "8", "learning_rate": "inf"}
    ).settings
    assert (
        settings.steps == 3000 and settings.rank == 16 and settings.batch_size == 8 and settings.learning_rate == 1e-3
    )
    assert training_form.read({}).settings == FinetuneSettings()


def test_browser_memory_is_checked() -> None:
    assert session.as_opened(["demonstrations-1", "2"]) == ("demonstrations-1", 2)
    assert session.as_opened({"x": 1}) == ("", 0) and session.as_opened([["a"], None]) == ("", 0)
    assert session.whole("7.5", 0, 9, 3) == 3 and session.whole(10**30, 0, 9, 3) == 9
    assert session.names(["b", "zz", "a"], ("a", "b")) == ["a", "b"] and session.names("a", ("a",)) == []


def test_attention_is_kept_without_its_images(bench: Workbench, samples: Samples) -> None:
    whole = bench.store.load(samples[1]["attention"])
    found = bench.attention(samples[1]["place_cube_in_bowl"], 0)
    assert found is not None and found[0] == samples[1]["attention"]
    assert (
        found[1].image.nbytes == 0 and found[1].image.base is None and found[1].image.shape[1:] == whole.image.shape[1:]
    )
    assert (found[1].mass == whole.mass).all() and found[1].grid == whole.grid
    again = bench.attention(samples[1]["place_cube_in_bowl"], 0)
    assert again is not None and again[1] is found[1]


def test_the_measure_says_what_it_is_measured_on(bench: Workbench, samples: Samples) -> None:
    made = samples[1]["place_cube_in_bowl"]
    said = [heads.show(bench, made, "", one.key)[2].replace("\u00a0", " ") for one in bench.measures(made)]
    frames = sum(bench.card(made).frames)
    assert all(f"All {frames} frames count, " in one and "of the variance" in one for one in said)
    paper = next(one for one in bench.measures(made) if (one.preset, one.target) == ("paper", "action"))
    assert "gripper is" in heads.show(bench, made, "", paper.key)[2]
