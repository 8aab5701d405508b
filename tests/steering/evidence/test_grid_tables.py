"""Tables of results made up for the purpose, against counts by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from steering.comparison.intervals import wilson
from steering.evidence import drawing, paper
from steering.evidence.drawing import forest_figure, write_figures
from steering.evidence.grid import METHODS, TASKS, cells, conditions, parse_cell
from steering.evidence.results import Results, read_results
from steering.evidence.seeds import by_seed
from steering.evidence.tables import (
    agreement,
    cost_table,
    curve,
    document,
    markdown,
    method_notes,
    paired_tests,
    sections,
    seed_table,
    success_table,
)
from steering.types import p_number, p_words

SCENES = 40


def made_up(cell_id: str, rate: float, *, seconds: float = 60.0, parameters: int = 1000, heads: int = 20) -> dict:
    """A result whose scenes succeed at `rate`; the scenes' difficulty is the same for every cell."""
    cell = parse_cell(cell_id)
    difficulty = (np.arange(SCENES) * 7 % SCENES + 0.5) / SCENES
    won = difficulty < rate
    runs = [
        {
            "task": task,
            "variations": list(variations),
            "success": "".join(str(int(w)) for w in won),
            "failure": ["" if w else "dropped" for w in won],
        }
        for task, variations in conditions(cell)
    ]
    trained = METHODS[cell.method].finetune != "zero_shot"
    cost = {
        "extraction_s": 6.0 if METHODS[cell.method].rule else 0.0,
        "selection_s": 4.0 if METHODS[cell.method].rule else 0.0,
        "train_s": seconds if trained else 0.0,
        "trainable_parameters": parameters if trained else 0,
        "peak_memory_mb": 500.0,
    }
    settings = {"heads": cell.heads or heads, "demonstrations": cell.demonstrations or 20, "steps": 500, "rank": 16}
    settings |= {"batch_size": 24, "trials": SCENES}
    return {"cell": cell.id, "heads": [], "cost": cost, "conditions": runs, "settings": settings, "wall_s": 100.0}


@pytest.fixture
def results() -> Results:
    made = [made_up(f"{task}/zero_shot/0", 0.2) for task in TASKS]
    for seed in (0, 1, 2):
        made += [made_up(f"{task}/lora/{seed}", 0.5, seconds=100, parameters=22_000) for task in TASKS]
        made += [made_up(f"{task}/steering_vlm/{seed}", 0.8, seconds=50) for task in TASKS[:4]]
        made.append(made_up(f"{TASKS[4]}/steering_vlm/{seed}", 0.1, seconds=50))
    made += [made_up(f"place_cube_in_bowl/steering_vlm@heads={n}/0", n / 50) for n in (5, 10, 40)]
    return Results(made)


def test_success_is_pooled_over_seeds_with_its_interval(results: Results) -> None:
    low, high = wilson(96, 120)
    expected = f"80 % ({100 * low:.0f} to {100 * high:.0f}; n = 120; seeds 80, 80, 80)"
    lines = markdown(success_table(results)).splitlines()
    assert lines[0].startswith("| Method | place marker in mug | press button |")
    row = next(line for line in lines if line.startswith("| Robotic Steering, VLM heads |"))
    assert row.count(expected) == 4 and "10 %" in row
    assert not any(line.startswith("| Bottom VLM heads |") for line in lines), "what was not run has no row"


def test_pairs_are_of_the_same_scene_and_seed_and_corrected_together(results: Results) -> None:
    found = {(condition, test.first): test for condition, test in paired_tests(results)}
    task = TASKS[0]
    test = found[(task, task, ()), "lora"]
    assert (test.only_first, test.only_second) == (0, 3 * 12) and test.p_holm >= test.p
    zero = found[(task, task, ()), "zero_shot"]
    assert (zero.only_first, zero.only_second) == (0, 3 * 24), "zero-shot is paired with every seed"
    assert max(t.p_holm for t in found.values()) <= 1 and len(found) == 2 * (5 + 3 + 1)


def test_with_the_seed_as_the_unit_a_difference_is_a_mean_over_seeds_with_its_interval(results: Results) -> None:
    """Rates .80, .75, .85 against .5 in every seed: .30 ± t · .05 / √3, by hand."""
    spread = [made_up(f"{TASKS[0]}/steering_vlm/{seed}", rate) for seed, rate in enumerate((0.8, 0.75, 0.85))]
    other = [made_up(f"{TASKS[0]}/lora/{seed}", 0.5) for seed in (0, 1, 2)]
    one = by_seed(Results(spread + other))["place marker in mug"]
    half = 4.302653 * 0.05 / 3**0.5
    assert (one.difference, one.low, one.high) == pytest.approx((0.3, 0.3 - half, 0.3 + half), abs=1e-6)
    assert one.seeds == 3
    row = next(x for x in seed_table(Results(spread + other)).rows if x[0] == "place marker in mug")
    assert row[1:4] == ("+30", "+18 to +42", "3") and 0 < float(row[-1]) < 1
    drawn = forest_figure({"a": one, "b": replace(one, difference=-0.2, low=-0.3, high=-0.1)})
    (points,) = drawn.data
    assert list(points.x) == pytest.approx([30, -20]) and list(points.error_x.arrayminus) == pytest.approx(
        [100 * half, 10]
    )
    (band,) = [shape for shape in drawn.layout.shapes if shape.type == "rect"]
    assert (band.x0, band.x1) == (-10, 10)
    assert by_seed(Results(spread[:2] + other)) == {}, "two seeds give no interval worth the name"


def test_agreement_names_what_agrees_and_what_does_not(results: Results) -> None:
    lines = agreement(results)
    assert sum("the twin agrees" in line for line in lines) == 4 + 3 + 1
    (contrary,) = [line for line in lines if "the contrary" in line]
    assert contrary.startswith("push cup to bowl: the paper has Robotic Steering above LoRA by 7.5 points")
    assert any("22.6 times fewer in the paper, 22.0 times in the twin" in line for line in lines)
    assert any("50 % less (50 to 50) in training, 40 % less (40 to 40) with extraction" in line for line in lines)
    assert contrary.endswith("the twin shows the contrary (-40, -40, -40 points by seed, p < .001 after Holm).")


def test_equal_methods_show_no_difference() -> None:
    same = [made_up(f"pick_cube/{method}/0", 0.5) for method in ("lora", "steering_vlm")]
    lines = agreement(Results(same))
    assert lines and all("the twin shows no difference" in line for line in lines[:2])
    table = sections(Results(same))[0].table
    assert table and {row[-1] for row in table.rows} == {"", "+0"}


def test_controls_are_summed_up_in_a_sentence_each(results: Results) -> None:
    random = [made_up(f"{task}/random/0", rate) for task, rate in zip(TASKS[:3], (0.1, 0.8, 1.0), strict=True)]
    last = agreement(Results([*results.cells, *random]))[-2]
    assert last == (
        "Robotic Steering, VLM heads against Random VLM heads, same layers: better in 4 of 7 conditions, worse in 2, "
        "no difference shown in 1 (one training seed)."
    )


def test_seeds_that_lie_apart_are_named(results: Results) -> None:
    assert agreement(results)[-1].startswith("Training seeds of one method lie up to 0 points apart")
    results = Results([*results.cells, made_up("press_button/lora/2", 0.25)])
    assert agreement(results)[-1].startswith(
        "Training seeds of one method lie up to 25 points apart (LoRA, all heads, press button: 50, 50, 25 %)"
    )


def test_what_stands_behind_a_name_is_counted_from_the_cells() -> None:
    made = [
        made_up(f"pick_cube/{m}/0", 0.5, parameters=n) for m, n in (("steering_vlm", 40), ("lora_rank_matched", 30))
    ]
    both = made_up("pick_cube/steering_both/0", 0.5) | {"heads": [["expert", 0, 1], ["expert", 1, 1], ["vlm", 0, 0]]}
    lines = list(method_notes(Results([*made, both, made_up("pick_cube/random/0", 0.5)])))
    assert "2 to 2 of its heads are expert heads" in lines[0] and "0.75 to 0.75 times" in lines[1] and len(lines) == 3


def test_costs_are_medians_and_count_extraction_and_selection(results: Results) -> None:
    results.cells[-5]["cost"]["train_s"] = 10_000.0  # a cell that waited
    assert results.cells[-5]["cell"].count("@") == 0
    row = next(line for line in markdown(cost_table(results)).splitlines() if "VLM heads" in line and "Robotic" in line)
    assert row == "| Robotic Steering, VLM heads | 1,000 | 6 | 4 | 50 | 60 | 500 |"


def test_the_curve_joins_its_points_with_the_grid_s_own(results: Results) -> None:
    points = curve(results, "heads")["steering_vlm"]
    assert [(number, rate.successes, rate.trials) for number, rate in points] == [
        (5, 4, 40),
        (10, 8, 40),
        (20, 96, 120),
        (40, 32, 40),
    ]
    assert curve(results, "demonstrations") == {}


def test_the_page_and_figures_are_written_from_the_files(tmp_path: Path, results: Results) -> None:
    for cell in results.cells:
        made = parse_cell(cell["cell"])
        file = tmp_path / "grid" / made.task / made.variant / f"{made.seed}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(cell))
    read = read_results(tmp_path / "grid")
    assert len(read.cells) == len(results.cells)
    page = document(read)
    assert "## Beside the paper" in page and "| pick cube | 75 | 90 | +15 | 50 | 80 | +30 |" in page
    assert "number of demonstrations" not in page, "a section without figures is left out"
    figures = write_figures(drawing.figures(read), tmp_path / "figures")
    assert [file.stem for file in figures] == ["success", "cost", "forest", "success_by_heads"]
    bars = json.loads(figures[0].read_text())["data"]
    assert {bar["name"] for bar in bars} == {"Zero-shot", "LoRA, all heads", "Robotic Steering, VLM heads"}
    assert document(Results([])).count("\n") < 5 and sections(Results([])) == ()
    assert [one.title for one in sections(read)][:2] == ["Beside the paper", "What agrees and what does not"]
    assert all(f"## {one.title}\n" in page for one in sections(read))


def test_the_paper_s_numbers_cover_its_tasks() -> None:
    assert set(paper.SUCCESS) == set(TASKS) and set(paper.VARIATIONS) == {"lighting", "form", "distractors"}
    assert {cell.task for cell in cells()} == set(paper.SUCCESS)


def test_p_values_are_written_alike_everywhere() -> None:
    assert [p_number(p) for p in (0.0004, 0.0042, 0.031, 0.5, 0.999, 1.0, float("nan"))] == [
        "< .001",
        ".004",
        ".031",
        ".50",
        "1",
        "1",
        "",
    ]
    assert p_words(0.0004) == "< .001" and p_words(0.031) == "= .031"
