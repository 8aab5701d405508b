"""The Compare step without a browser: what is shown and offered, tables, recordings, the evidence, and the report."""

from __future__ import annotations

from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import questions
from app.answers.screen import READY
from app.questions.context import Context
from app.questions.results import heads_trained
from app.tabs import compare
from app.views import compare_table, comparison
from app.views.compare_open_loop import open_loop_card
from app.views.compare_table import tables
from app.views.finetune import results_table
from steering import store
from steering.comparison.compare import compare as compare_rollouts
from steering.comparison.open_loop import compare_open_loop
from steering.errors import SteeringError
from steering.pipeline.heldout import HEADS_SAW
from steering.types import METHODS, Cell, FinetuneResult, OpenLoop, PairedTest, Rollouts, StopRule, SuccessRate
from steering.types import Comparison as ComparisonValue

Samples = tuple[Path, dict[str, str]]
HOSTILE = "<img src=x onerror=alert(1)>\"'${alert(2)}"


def rollouts(method: str, won: str, **fields: object) -> Rollouts:
    success = np.array([one == "1" for one in won])
    seeds = tuple(range(50, 50 + len(won)))
    return Rollouts(method, "pick_cube", (), seeds, success, np.full(len(won), 40, np.int32), **fields)


# -- what is offered and queued ---------------------------------------------------------------------------------------


def test_compare_takes_trained_methods_only(context: Context, samples: Samples) -> None:
    demonstrations_id = samples[1]["place_cube_in_bowl"]
    questions.comparison.start(context, demonstrations_id, "pick_cube", ["zero_shot", "steering"], 4, 0, ["form"])
    ((function, asked),) = context.jobs.submitted  # type: ignore[attr-defined]
    assert function == "evaluate" and asked["instruction"] == "original" and asked["variations"] == ["form"]
    assert asked["adapters"] == {"zero_shot": None, "steering": samples[1]["steering"]}
    with pytest.raises(SteeringError, match="Tick at least one"):
        questions.comparison.start(context, samples[1]["press_button"], "pick_cube", ["lora"], 4, 0, [])


def test_instruction_checks_run_the_same_scenes_told_otherwise(context: Context, samples: Samples) -> None:
    questions.comparison.start(
        context, samples[1]["place_cube_in_bowl"], "pick_cube", ["zero_shot"], 4, 3, [], ["empty", "x"]
    )
    first, second = (asked for _, asked in context.jobs.submitted)  # type: ignore[attr-defined]
    assert (first.pop("instruction"), second.pop("instruction")) == ("original", "empty") and first == second


def test_a_comparison_that_may_stop_early_is_asked_for_by_a_tick_and_says_how_it_ended(
    context: Context, samples: Samples
) -> None:
    demonstrations_id = samples[1]["place_cube_in_bowl"]
    assert 'name="early"' in compare.show(context, [demonstrations_id, 0], "")[0]
    for early in (True, False):
        questions.comparison.start(
            context, demonstrations_id, "pick_cube", ["zero_shot", "lora"], 40, 0, [], stop_early=early
        )
    first, second = (asked for _, asked in context.jobs.submitted)  # type: ignore[attr-defined]
    assert first.pop("matters") == 0.2 and first == second
    with pytest.raises(SteeringError, match="two or more methods"):
        questions.comparison.start(context, demonstrations_id, "pick_cube", ["zero_shot"], 40, 0, [], stop_early=True)

    rule = StopRule(40, 0.2)
    runs = [rollouts("zero_shot", "0" * 8, may_stop=rule), rollouts("lora", "1" * 8, may_stop=rule)]
    parents = [context.store.save("rollouts", one, params={"method": one.method}) for one in runs]
    made = context.store.save("comparison", compare_rollouts(runs), parents=parents)
    shown = compare.show(context, [demonstrations_id, 0], made)
    assert "Stopped early, of at most 40." in shown[3] and "Stopped after 8 of at most 40 scenes" in shown[5]
    page = context.media.folder / questions.exports.report(context, made).url.removeprefix("media/")
    assert "Stopped after 8 of at most 40 scenes: a difference is shown." in page.read_text("utf-8")
    (effect,) = questions.comparison.comparison(context, made).effects
    assert effect.low == pytest.approx(-100) and effect.high > -50, "the interval that holds at every look is wider"


def test_recordings_need_an_episode_left_out(context: Context, samples: Samples) -> None:
    demonstrations_id = samples[1]["place_cube_in_bowl"]
    questions.comparison.start_open_loop(context, demonstrations_id, ["zero_shot", "lora"])
    ((function, asked),) = context.jobs.submitted  # type: ignore[attr-defined]
    assert function == "open_loop" and asked["demonstrations_id"] == demonstrations_id
    assert asked["adapters"] == {"zero_shot": None, "lora": samples[1]["lora"]}
    few = context.store.load(demonstrations_id)
    made = context.store.save("demonstrations", replace(few, episodes=few.episodes[:2]), params={"few": True})
    with pytest.raises(SteeringError, match="2 episodes, so none is held out"):
        questions.comparison.start_open_loop(context, made, ["zero_shot"])


def test_controls_are_compared_under_their_own_name(context: Context, samples: Samples) -> None:
    demonstrations_id = samples[1]["place_cube_in_bowl"]
    selection = context.store.save(
        "selection", context.store.load(context.store.find("selection")[0].id), params={"rule": "random"}
    )
    result = context.store.load(samples[1]["steering"])
    with context.store.new_folder("adapter") as folder:
        (folder / "adapter").mkdir()
        control = context.store.save(
            "adapter",
            replace(result, folder=folder / "adapter"),
            parents=[demonstrations_id, selection],
            params={"method": "steering", "seed": 9},
            folder=folder,
        )
    trained = questions.comparison.trained(context, demonstrations_id)
    assert trained["random"] == control and trained["steering"] == samples[1]["steering"]
    assert "Control: random heads" in compare.show(context, [demonstrations_id, 0], "")[0]


# -- what is shown ----------------------------------------------------------------------------------------------------


def test_the_ready_example_is_shown_until_there_is_one_s_own(context: Context, samples: Samples) -> None:
    opened = [samples[1]["place_cube_in_bowl"], 0]
    form, chooser, notice, lead, player, success, tables, strength, open_loop = compare.show(context, opened, "")
    assert "Ready example." in chooser and "300 steps at rank 16" in chooser and "10 scenes" in chooser
    assert notice == "" and len(player["scenes"]) == 10 and len(player["methods"]) == 3 and open_loop == ""
    assert "against LoRA, all heads" in lead and "><summary>New comparison" in form and " open><summary>" not in form
    assert [len(row) for row in player["squares"]] == [10, 10, 10]
    flags = [scene["differs"] for scene in player["scenes"]]
    assert flags == sorted(flags, reverse=True) and any(flags)
    assert "8 of 10" in success and "20,000" in tables and "not trained yet" not in form
    media = context.media.folder
    assert not any(method in file.name for file in media.iterdir() for method in METHODS), "a vote is blind"
    assert questions.link.restore(context, {"comparison": "comparison-0"}, questions.link.Memory(opened)).notes == (
        "The comparison of this link is not in this store, so another is shown.",
    )
    assert len(list(media.glob("*.mp4"))) == len(list(media.glob("*.json"))) == 30
    assert questions.results.last_run(context) == READY, "an example was not run here"

    own = [
        context.store.save("rollouts", rollouts(m, won), params={"method": m, "task": "pick_cube"})
        for m, won in (("zero_shot", "0101"), ("lora", "1111"))
    ]
    made = context.store.save("comparison", compare_rollouts([context.store.load(one) for one in own]), parents=own)
    _, chooser, _, _, _, success, *_ = compare.show(context, opened, "")
    assert "Ready example." not in chooser and "pick cube, 4 scenes" in success and "example</option>" in chooser
    assert questions.results.last_run(context) == "compared 2 methods"
    _, chooser, _, _, _, success, *_ = compare.show(context, opened, samples[1]["comparison"])
    assert "Ready example." in chooser and "10 scenes" in success, "what was chosen is shown"
    assert f'"comparison": "{samples[1]["comparison"]}"' in unescape(chooser), "and stands in the link"
    assert compare.show(context, opened, "comparison-0000000000000000")[5].count("4 scenes")
    kept = questions.exports.report(context, made)
    assert kept.name.endswith(".html")
    assert "wb-term" not in (context.media.folder / kept.url.removeprefix("media/")).read_text("utf-8")


def test_results_say_when_they_were_made_with_which_seeds_and_heads(
    context: Context, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison_id, adapters = samples[1]["comparison"], {name: samples[1][name] for name in ("steering", "lora")}
    date = context.store.manifest(comparison_id).created[:10]
    shown = questions.comparison.comparison(context, comparison_id)
    first = f"Run on {date}; scenes of the seeds 1000000 to 1000009; trained with seed 0."
    assert shown.origins[0] == first and shown.origins[1].startswith("Robotic Steering: 20 heads.")
    page = compare.show(context, [samples[1]["place_cube_in_bowl"], 0], "")
    assert first in page[5] and shown.origins[1] in page[5]
    report = questions.exports.report(context, comparison_id)
    assert first in (context.media.folder / report.url.removeprefix("media/")).read_text("utf-8")
    table = results_table(questions.results.finetunes(context))
    assert table.count(f"Seed 0, {date}") == 2 and f"|0|{date}" in table
    another = context.store.kept(adapters["lora"])
    other = replace(another, settings=replace(another.settings, seed=3))
    load = type(context).load
    monkeypatch.setattr(
        type(context), "load", lambda self, one, kind: other if one == adapters["lora"] else load(self, one, kind)
    )
    assert questions.comparison.run_words(context, comparison_id, adapters, seed=5) == (
        f"Run on {date}; seed 5; trained with seeds 0 (Robotic Steering), 3 (LoRA, all heads)."
    )


def test_rollouts_show_disagreement_first_and_pair_by_seed() -> None:
    one = Rollouts("zero_shot", "t", (), (10, 11, 12), np.array([True, False, True]), np.array([20, 40, 60]))
    two = Rollouts("steering", "t", (), (12, 11, 10), np.array([True, True, True]), np.array([1, 2, 3]))
    videos = [{10: "a10", 11: "a11", 12: "a12"}, {10: "b10", 11: "b11", 12: "b12"}]
    data = comparison.rollout_player("k", [one, two], [11], videos)
    assert [scene["seed"] for scene in data["scenes"]] == [11, 10, 12]
    assert data["scenes"][0]["success"] == [False, True]
    assert data["scenes"][1]["videos"] == ["a10", "b10"]
    assert data["scenes"][2]["seconds"] == ["3.0", "0.1"]


def test_only_filmed_scenes_are_shown_and_say_how_they_failed() -> None:
    one = rollouts(
        "steering",
        "010",
        instruction="renamed",
        instructions=("a", HOSTILE, "c"),
        failure=("dropped", "", "never_reached"),
        distance_m=np.array([0.062, 0, 0.2]),
        wrong_object=np.array([True, False, False]),
        named=np.array([1, -1, 0], np.int8),
        filmed=(50, 51),
    )
    data = comparison.rollout_player("k", [one], [], [{50: "v", 51: "w"}], [{50: "t"}])
    assert [scene["number"] for scene in data["scenes"]] == [1, 2] and data["of"] == 3
    first, second = data["scenes"]
    assert first["how"] == [
        ["picked up, then dropped", "6.2 cm left", "touched a wrong thing", "reached the named goal"]
    ]
    assert second["how"] == [[]] and second["words"] == HOSTILE and first["traces"] == ["t"]


def test_outcome_states_rates_intervals_and_verdict() -> None:
    rate = SuccessRate("steering/empty", 3, 4, 0.3, 0.95)
    value = ComparisonValue("pick_cube", ("lighting",), (1, 2, 3, 4), (rate,), (PairedTest("a", "b", 0, 0, 1, 1),), ())
    shown = comparison.success(value, ["No difference shown."])
    for words in (
        "3 of 4",
        "30–95 %",
        "No difference shown.",
        "pick cube, lighting, no words",
        'data-method="steering"',
    ):
        assert words in shown


def test_the_table_holds_every_condition_of_the_same_policies(context: Context, samples: Samples) -> None:
    """Runs of the same adapter under another variation join the table; those of another adapter do not."""
    comparison_id = samples[1]["comparison"]
    parents = context.store.manifest(comparison_id).parents
    same = {context.store.manifest(one).params["method"]: context.store.manifest(one).parents for one in parents}

    def add(task: str, method: str, adapters: tuple[str, ...]) -> None:
        params = {"method": method, "task": task}
        made = context.store.save(
            "rollouts", replace(rollouts(method, "0110"), task=task), parents=adapters, params=params
        )
        context.store.save("comparison", compare_rollouts([context.store.load(made)]), parents=[made])

    add("press_button", "steering", same["steering"])
    add("push_cup_to_bowl", "steering", same["lora"])
    shown = tables(questions.comparison.comparison(context, comparison_id))
    assert "press button" in shown and "push cup" not in shown and "Paired tests (3 pairs)" in shown


def test_tables_say_what_is_better_and_escape() -> None:
    one = rollouts("steering", "1" * 8, failure=("",) * 8, distance_m=np.zeros(8), wrong_object=np.zeros(8, bool))
    two = rollouts("lora", "0" * 8, failure=("dropped",) * 8, distance_m=np.full(8, 0.1), wrong_object=np.ones(8, bool))
    from steering.comparison.cells import cell_tests
    from steering.comparison.cells import cells as cells_of

    shown = compare_table.cells_card(cells_of([one, two]), cell_tests([one, two]))
    assert "<b>Robotic Steering is better</b>" in shown and "10.0 cm" in shown and "40 (40–40)" in shown
    failures = compare_table.failures_card([cell.outcomes for cell in cells_of([one, two]) if cell.outcomes])
    assert failures.count("picked up, then dropped") == 1 and "never reached" not in failures
    rate = SuccessRate(HOSTILE, 1, 2, 0.1, 0.9)
    hostile = compare_table.cells_card([Cell(HOSTILE, (HOSTILE,), "original", rate, None)], [])
    assert "<img" not in hostile


def test_a_rank_matched_run_trains_all_heads(context: Context, samples: Samples) -> None:
    result: FinetuneResult = context.store.load(samples[1]["steering"])
    assert heads_trained(result) == 20
    assert heads_trained(replace(result, method="lora_rank_matched")) is None


# -- recordings -------------------------------------------------------------------------------------------------------


def test_recordings_show_errors_with_intervals_and_the_chosen_episode(context: Context, samples: Samples) -> None:
    demonstrations_id = samples[1]["place_cube_in_bowl"]
    rng = np.random.default_rng(0)
    demonstrated = rng.normal(size=(6, 4, 2)).astype(np.float32)
    valid = np.arange(4) < np.array([4, 4, 2, 4, 4, 2])[:, None]
    made = []
    for i, (method, adapters) in enumerate((("zero_shot", ()), ("steering", (samples[1]["steering"],)))):
        predicted = demonstrated + (0.5 - 0.4 * i)
        value = OpenLoop(
            method, np.repeat([1, 2], 3), np.tile([0, 5, 10], 2), predicted, demonstrated, valid,
            np.ones(2, np.float32), (HOSTILE, "gripper"), 20.0,
        )  # fmt: skip
        parents = [demonstrations_id, *adapters]
        made.append(context.store.save("open_loop", value, parents=parents, params={"method": method}))
    compared = compare_open_loop([context.store.load(one) for one in made])
    context.store.save("open_loop_comparison", compared, parents=made)
    shown = compare.show(context, [demonstrations_id, 0], "")[8]
    assert "2 held-out episodes" in shown and "0.250 (0.250 to 0.250)" in shown and "<img" not in shown
    assert "; trained with seed 0.</p>" in shown and "Robotic Steering: 20 heads." in shown
    assert 'value="1" checked' in shown and "Robotic Steering less Zero-shot: -0.240" in shown
    assert shown.count(HEADS_SAW) == 1, "beside the error that it flatters"
    predictions = questions.comparison.predictions(context, demonstrations_id)
    assert predictions is not None
    assert 'value="2" checked' in open_loop_card(predictions, 2)
    assert shown.count("<svg") == 3, "two dimensions and the error by step"
    # Three chunks of an episode, each for the demonstration and two methods, in two dimensions; and two by step.
    assert shown.count("<polyline") == 3 * 3 * 2 + 2
    assert questions.comparison.predictions(context, samples[1]["press_button"]) is None
    report = questions.exports.report(context, predictions.id)
    page = (context.media.folder / Path(report.url).name).read_text()
    assert "Predicted actions on recordings: place cube in bowl" in page and page.count("<svg") >= 3
    assert "0.250 (0.250 to 0.250)" in page and "<img" not in page and HEADS_SAW in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("https://arxiv.org", ""), "it opens offline"


# -- evidence ---------------------------------------------------------------------------------------------------------


def test_a_second_look_reads_nothing_from_the_disk(
    context: Context, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty browsers look at the same samples; decoding these was most of what each cost."""
    decoded: list[Path] = []
    real = store.decode

    def counted(folder: Path, *given: Any) -> Any:
        decoded.append(folder)
        return real(folder, *given)

    monkeypatch.setattr(store, "decode", counted)
    for look in range(2):
        questions.comparison.comparison(context, samples[1]["comparison"])
        questions.results.finetunes(context)
        questions.demonstrations.episode(context, samples[1]["place_cube_in_bowl"], 0)
        assert bool(decoded) is (look == 0), decoded
        decoded.clear()
