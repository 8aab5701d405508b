"""The expert table: rows for every cell, intervals, and what it says of failures."""

import numpy as np
import pytest
from scipy.stats import norm

from steering.errors import InputError
from steering.simulation import expert_table
from steering.simulation.expert_table import ExpertCell, expert_cells, markdown
from steering.simulation.families import FAMILIES
from steering.simulation.tasks import TASKS


def test_every_task_variation_and_family_has_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """The experts themselves are tested with the tasks; here every third scene fails."""
    lengths = iter([10, 20, None] * 200)
    monkeypatch.setattr(expert_table, "steps_to_success", lambda scene, limit, disturb: next(lengths))
    cells = list(expert_cells(range(6)))
    assert len(cells) == 5 * len(TASKS) + len(FAMILIES)
    assert {(c.successes, c.trials, c.mean_steps, c.failed_seeds) for c in cells} == {(4, 6, 15.0, (2, 5))}
    z, n, p = norm.ppf(0.975), 6, 4 / 6  # Wilson's formula
    middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert cells[0].low == pytest.approx((middle - half) / (1 + z**2 / n))
    assert cells[0].high == pytest.approx((middle + half) / (1 + z**2 / n))
    table = markdown(cells)
    assert all(f"| {name} |" in table for name in (*TASKS, *FAMILIES))
    assert table.count("67 % [30, 90], 15 steps") == len(cells)


def test_a_cell_without_success_has_no_length() -> None:
    cell = ExpertCell("pretraining", "pick", (), 0, 2, 0.0, 0.66, None, (0, 1))
    assert "0 % [0, 66], –" in markdown([cell])


def test_no_seeds_are_refused() -> None:
    with pytest.raises(InputError, match="--seeds"):
        next(expert_cells(range(0)))
