"""What is asked below the map, over head outputs in which one head is known to tell the action."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from app import questions
from app.answers.measures import BEST, Measure, parsed
from app.answers.training import TrainingEstimate
from app.questions import training_estimate
from app.questions.context import Context, open_context
from app.questions.measures import LIVE_K, NO_OUTPUTS
from app.tabs import heads
from app.tabs.measures import answer, show_cost, show_menu
from app.views import head_frames, head_map
from app.views import measures_answers as answers
from app.views.measures_menu import what_if
from steering import pipeline
from steering.errors import InputError
from steering.jobs.client import Jobs
from steering.jobs.lock import WorkerLock
from steering.jobs.queue import MAIN, JobStatus, Queue
from steering.progress import Report
from steering.samples import open_store
from steering.store import Store
from steering.types import ACTION_NAMES, FinetuneSettings, GainSweep, Head

TELLS = Head("expert", 3, 2)
PLACE = (1, 3, 2)
FLAT = (1 * 8 + 3) * 8 + 2
LIVE = Measure("knn", "default", "state", "whole", "last_prefix+first_action", "20")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    import importlib.util

    spec = importlib.util.spec_from_file_location("measures_store", Path(__file__).parent / "measures_store.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    root = tmp_path_factory.mktemp("measures")
    return root, module.fill(root, episodes=5, count=16, size=32)


@pytest.fixture
def lab(filled: tuple[Path, dict[str, str]], make_bench: Callable[[bool], Context], tmp_path: Path) -> Context:
    context = make_bench(False)
    store = Store(tmp_path / "other", readonly=[filled[0]])
    return open_context(store, context.jobs, context.policy)


def opened(filled: tuple[Path, dict[str, str]]) -> str:
    return filled[1]["place_cube_in_bowl"]


def test_keys_of_measures_come_back_and_old_links_still_fit() -> None:
    assert parsed(LIVE.key) == LIVE
    assert replace(LIVE, k=BEST).key.count(".") == 4 and parsed(replace(LIVE, k=BEST).key) == replace(LIVE, k=BEST)
    for wrong in ("", "knn", "a.b.c.d.e.f.g", LIVE.key.replace("20", "x")):
        assert parsed(wrong) is None


def test_kept_neighbours_answer_other_questions(lab: Context, filled: Any) -> None:
    found = questions.measures.relevance(lab, opened(filled), LIVE.key)
    assert found is not None and "state" in found.target
    again = questions.measures.relevance(lab, opened(filled), replace(LIVE, target="action").key)
    assert again is not None and np.unravel_index(again.score.argmax(), again.score.shape) == PLACE
    shown = questions.measures.shown(lab, opened(filled), LIVE.key)
    assert shown == LIVE
    for asked in ({"k": "7"}, {"target": "object"}, {"tokens": "state+state"}, {"phase": "x"}):
        assert questions.measures.answered(lab, opened(filled), replace(LIVE, **asked).key) is None
    assert (
        questions.link.restore(lab, {"metric": LIVE.key}, questions.link.Memory([opened(filled), 0])).measure
        == LIVE.key
    )


def test_choosing_a_field_prefers_what_is_stored(lab: Context, filled: Any) -> None:
    available = tuple(questions.measures.stored(lab, opened(filled)))
    own = next(one for one in available if one.preset == "default" and one.target == "action")
    assert questions.measures.asked(lab, opened(filled), available, own, "target", "state") == LIVE
    assert questions.measures.asked(lab, opened(filled), available, LIVE, "target", "action") == own
    assert (
        questions.measures.asked(lab, opened(filled), available, own, "metric", "attribution_patching").preset
        == "policy"
    )
    assert questions.measures.asked(lab, opened(filled), available, own, "k", "10").k == "10"


def test_every_stored_measure_is_shown_beside_every_other(lab: Context, filled: Any) -> None:
    keys = [one.key for one in questions.measures.stored(lab, opened(filled))]
    assert len(keys) >= 4
    for key in keys:
        for beside in keys:
            value = heads.show(lab, opened(filled), "", key, beside)[4]
            assert value["measure"] == key and (value["second"] is None) == (key == beside)
            assert len(value["sentence"]) == 128
    policy = next(key for key in keys if "policy" in key)
    value = heads.show(lab, opened(filled), "", policy)[4]
    low, score = value["trust"]["low"][FLAT], value["score"][FLAT]
    assert low == pytest.approx(score - 1.96 * 4e-4, rel=1e-2) and value["trust"]["p"] is None


def test_wide_intervals_are_unstable(lab: Context, filled: Any) -> None:
    relevance, trust = lab.store.kept(filled[1]["own"]), lab.store.kept(filled[1]["own_trust"])
    sure = replace(
        trust,
        score_low=relevance.score.copy(),
        score_high=relevance.score.copy(),
        chosen_share=np.ones_like(trust.chosen_share),
    )
    assert not any(head_map._trust(sure, relevance)["doubtful"])
    wide = sure.score_high.copy()
    wide[PLACE] += 50
    found = head_map._trust(replace(sure, score_high=wide), relevance)["doubtful"]
    assert found.index(True) == FLAT and sum(found) == 1


def test_a_score_is_as_sure_as_its_interval_stays_away_from_0() -> None:
    low, high, score = np.array([[0.2, 0.1, -0.1, -0.3, 0.0], [0.2, 0.3, 0.3, -0.1, 0.1], [0.2, 0.2, 0.1, -0.2, 0.0]])
    assert head_map._sure(low, high, score) == [1.0, 0.5, 0.0, 0.5, 0.0]


def test_why_holds_neighbours_of_other_episodes_and_predicts_the_action(lab: Context, filled: Any) -> None:
    asked = {"kind": "why", "head": FLAT, "frame": 3, "serial": 4}
    given = answer(lab, [opened(filled), 1], "", "", "", asked)
    assert given["serial"] == 4
    frames = given["why"]["frames"]
    assert len(frames) == lab.store.kept(opened(filled)).episodes[1].frames
    assert all(episode != 1 for one in frames for episode, _, _ in one["near"])
    miss = np.array([one["predicted"] for one in frames]) - np.array([one["true"] for one in frames])
    assert (miss**2).mean() < 0.7  # 1 is the mean action's
    sheet = given["why"]["atlas"]
    assert sheet["starts"][1] == lab.store.kept(opened(filled)).episodes[0].frames and sheet["url"].endswith(
        "atlas.webp"
    )


def test_questions_without_head_outputs_say_what_to_press(context: Context, samples: Any) -> None:
    button = samples[1]["press_button"]
    for kind in ("why", "frames"):
        assert answer(context, [button, 0], "", "", "", {"kind": kind})["empty"] == NO_OUTPUTS
        assert answer(context, [button, 0], "", "", "", {"kind": kind})["offer"]["metric"] == "knn"
    assert "one measure only" in answer(context, [button, 0], "", "", "", {"kind": "two"})["empty"]
    assert questions.choosing.set_error(context, button, "", (TELLS,)) is None
    assert "k-NN beyond" in show_menu(context, [button, 0], "")


def test_hostile_questions_are_answered_within_range(lab: Context, filled: Any) -> None:
    for asked in ({}, {"kind": "x", "head": -5, "frame": "1e9"}, {"kind": "frames", "head": "0"}, {"kind": "two"}):
        assert {"kind", "serial"} <= set(answer(lab, [opened(filled), 10**6], "..", "..", "zz", asked))


def test_all_frames_of_a_head_add_up_to_its_score(lab: Context, filled: Any) -> None:
    given = answer(lab, [opened(filled), 0], LIVE.key, "", "", {"kind": "frames", "head": FLAT})["frames"]
    frames = lab.store.kept(opened(filled)).episodes
    count = sum(one.frames for one in frames)
    assert all(len(given[name]) == count for name in ("x", "y", "episode", "frame", "phase", "share", "tenth"))
    score = questions.measures.rescored(lab, opened(filled), LIVE).score[PLACE]
    assert np.mean(given["share"]) == pytest.approx(score, abs=2e-3)
    means = [mean for mean, _ in given["tenths"]]
    assert means == sorted(means) and sum(n for _, n in given["tenths"]) == count
    assert np.dot(means, [n for _, n in given["tenths"]]) / count == pytest.approx(score, abs=2e-3)
    assert f"Its score {score:.2f}".replace("-", "−") in given["lines"][0] and len(given["lines"]) == 1
    losses = [share for _, _, share, _ in given["worst"]]
    assert losses == sorted(losses) and max(losses, default=-1) < 0
    for i, (episode, frame, *_) in enumerate(given["worst"]):
        assert all(e != episode or abs(f - frame) >= head_frames.APART for e, f, *_ in given["worst"][:i])


def test_where_k_was_chosen_the_score_of_all_frames_is_the_one_shown(lab: Context, filled: Any) -> None:
    for shown in questions.measures.stored(lab, opened(filled)):
        if shown.metric == "knn" and shown.preset == "default":
            relevance = questions.measures.scored(lab, opened(filled), shown.key)
            scored = questions.heads.by_frame(lab, opened(filled), TELLS, shown)
            assert scored.k == relevance.best_k["expert"]
            assert scored.share.mean() == pytest.approx(relevance.score[PLACE], abs=2e-3)
            return
    raise AssertionError("no strict score is stored")


def test_outcomes_are_offered_and_compared_where_there_are_both(lab: Context, filled: Any) -> None:
    scored = questions.heads.by_frame(lab, opened(filled), TELLS, LIVE)
    failing = replace(scored, error=np.where(scored.episode < 2, 5 * scored.zero_error, 0 * scored.error))
    outcomes = [False, False, True, True, None]
    gap = questions.heads.outcome_gap(failing, outcomes)
    assert gap is not None and (gap.failures, gap.successes) == (2, 2)
    assert gap.failed < 0 < gap.low < gap.succeeded - gap.failed < gap.high
    assert questions.heads.outcome_gap(failing, [True] * 5) is None
    projected, sheet = questions.heads.projection(lab, opened(filled), TELLS), {"step": 1}
    assert head_frames.head_frames(projected, failing, [True] * 5, sheet)["outcomes"] is None
    told = head_frames.head_frames(projected, failing, outcomes, sheet, gap)
    assert told["outcomes"] == outcomes and "2 episodes that fail" in told["lines"][1]


def test_a_policys_own_failures_and_successes_are_compared(lab: Context, filled: Any) -> None:
    value = lab.store.load(opened(filled))
    won = tuple(replace(one, success=i > 1, phase=None) for i, one in enumerate(value.episodes))
    acted = replace(value, episodes=won, policy="embedded")
    made = lab.store.save("demonstrations", acted, params={"task": value.task, "by": "policy", "adapter": None})
    captured = lab.store.load(filled[1]["captured"])
    kept = lab.store.save("activations", captured, parents=[made], params={"stride": 1, "policy": lab.policy})
    pipeline.neighbours(lab.store, activations_id=kept)
    given = answer(lab, [made, 0], LIVE.key, "", "", {"kind": "frames", "head": FLAT})["frames"]
    assert given["outcomes"] == [False, False, True, True, True]
    assert "In the 2 episodes that fail its mean is" in given["lines"][1] and "interval" in given["lines"][1]


def test_two_measures_give_points_and_agreement(lab: Context, filled: Any) -> None:
    keys = [one.key for one in questions.measures.stored(lab, opened(filled))]
    given = answer(lab, [opened(filled), 0], keys[0], keys[-1], "", {"kind": "two"})
    assert len(given["lines"]) == 2 and "Spearman" in given["lines"][0]
    assert sum(len(curve["x"]) for curve in given["figure"]["data"]) == 120
    assert len(given["figure"]["data"][1]["customdata"][0]) == 3


def test_a_set_with_the_head_that_tells_has_the_lower_error(lab: Context, filled: Any) -> None:
    good = questions.choosing.set_error(lab, opened(filled), "", (TELLS,))
    bad = questions.choosing.set_error(lab, opened(filled), "", (Head("expert", 0, 0),))
    assert good is not None and bad is not None and good.error < 0.8 * bad.error
    line = what_if([3], 2560, 573440, 16, good, TrainingEstimate(61.0, 2048.0, 300, 2))
    assert 'data-parameters="2560" data-lora="573440"' in line and "2,560 parameters at rank 16" in line
    assert "61 s" in line and "2.0 GB" in line and "estimate from 2 measured runs" in line and "Held-out" in line


def test_the_estimate_is_of_measured_runs_and_rough_before_any(lab: Context) -> None:
    vlm = training_estimate.estimate(lab.store, lab.policy, (Head("vlm", 2, 0),))
    assert vlm is not None and vlm.runs == 1
    assert vlm.seconds == pytest.approx(41.0)  # the run of the sample store, of the default length and batch
    empty = Store(lab.store.root / "empty")
    rough = training_estimate.estimate(empty, lab.policy, (TELLS,))
    card = training_estimate.estimate_for(empty, lab.policy, lab.size, "steering", FinetuneSettings(), (TELLS,))
    assert rough == card and rough is not None and rough.runs == 0 and rough.seconds > 0
    assert "(rough, no run measured yet)" in what_if([3], 2560, 573440, 16, None, rough)
    assert training_estimate.estimate(empty, lab.policy, (Head("vlm", 7, 0),)) is None  # reaches no action
    assert "reach no action" in what_if([3], 0, 573440, 16, None, None)


def test_an_error_is_said_in_the_panel_that_waits(lab: Context, filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(questions.heads, "why", fail)
    monkeypatch.setattr(questions.choosing, "set_error", fail)
    given = answer(lab, [opened(filled), 0], "", "", "", {"kind": "why", "serial": 7, "turn": 2})
    assert given["serial"] == 7 and given["turn"] == 2 and "did not foresee (RuntimeError)" in given["empty"]
    assert "did not foresee (RuntimeError)" in show_cost(lab, opened(filled), "", 16, [FLAT])
    gone = answer(lab, ["demonstrations-0000000000000000", 0], "", "", "", {"kind": "gain"})
    assert "may have been deleted" in gone["empty"]


def test_what_the_policy_works_out_says_how_long_and_can_be_stopped(filled: Any, tmp_path: Path, lab: Context) -> None:
    store = Store(tmp_path / "queued", readonly=[filled[0]])
    queue, jobs, worker = Queue(store.root), Jobs(store), WorkerLock(store.root, MAIN)
    assert worker.acquire()  # this test is the worker
    try:
        lab = open_context(store, jobs, lab.policy)
        asked = {"kind": "words", "frame": 3}
        first = answer(lab, [opened(filled), 0], "", "", "", asked)
        assert first["pending"] == "Starting" and first["left"] == ""
        running = queue.claim()
        assert running is not None and running.id == first["job"]
        queue.report(running.id, Report(0.5, "Loading the policy", left_s=8.0))
        later = answer(lab, [opened(filled), 0], "", "", "", asked)
        assert (later["pending"], later["left"]) == ("Loading the policy", "8 s left")
        questions.jobs.stop(lab, running.id)
        assert jobs.status(running.id).cancel_requested
    finally:
        worker.release()


def test_rules_above_chance_and_within_a_budget(lab: Context, filled: Any) -> None:
    own = next(
        m.key for m, found in questions.measures.stored(lab, opened(filled)).items() if found == filled[1]["own"]
    )
    assert TELLS in questions.choosing.above_null(lab, opened(filled), own, ("expert",))
    with pytest.raises(InputError, match="Intervals and chance"):
        questions.choosing.above_null(lab, opened(filled), LIVE.key.replace("state", "chunk"), ("expert",))
    chosen = questions.choosing.within(lab, opened(filled), own, 20_000, 16, ("expert",))
    more = questions.choosing.within(lab, opened(filled), own, 40_000, 16, ("expert",))
    assert lab.size.steering(chosen, 16) <= 20_000 < lab.size.steering(more, 16) and set(chosen) < set(more)
    with pytest.raises(InputError, match="another task"):
        questions.choosing.other_task(lab, opened(filled), own, 5, ("vlm",))


def test_measuring_starts_the_right_jobs(lab: Context, filled: Any) -> None:
    questions.measures.start(lab, opened(filled), "mean_ablation", "default", "action", "whole")
    questions.measures.start(lab, opened(filled), "ridge", "default", "state", "grasp")
    own = next(m for m, found in questions.measures.stored(lab, opened(filled)).items() if found == filled[1]["own"])
    questions.measures.start_trust(lab, opened(filled), own)
    questions.measures.start_trust(lab, opened(filled), LIVE)
    questions.choosing.greedy(lab, opened(filled), own.key, 3, ("vlm",))
    submitted = lab.jobs.submitted  # type: ignore[attr-defined]
    assert [name for name, _ in submitted] == ["attribute", "measure", "trust", "measure", "select"]
    assert submitted[1][1]["phase"] == "grasp" and submitted[3][1]["trusted"] and submitted[3][1]["target"] == "state"
    assert questions.measures.of_result(lab, opened(filled), filled[1]["own_trust"]) == own.key


def test_the_strip_of_the_head_that_tells_is_high(lab: Context, filled: Any) -> None:
    own = next(m for m, found in questions.measures.stored(lab, opened(filled)).items() if found == filled[1]["own"])
    over = questions.measures.over_time(lab, opened(filled), own)
    assert over is not None
    drawn = answers.strip(over)
    rows = np.array([[np.nan if v is None else v for v in row] for row in drawn["score"]])
    assert rows.shape == (128, 20) and np.nanmean(rows, 1).argmax() == FLAT


def test_a_strip_that_is_stored_needs_no_neighbours(lab: Context, filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    own = next(m for m, found in questions.measures.stored(lab, opened(filled)).items() if found == filled[1]["own"])
    k, preset, target = questions.measures.asked_of_neighbours(lab, opened(filled), own)
    over = questions.measures.over_time(lab, opened(filled), own)
    params = {"k": k, "preset": preset, "target": target}
    stored = lab.store.save("over_time", over, parents=[filled[1]["captured"]], params=params)
    monkeypatch.setattr(questions.measures, "_over_time", None)
    found = questions.measures.over_time(lab, opened(filled), own)
    assert found is not None and found is lab.store.kept(stored)
    lab.store.delete(stored)


def test_a_sweep_says_how_far_the_action_moves() -> None:
    rng = np.random.default_rng(0)
    chunk = np.repeat(rng.normal(size=(1, 10, 7)), 3, 0).astype(np.float32)
    chunk[0] += 0.5
    names = ACTION_NAMES
    found = GainSweep(TELLS, 0, 3, (0.0, 1.0, 2.0), chunk, chunk[1, :4], np.full(7, 0.5, np.float32), names)
    drawn = answers.sweep(found)
    assert drawn["change"] == pytest.approx([1, 0, 0], abs=1e-3) and drawn["paths"] == {}
    assert drawn["names"][0] == "Δx" and len(drawn["mean"]) == 3


def test_the_shipped_samples_answer_without_a_measurement(
    tmp_path: Path, make_bench: Callable[[bool], Context]
) -> None:
    """Everything of the first screen that needs no policy, by both of its k-NN measures."""
    context = open_context(open_store(tmp_path / "own"), make_bench(False).jobs)
    demonstrations_id = questions.demonstrations.open_set(context)
    measures = questions.measures.stored(context, demonstrations_id)
    assert [(one.metric, one.preset) for one in measures] == [
        ("knn", "default"),
        ("knn", "paper"),
        ("gradient_activation", "policy"),
    ]
    chosen = context.store.kept(context.store.find("selection")[0].id).heads
    for measure, found in list(measures.items())[:2]:
        assert questions.measures.trust_of(context, found) is not None
        over_time = questions.measures.over_time(context, demonstrations_id, measure)
        assert over_time is not None and over_time.score.shape == (20, 2, 8, 8) and over_time.k == LIVE_K
        error = questions.choosing.set_error(context, demonstrations_id, measure.key, chosen)
        assert error is not None and 0 < error.error < 1
    assert (
        len(questions.heads.why(context, demonstrations_id, TELLS, 0))
        == questions.demonstrations.card(context, demonstrations_id).frames[0]
    )
    assert questions.heads.projection(context, demonstrations_id, TELLS).points.shape[1] == 2


def test_what_a_job_measured_is_taken_over_once_however_late() -> None:
    """By when it ended, not by how long ago that is: a page that was opened since, or has taken it, stays as it is."""
    times = {"created_s": 400.0, "started_s": 450.0, "ended_s": 500.0}
    told = {"position": 0, "fraction": 1.0, "message": "", "left_s": None, "metrics": (), "error": None}
    job = JobStatus("7", "", "select", {}, "done", result="selection-1", cancel_requested=False, **told, **times)
    recent: list[JobStatus] = [job]
    context: Any = SimpleNamespace(jobs=SimpleNamespace(recent=lambda owner, limit: recent[:limit]))
    found = questions.measures.just_measured(context, 499.0)
    assert found is not None and (found.function, found.result) == ("select", "selection-1")
    assert questions.measures.just_measured(context, found.ended_s) is None
    for other in (replace(job, function="finetune"), replace(job, result=None), replace(job, ended_s=None)):
        recent[:] = [other]
        assert questions.measures.just_measured(context, 0.0) is None
