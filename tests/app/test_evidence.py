"""The evidence on the Compare step: each experiment as far as it is made, and as it grows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.evidence import Experiments
from app.questions.context import Context
from app.tabs import compare
from app.views import compare_evidence
from steering.evidence.grid import cells

ROOT = Path(__file__).resolve().parents[2]


def result(cell: str, won: int) -> dict[str, object]:
    task, method, _ = cell.split("/")
    run = {
        "task": task,
        "variations": [],
        "success": "1" * won + "0" * (40 - won),
        "failure": [""] * won + ["dropped"] * (40 - won),
    }
    cost = {"extraction_s": 1.0, "selection_s": 1.0, "train_s": 9.0, "trainable_parameters": 7, "peak_memory_mb": 5.0}
    return {
        "cell": cell,
        "cost": cost,
        "conditions": [run],
        "settings": {"heads": 20, "demonstrations": 20},
        "wall_s": 1.0,
    }


def test_the_evidence_says_how_far_it_is_and_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.evidence.LOOK_EVERY_S", 0.0)
    made = Experiments(tmp_path)
    assert made.shown() == () and "not computed yet" in compare_evidence.evidence_cards(())
    assert made.figure("grid/success") is None

    def add(cell: str, won: int) -> None:
        file = tmp_path / "grid" / f"{cell}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(result(cell, won)))

    add("pick_cube/lora/0", 10)
    (one,) = made.shown()
    assert (one.name, one.done, one.cells) == ("grid", 1, len(cells()))
    add("pick_cube/steering_vlm/0", 30)
    shown = compare_evidence.evidence_cards(made.shown())
    assert f"2 of {len(cells())} cells" in shown and "Beside the paper" in shown
    assert "<td>75</td><td>90</td><td>+15</td><td>25</td><td>75</td><td>+50</td>" in shown
    assert "the paper has Robotic Steering above LoRA by 15 points; the twin agrees" in shown
    figure = made.figure("grid/success")
    assert figure is not None and {bar["name"] for bar in figure["data"]} == {
        "LoRA, all heads",
        "Robotic Steering, VLM heads",
    }
    assert made.figure("../../secret") is None and made.figure("grid/../secret") is None


def test_the_screen_and_the_trial_stand_beside_the_grid_as_far_as_they_are_made(tmp_path: Path) -> None:
    for rule, after in (("random_0", 0.4), ("reach", 0.2)):
        cell = {"cell": f"pick_cube/{rule}/4/0", "heads": [[0, 1]], "relevance": [0.1], "before": 1.0, "after": after}
        file = tmp_path / "screen" / "pick_cube" / rule / "4-0.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(cell | {"train_s": 9.0, "train_cpu_s": 9.0}))
    for seed in range(3):
        for arm in ("steering", "lora"):
            runs = [{"task": "place_marker_in_mug", "variations": [], "success": "10" if arm == "lora" else "1" * 2}]
            file = tmp_path / "trial" / "few" / arm / f"{seed}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({"cell": f"few/{arm}/{seed}", "conditions": runs}))
    made = Experiments(tmp_path)
    assert made.headline("screen") == "", "nobody waits for it"
    trial, screen = made.shown()
    assert made.headline("screen").startswith("With 4 heads no rule is shown to train better than random ones (2 of ")
    assert (trial.name, trial.done, screen.name, screen.done) == ("trial", 6, "screen", 2)
    shown = compare_evidence.evidence_cards(made.shown())
    assert "Nothing may be said to be better or worse yet" in shown and "<td>0.50</td>" in shown
    assert "Few demonstrations: Robotic Steering is better: +50 points" in shown
    assert "makes the others. Five contrasts" in shown and "6 of 120 cells" in shown and "not computed yet" in shown
    assert made.figure("screen/rules_4") is not None and made.figure("trial/forest") is not None
    assert compare_evidence.figure_of("screen/rules_4")["name"] == "Rules with 4 heads"


def test_a_server_that_shows_the_evidence_holds_no_scipy() -> None:
    shown = "from app.evidence import Experiments; done = Experiments().shown()[-1].done"
    code = f"import sys; {shown}; print(done, 'scipy' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=ROOT)
    done, loaded = ran.stdout.split()
    assert int(done) > 100 and loaded == "False", ran.stderr


def test_it_is_sent_once_and_not_with_every_comparison(context: Context) -> None:
    assert 'data-testid="evidence"' in str(compare.show_evidence(context))
    assert not any('data-testid="evidence"' in str(one) for one in compare.show(context, ["", 0], ""))


def test_an_unreadable_cell_does_not_break_the_page(tmp_path: Path) -> None:
    for name in ("grid", "screen", "trial"):
        (tmp_path / name / "pick_cube" / "lora").mkdir(parents=True)
        (tmp_path / name / "pick_cube" / "lora" / "0.json").write_text('{"cell": "pick')
    assert Experiments(tmp_path).shown() == ()
