"""The worked example of docs/ADAPTERS.md, as it stands there."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np

from steering.models import families
from steering.models.loading import load_policy
from steering.models.preprocessing import observe
from steering.types import Observation

PAGE = Path(__file__).resolve().parents[3] / "docs" / "ADAPTERS.md"


def test_the_family_of_the_page_loads_and_changes_the_prompt(
    policy_folder, policy, demonstrations, tmp_path, monkeypatch
):
    monkeypatch.setattr(families, "FAMILIES", dict(families.FAMILIES))
    example = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(example) == 1
    exec(compile(example[0], str(PAGE), "exec"), {"__name__": "worked_example"})
    folder = shutil.copytree(policy_folder, tmp_path / "task")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "pi0_task"}))
    rows = observe(demonstrations, np.array([0]), np.array([0]))
    noise = np.random.default_rng(0).standard_normal((1, 4, 8), np.float32)
    actions = load_policy(folder).act(rows, noise)
    by_hand = Observation(rows.cameras, rows.state, (f"Task: {rows.instruction[0]}.",))
    np.testing.assert_array_equal(actions, policy.act(by_hand, noise))
    assert not np.array_equal(actions, policy.act(rows, noise))
