"""Files of lerobot-eval and CSV, both ways, and what is neither."""

import json
from pathlib import Path

import numpy as np
import pytest

from steering.errors import InputError
from steering.trials.book import create
from steering.trials.exchange import paired_outcomes, read_outcomes, write_csv, write_eval_info
from steering.trials.verdict import paired
from steering.types import TrialPlan

PLAN = TrialPlan(("lora", "steering"), ("usual", "=dim"), blocks=6, stages=("grasped", "lifted"), seed=1)
THEIRS = {
    "per_task": [
        {"task_group": "libero_10", "task_id": 0, "metrics": {"sum_rewards": [1.0, 0.0], "successes": [True, False]}},
        {"task_group": "libero_10", "task_id": 1, "metrics": {"sum_rewards": [1.0], "successes": [True]}},
    ],
    "overall": {"pc_success": 66.7},
}
OLDER = {"per_episode": [{"episode_ix": i, "seed": 100 + i, "success": bool(i % 2)} for i in range(4)]}


def test_a_book_goes_out_and_comes_in_again(tmp_path: Path) -> None:
    book = create(tmp_path / "book", PLAN)
    book.record("void", note="=HYPERLINK()")
    for slot in book.slots:
        won = slot.method == "steering" and slot.block > 2
        book.record("success" if won else "failure", progress=None if won else "grasped")
    trials, csv = book.trials(), tmp_path / "all.csv"
    expected = paired(trials, "steering", "lora")
    write_csv(csv, trials)
    found = read_outcomes(csv)
    assert paired_outcomes(found["steering"], found["lora"]).tolist() == expected.tolist() == [0, 0, 1, 1, 1, 1]
    assert "'=HYPERLINK()" in csv.read_text() and "'=dim" in csv.read_text()
    files = write_eval_info(tmp_path / "eval", PLAN, trials)
    both = {path.parent.name: read_outcomes(path)[""] for path in files}
    assert sorted(paired_outcomes(both["steering"], both["lora"])) == sorted(expected)
    info = json.loads(files[1].read_text())
    assert info["overall"]["n_episodes"] == 6 and info["overall"]["pc_success"] == pytest.approx(400 / 6)
    assert info["overall"]["avg_sum_reward"] == pytest.approx((4 + 2 * 0.5) / 6)
    assert [task["task_id"] for task in info["per_task"]] == [0, 1]


def test_lerobots_files_are_paired_by_task_and_episode(tmp_path: Path) -> None:
    path = tmp_path / "eval_info.json"
    path.write_text(json.dumps(THEIRS))
    theirs = read_outcomes(path)[""]
    assert theirs == {
        ("libero_10", "0", "0"): True,
        ("libero_10", "0", "1"): False,
        ("libero_10", "1", "0"): True,
    }
    other = {unit: not won for unit, won in theirs.items()}
    assert paired_outcomes(theirs, other).tolist() == [1, -1, 1]
    path.write_text(json.dumps(OLDER))
    older = read_outcomes(path)[""]
    assert older == {("100",): False, ("101",): True, ("102",): False, ("103",): True}
    with pytest.raises(InputError, match="no episode in common"):
        paired_outcomes(theirs, older)


def test_plain_csv_of_one_method(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("\ufeffscene,success\n7,1\n8,0\n9,true\n10,\n", encoding="utf-8")
    assert np.array_equal(list(read_outcomes(path)[""].values()), [True, False, True])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "nonsense"),
        ("a.csv", "block,outcome\n1,perhaps\n"),
        ("a.csv", "outcome\nsuccess\n"),
        ("a.csv", "block,outcome\n"),
        ("a.json", "{"),
        ("a.json", "[]"),
        ("a.json", "{}"),
        ("a.json", '{"per_task": [{"task_group": 1}]}'),
        ("a.json", '{"per_task": []}'),
        ("a.json", "[" * 100_000),
    ],
)
def test_what_is_no_result_is_said(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=name):
        read_outcomes(path)
    with pytest.raises(InputError, match="there is none"):
        read_outcomes(tmp_path / "none.csv")
