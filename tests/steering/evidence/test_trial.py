"""The trial's cells, and its contrasts on made-up results with known effects."""

import numpy as np
import pytest

from steering.errors import InputError, NotFound
from steering.evidence.screen_results import CHANCE
from steering.evidence.screen_rules import CEILING, RULES
from steering.evidence.trial import ARMS, PRIMARY, STUDIES, TRAININGS, WINNER, TrialSettings, cells, parse_cell
from steering.evidence.trial_page import document, figures, study_table, write_trial
from steering.evidence.trial_results import RANDOM, arms_run, curves, label, mean, primary, rates, verdict


def _cell(training: str, arm: str, seed: int, rate: float) -> dict:
    """A result whose success in 400 scenes of every condition is `rate`."""
    bits = "".join("1" if u < rate else "0" for u in (np.arange(400) + 0.5) / 400)
    runs = [{"task": task, "variations": list(v), "success": bits} for task, v in TRAININGS[training].conditions]
    return {"cell": f"{training}/{arm}/{seed}", "conditions": runs}


def _results(effect: dict[str, float], spread: float = 0.08, seeds: int = 15) -> list[dict]:
    """Cells of the two main arms in 400 scenes a condition: training -> difference of the arms' rates."""
    rng, found = np.random.default_rng(11), []
    for name in STUDIES["primary"].trainings:
        for seed in range(seeds):
            for arm in ("steering", "lora"):
                rate = 0.5 + (arm == "steering") * (effect.get(name, 0.0) + rng.normal(0, spread))
                found.append(_cell(name, arm, seed, rate))
    return found


def test_known_effects_are_found_and_named():
    found = primary(_results({"few": 0.2, "noisy": -0.2}))
    said = {name: verdict(*one) for name, one in found.items()}
    assert (said["few demonstrations"], said["noisy demonstrations"]) == ("better", "worse")
    assert said["transfer"] == said["retention"] == "equal"
    assert found["few demonstrations"][0].difference == pytest.approx(0.2, abs=0.05)


def test_a_wide_spread_is_undecided_and_not_equal():
    found = primary(_results({}, spread=0.4, seeds=6))
    assert {verdict(*one) for one in found.values()} == {"undecided"}


def test_seeds_that_lack_an_arm_do_not_count():
    results = [one for one in _results({}) if one["cell"] != "cube/lora/0"]
    assert {name: one[0].seeds for name, one in primary(results).items()}["transfer"] == 14
    assert primary(results[:4]) == {}


def test_contrasts_that_have_no_seeds_yet_count_in_the_correction():
    """Two of five contrasts are run: the smaller p is multiplied by five, not by two."""
    found = primary([one for one in _results({"few": 0.2}) if one["cell"].split("/")[0] in ("few", "noisy")])
    assert set(found) == {"few demonstrations", "noisy demonstrations"}
    one, p, _ = found["few demonstrations"]
    assert p == pytest.approx(5 * one.p)


def test_every_cell_once_study_by_study_and_every_contrast_is_run():
    order = cells()
    assert (
        len(order)
        == len(set(order))
        == sum(
            len(one.trainings) * len([arm for arm in one.arms if ARMS[arm].rule != WINNER]) * len(one.seeds)
            for one in STUDIES.values()
        )
    )
    main = STUDIES["primary"]
    assert order[: len(cells(("primary",)))] == cells(("primary",))
    assert len(cells(("primary",))) == len(main.trainings) * 2 * 15
    assert all(parse_cell(cell.id) == cell for cell in order)
    for training, conditions in PRIMARY.values():
        assert set(conditions) <= set(TRAININGS[training].conditions) and training in main.trainings
    with pytest.raises(NotFound, match="arm of the trial"):
        parse_cell("cube/luck/0")
    with pytest.raises(NotFound, match="study of the trial"):
        cells(("luck",))
    with pytest.raises(InputError, match="training/arm/seed"):
        parse_cell("cube")


def test_what_the_screen_names_joins_the_trial_and_is_confirmed_beside_the_published_rule_and_chance():
    assert not cells(("confirm",)) and not any(cell.arm == "steering_winner" for cell in cells())
    rules = ("movers", "reach", "paper_keyframes")
    confirming = cells(("confirm",), rules)
    assert {cell.seed for cell in confirming} == set(range(10))
    assert {ARMS[cell.arm].rule for cell in confirming} == {*rules, "random_0", "random_1", "random_2"}
    assert {ARMS[cell.arm].heads for cell in confirming} == {4, 8}
    for training in {cell.training for cell in confirming}:
        asked = [task for task, _ in TRAININGS[training].conditions]
        assert asked[0] == TRAININGS[training].task and asked[1] not in asked[:1] and asked[2:] == ["push", "place"]
    assert len([cell for cell in cells(("arms",), rules) if cell.arm == "steering_winner"]) == 4 * 15
    assert not any(CEILING in arm or arm == CHANCE for arm in ARMS) and {"movers_4", "worst_8"} <= set(ARMS)
    assert {ARMS[f"{rule}_4"].rate for rule in RULES if rule != CEILING} == {1e-3}


def test_random_heads_are_one_arm_whose_draws_are_averaged_within_a_seed():
    own = PRIMARY["few demonstrations"]
    results = [_cell("few", f"random_{i}", seed, rate) for i, rate in enumerate((0.2, 0.4, 0.9)) for seed in (0, 1, 2)]
    results = results[:-1]  # the last seed lacks a draw
    assert rates(results, own[0], RANDOM, own[1]) == {0: pytest.approx(0.5), 1: pytest.approx(0.5)}
    assert arms_run(results) == [RANDOM] and label(RANDOM) == "Random heads"
    one = mean(results, own[0], RANDOM, own[1])
    assert one is not None and one.seeds == 2 and np.isnan(one.low) and mean([], *own[:1], RANDOM, own[1]) is None


def test_curves_join_the_cells_of_a_number_with_those_of_the_primary_contrasts():
    results = _results({})
    assert set(curves(results)) == {"demonstrations"}, "5 and 20 are there already"
    results += [_cell("marker", f"{arm}_steps_1500", seed, 0.9) for arm in ("steering", "lora") for seed in range(5)]
    results += [_cell("cube", f"steering_strength_{one}", seed, one / 100) for one in (25, 50) for seed in range(5)]
    results += [_cell("cube", "untouched", 0, 0.75)]
    found = curves(results)
    (steering, lora) = found["steps"]
    assert [x for x, _ in steering.points] == [TrialSettings().steps, 1500] and lora.arm == "lora"
    assert (steering.points[1][1].rate, steering.points[1][1].seeds) == (pytest.approx(0.9), 5)
    (only,) = found["strength (retention)"]
    assert [x for x, _ in only.points] == [0, 0.25, 0.5, 1] and only.points[0][1].rate == 0.75


def test_the_page_says_what_is_found_what_is_undecided_and_how_many_seeds_are_missing(tmp_path):
    results = _results({"few": 0.2, "noisy": -0.2}, seeds=6) + [_cell("cube", "untouched", 0, 0.6)]
    page = document(results)
    assert "Seeds are missing" in page and "| few demonstrations | " in page and "6 of 15" in page
    assert "**Few demonstrations**: Robotic Steering is better" in page
    assert "**Noisy demonstrations**: LoRA is better" in page
    assert "48 of 120 cells of the five primary contrasts" in page
    assert set(figures(results)) >= {"forest", "trade"}
    assert dict(study_table({parse_cell(one["cell"]) for one in results}).rows)["The untouched policy"] == "1 of 4"
    write_trial(results, tmp_path / "trial")
    assert (tmp_path / "trial.md").is_file() and (tmp_path / "trial_figures" / "forest.json").is_file()
    assert "too few seeds" in document(results[:4])


def test_undecided_is_said_with_the_power_that_there_was():
    page = document(_results({}, spread=0.4, seeds=6))
    assert "a difference of 10 points would be seen in" in page and "equal within" not in page.split("## Primary")[1]
