"""The gateway over a synthetic sample store: what is opened, chosen, counted and submitted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app import session
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
    assert len(list(bench.previews.folder.glob("*-first.webp"))) == 4


def test_an_empty_store_says_what_to_do(make_bench: Callable[[bool], Workbench]) -> None:
    bench = make_bench(False)
    assert bench.open_set() == ""
    assert "Record" in heads.show(bench, "", 0, "", 16)[0]
    assert "No demonstrations yet" in demonstrations.show_sets(bench, ["", 0])
    assert "Nothing compared yet" in compare.show(bench, ["", 0], "")[2]
    assert "Results" in finetune.show(bench, ["", 0], "", "", {})[1]


def test_unscored_demonstrations_offer_to_find_heads(bench: Workbench, samples: Samples) -> None:
    shown = heads.show(bench, samples[1]["press_button"], 0, "", 16)
    assert shown[4] is None and "Find heads" in shown[5]


def test_find_heads_goes_on_step_by_step_and_repeats_none(
    bench: Workbench, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[JobLine] = []

    def submit(function: str, *, owner: str, **arguments: object) -> str:
        queued.append(JobLine(str(len(queued)), function, "running", 0, "", 0, function=function, arguments=arguments))
        return queued[-1].id

    def end(function: str, state: str, result: str | None = None) -> None:
        i = next(i for i, one in enumerate(queued) if one.function == function and not one.ended)
        queued[i] = replace(queued[i], state=state, result=result)
        bench.follow("owner", queued)
        bench.follow("owner", queued)

    monkeypatch.setattr(bench.jobs, "submit", submit)
    bench.find_heads("owner", samples[1]["place_cube_in_bowl"])
    bench.follow("owner", queued)
    relevance = samples[1]["relevance"]
    captured = bench.store.manifest(relevance).parents[0]
    end("capture", "done", captured)
    assert [one.arguments.get("preset") for one in queued] == [None, "default"]
    end("score", "done", relevance)
    assert [one.function for one in queued[2:]] == ["score", "attention"] and queued[2].arguments["preset"] == "paper"
    end("score", "done", relevance)
    end("attention", "failed")
    end("trust", "done", samples[1]["trust"])
    assert queued[-1].function == "neighbours" and queued[-1].arguments == {"activations_id": captured}
    end("neighbours", "cancelled")
    assert len(queued) == 6


def test_two_episodes_are_scored_by_the_paper_s_preset_alone(
    bench: Workbench, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steering.relevance.choice.MIN_EPISODES", 4)
    captured = bench.store.manifest(samples[1]["relevance"]).parents[0]
    done = JobLine("0", "", "done", 1, "", 0, result=captured, function="capture")
    bench.follow("owner", [done])
    assert bench.jobs.submitted == [("score", {"activations_id": captured, "preset": "paper"})]  # type: ignore[attr-defined]


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
