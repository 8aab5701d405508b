"""The gateway over a synthetic sample store: what is opened, chosen, counted and submitted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app import session
from app.service import TASKS, UNSEEN_TASK, VARIATIONS, Workbench
from app.tabs import compare, demonstrations, finetune, heads
from steering.errors import SteeringError
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
    assert len(list(bench.previews.folder.glob("*-first.webp"))) == 4


def test_an_empty_store_says_what_to_do(make_bench: Callable[[bool], Workbench]) -> None:
    bench = make_bench(False)
    assert bench.open_set() == ""
    assert "Record" in heads.show(bench, "", 0, "", 16)[0]
    assert "No demonstrations yet" in demonstrations.show_sets(bench, ["", 0])
    assert "Nothing compared yet" in compare.show(bench, ["", 0])[1]
    assert "Results" in finetune.show(bench, "", 16)[1]


def test_unscored_demonstrations_offer_to_find_heads(bench: Workbench, samples: Samples) -> None:
    shown = heads.show(bench, samples[1]["press_button"], 0, "", 16)
    assert shown[4] is None and "Find heads" in shown[5]


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


def test_finetune_submits_one_job_a_method(bench: Workbench, samples: Samples) -> None:
    demonstrations_id = samples[1]["place_cube_in_bowl"]
    bench.finetune("o", demonstrations_id, [Head("vlm", 1, 1)], ["steering", "lora"], FinetuneSettings(steps=7))
    (first, steering), (second, lora) = bench.jobs.submitted  # type: ignore[attr-defined]
    assert first == second == "finetune"
    assert bench.store.load(steering["selection_id"]).heads == (Head("vlm", 1, 1),)
    assert lora["selection_id"] is None and lora["settings"]["steps"] == 7
    with pytest.raises(SteeringError, match="Select heads on the map"):
        bench.finetune("o", demonstrations_id, [], ["steering"], FinetuneSettings())


def test_compare_takes_trained_methods_only(bench: Workbench, samples: Samples) -> None:
    demonstrations_id = samples[1]["place_cube_in_bowl"]
    bench.compare("o", demonstrations_id, "pick_cube", ["zero_shot", "steering"], 4, 0, ["form", "no such"])
    _, asked = bench.jobs.submitted[0]  # type: ignore[attr-defined]
    assert asked["adapters"] == {"zero_shot": None, "steering": samples[1]["steering"]}
    assert asked["variations"] == ["form"]
    with pytest.raises(SteeringError, match="Tick at least one"):
        bench.compare("o", samples[1]["press_button"], "pick_cube", ["lora"], 4, 0, [])


def test_newest_comparison_is_shown_with_videos(bench: Workbench, samples: Samples) -> None:
    form, notice, player, success, cost = compare.show(bench, [samples[1]["place_cube_in_bowl"], 0])
    assert notice == "" and len(player["scenes"]) == 10 and len(player["methods"]) == 3
    flags = [scene["differs"] for scene in player["scenes"]]
    assert flags == sorted(flags, reverse=True) and any(flags)
    assert "8 of 10" in success and "20,000" in cost and "not trained yet" not in form
    assert len(list(bench.previews.folder.glob("*.mp4"))) == 30


def test_settings_from_the_client_stay_in_bounds() -> None:
    settings = finetune.settings_from({"steps": "99999999", "rank": "7", "batch_size": "8", "learning_rate": "inf"})
    assert (
        settings.steps == 3000 and settings.rank == 16 and settings.batch_size == 8 and settings.learning_rate == 1e-3
    )
    assert finetune.settings_from({}) == FinetuneSettings()


def test_browser_memory_is_checked() -> None:
    assert session.as_opened(["demonstrations-1", "2"]) == ("demonstrations-1", 2)
    assert session.as_opened({"x": 1}) == ("", 0) and session.as_opened([["a"], None]) == ("", 0)
    assert session.as_owner("0123456789abcdef") == "0123456789abcdef"
    assert session.as_owner("x") != session.as_owner("x")
    assert session.whole("7.5", 0, 9, 3) == 3 and session.whole(10**30, 0, 9, 3) == 9
    assert session.names(["b", "zz", "a"], ("a", "b")) == ["a", "b"] and session.names("a", ("a",)) == []
