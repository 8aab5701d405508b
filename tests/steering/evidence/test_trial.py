"""The trial's cells, and its contrasts on made-up results with known effects."""

import numpy as np
import pytest

from steering.errors import InputError, NotFound
from steering.evidence.trial import ARMS, PRIMARY, TRAININGS, cells, parse_cell, primary, verdict


def _results(effect: dict[str, float], spread: float = 0.08, seeds: int = 15) -> list[dict]:
    """Cells of the two main arms in 400 scenes a condition: training -> difference of the arms' rates."""
    rng, found = np.random.default_rng(11), []
    for name, training in TRAININGS.items():
        for seed in range(seeds):
            for arm in ("steering", "lora"):
                rate = 0.5 + (arm == "steering") * (effect.get(name, 0.0) + rng.normal(0, spread))
                bits = "".join("1" if u < rate else "0" for u in (np.arange(400) + 0.5) / 400)
                runs = [{"task": task, "variations": list(v), "success": bits} for task, v in training.conditions]
                found.append({"cell": f"{name}/{arm}/{seed}", "conditions": runs})
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


def test_every_cell_once_main_arms_first_and_every_contrast_is_run():
    order = cells()
    assert len(order) == len(set(order)) == len(TRAININGS) * len(ARMS) * 15
    assert {cell.arm for cell in order[: 15 * len(TRAININGS) * 2]} == {"steering", "lora"}
    assert all(parse_cell(cell.id) == cell for cell in order)
    for training, conditions in PRIMARY.values():
        assert set(conditions) <= set(TRAININGS[training].conditions)
    with pytest.raises(NotFound, match="arm of the trial"):
        parse_cell("cube/luck/0")
    with pytest.raises(InputError, match="training/arm/seed"):
        parse_cell("cube")
