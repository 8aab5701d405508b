"""The screen's cells, its ratios on made-up cells with a known effect, its page, and a run on the tiny policy."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from steering import policy_cache
from steering.errors import InputError, NotFound
from steering.evidence import screen as module
from steering.evidence.cell_files import read_results_in
from steering.evidence.grid import TASKS
from steering.evidence.screen import ScreenCell, ScreenSettings, cells, left_to_make, parse_cell, run_screen
from steering.evidence.screen_page import document, headline, rules_figure, write_screen
from steering.evidence.screen_results import best_rules, compared, predictors, ratios
from steering.evidence.screen_rules import CEILING, DRAWS, GROUPS, RULES, Asked, choose
from steering.store import Store
from steering.types import FinetuneSettings


def _cell(task, rule, seed, after, layer=2, relevance=0.1, train_s=10.0):
    return {
        "cell": f"{task}/{rule}/4/{seed}",
        "heads": [[layer, 0], [layer + 1, 1]],
        "relevance": [relevance, relevance],
        "before": 1.0,
        "after": after,
        "train_s": train_s,
        "train_cpu_s": train_s,
    }


def _made():
    """Rules `reach` at half of chance in every task, `paper_all` at chance times noise."""
    rng, found = np.random.default_rng(3), []
    for task in TASKS:
        chance = rng.uniform(0.1, 0.5)
        for seed in (0, 1):
            for draw in range(5):
                spread = float(np.exp(0.1 * (draw - 2)))
                found.append(_cell(task, f"random_{draw}", seed, chance * spread, layer=draw, relevance=-float(draw)))
            found.append(_cell(task, "reach", seed, 0.5 * chance * float(np.exp(rng.normal(0, 0.05))), train_s=20.0))
            found.append(_cell(task, "paper_all", seed, chance * float(np.exp(rng.normal(0, 0.3)))))
    return found


def test_every_cell_once_in_the_order_of_the_plan():
    order = cells()
    assert len(order) == len(set(order)) == 5 * 2 * 2 * (len(RULES) - 1) + 2 * (len(RULES) - 1) + 4
    assert {(cell.heads, cell.seed) for cell in order[: 5 * (len(RULES) - 1)]} == {(4, 0)}
    assert sorted(rule for rules in GROUPS for rule in rules) == sorted(set(RULES) - {CEILING})
    first = 5 * len(GROUPS[0])
    assert {cell.task for cell in order[:first]} == set(TASKS) and {c.rule for c in order[:first]} == set(GROUPS[0])
    assert all(parse_cell(cell.id) == cell for cell in order)
    with pytest.raises(InputError, match="task/rule/heads/seed"):
        parse_cell("pick_cube/reach")
    with pytest.raises(NotFound, match="rule of the screen"):
        parse_cell("pick_cube/luck/4/0")


def test_what_a_rule_draws_is_another_for_every_task_and_seed_and_repeats(policy_folder, tmp_path):
    def chosen(rule, task, seed):
        asked = Asked(Store(tmp_path), "unread", "unread", 4, str(policy_folder), FinetuneSettings(), task, seed)
        return choose(rule, asked, 2).heads

    places = [(task, seed) for task in TASKS for seed in (0, 1)]
    for rule in ("random_0", "random_4", "reach"):
        assert len({chosen(rule, *place) for place in places}) > 2
        assert chosen(rule, *places[0]) == chosen(rule, *places[0])
    assert chosen("random_0", *places[0]) != chosen("random_1", *places[0])


def test_the_best_rule_is_named_once_all_cells_are_there_and_ties_go_to_the_shorter_training():
    """Ratios of .5, .51 (a tie, trained in half the time), then 1, 1.1, ... of the other rules."""
    found, wanted = [], {"reach": 0.5, "movers": 0.51}
    others = [rule for rule in compared() if rule not in wanted]
    wanted |= {rule: 1 + i / 10 for i, rule in enumerate(others)}
    for task in TASKS:
        for seed in (0, 1):
            found += [_cell(task, f"random_{draw}", seed, 0.4) for draw in range(5)]
            for rule, ratio in wanted.items():
                found.append(_cell(task, rule, seed, 0.4 * ratio, train_s=5.0 if rule == "movers" else 10.0))
    assert best_rules(found) == (), "8 heads are not there"
    every = found + [one | {"cell": one["cell"].replace("/4/", "/8/")} for one in found]
    assert best_rules(every)[:4] == ("movers", "reach", *others[:2])
    assert best_rules(every[:-1]) == ()


def test_the_headline_names_what_is_better_than_chance_and_says_what_is_missing():
    cells = _made()
    said = headline(cells)
    assert said.startswith("With 4 heads reach alone (lowest layers) trained better than random ones (70 of ")
    without = headline([one for one in cells if "/reach/" not in one["cell"]])
    assert "no rule is shown to train better than random ones" in without and headline([]) == ""


def test_a_known_effect_is_found_and_none_is_not_claimed():
    reach, paper = ratios(_made(), 4)
    assert (reach.rule, paper.rule) == ("reach", "paper_all")
    assert reach.ratio == pytest.approx(0.5, rel=0.05) and reach.time == pytest.approx(2)
    assert reach.task_low < reach.ratio < reach.task_high < 1 and reach.p_holm < 0.001 and reach.found == "better"
    assert paper.p_holm > 0.05 and reach.units == 10 and not paper.found
    assert ratios(_made(), 8) == []


def test_time_is_the_processor_s_and_not_the_wall_s():
    slowed = [{**one, "train_s": one["train_s"] * (50 if "reach" in one["cell"] else 1)} for one in _made()]
    assert ratios(slowed, 4) == ratios(_made(), 4)


def test_holm_counts_the_rules_of_the_plan_that_are_not_there_yet():
    reach = ratios(_made(), 4)[0]
    assert reach.p_holm == pytest.approx(len(compared()) * reach.p) and len(compared()) == len(RULES) - DRAWS - 1


def test_sides_are_compared_over_units_that_both_have():
    """A rule made on the hard units alone is no worse for it, and what it lacks is said."""
    made = [one for one in _made() if not one["cell"].startswith((f"{TASKS[0]}/reach", f"{TASKS[1]}/paper_all"))]
    made = [one for one in made if not (one["cell"].startswith(f"{TASKS[2]}/random") and one["cell"].endswith("1"))]
    beside_chance = {one.rule: one for one in ratios(made, 4)}
    assert (beside_chance["reach"].units, beside_chance["paper_all"].units) == (7, 7)
    assert beside_chance["reach"].p_holm < 0.05 and not beside_chance["reach"].found, "no finding before every unit"
    beside_paper = {one.rule: one for one in ratios(made, 4, "paper_all")}
    assert (beside_paper["reach"].units, beside_paper["random"].units) == (6, 7)
    assert set(beside_paper["reach"].by_task) == set(TASKS[2:])
    known = {
        one["cell"]: np.log(one["after"]) for one in made if one["cell"].startswith(tuple(TASKS[2:]))
    }  # reach over paper_all, by hand
    by_task = [
        np.mean([known[f"{task}/reach/4/{s}"] - known[f"{task}/paper_all/4/{s}"] for s in (0, 1)]) for task in TASKS[2:]
    ]
    assert beside_paper["reach"].ratio == pytest.approx(float(np.exp(np.mean(by_task))))
    assert ratios([one for one in made if "random" not in one["cell"]], 4) == []


def test_the_ceiling_is_shown_and_compared_with_nothing():
    made = [*_made(), _cell(TASKS[3], CEILING, 0, 0.01)]
    assert ratios(made, 4) == ratios(_made(), 4)
    assert "ceiling, heads chosen by training itself" in document(made)


def test_what_predicts_the_error_of_random_sets():
    found = {one.name: one.rho for one in predictors(_made())}
    assert found["lowest layer"] > 0.9 and found["mean relevance"] < -0.9


def test_the_page_says_what_it_rests_on(tmp_path):
    some = [one for one in _made() if one["cell"].startswith(TASKS[:2])]
    page = document(some)
    assert f"{len(some)} of {len(cells())} cells are there" in page
    assert "4 of 10" in page and "leads and no results" in page and "Better than random" not in page
    assert "CPU time" in page and "5 to 5 of 5" in page
    assert "Better than random heads: reach alone (lowest layers)." in document(_made())
    assert write_screen(some, tmp_path / "screen").is_file()
    assert (tmp_path / "screen_figures" / "rules_4.json").is_file()
    assert len(rules_figure(ratios(_made(), 4)).data[0].x) == 10


@pytest.mark.slow
def test_cells_are_made_once_and_equal_heads_share_a_training(policy_folder, demonstrations, tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    recorded = store.save("demonstrations", demonstrations)
    monkeypatch.setattr(module, "_recorded", lambda *_: recorded)
    settings = ScreenSettings(frames=4, steps=2, batch_size=2, rank=2, ks=(2,), policy=str(policy_folder))
    asked = [ScreenCell("pick_cube", rule, 4, 0) for rule in ("trainability", "reach", "movers", "paper_all")]
    run = {"store": tmp_path / "store", "out": tmp_path / "screen", "say": lambda _: None}
    assert run_screen(asked, settings, **run) == [cell.id for cell in asked]
    assert run_screen(asked, settings, **run) == []
    found = {one["cell"]: one for one in read_results_in(tmp_path / "screen")}
    assert all(len(one["heads"]) == 4 and one["after"] != one["before"] for one in found.values())
    assert {layer for layer, _ in found["pick_cube/reach/4/0"]["heads"]} == {0}
    file = tmp_path / "screen" / "pick_cube" / "reach" / "4-0.json"
    first = json.loads(file.read_text())
    file.write_text(file.read_text()[:40])  # as a killed run could never leave it, and a full disk might
    assert left_to_make(asked, settings, tmp_path / "screen")["left"] == ["pick_cube/reach/4/0"]
    run_screen(asked, settings, **run)
    again = json.loads(file.read_text())
    assert (again["heads"], again["after"], again["loss"]) == (first["heads"], first["after"], first["loss"])
    twin = [ScreenCell("pick_cube", "random_0", 4, 0)]
    monkeypatch.setitem(RULES, "random_0", replace(RULES["random_0"], choose=RULES["reach"].choose))
    run_screen(twin, settings, **run)
    assert {one["cell"]: one for one in read_results_in(tmp_path / "screen")}[twin[0].id][
        "training_of"
    ] == "pick_cube/reach/4/0"
    assert policy_cache.fingerprint(str(policy_folder)) == again["weights"]
