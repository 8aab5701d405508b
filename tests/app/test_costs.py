"""Parameters counted from the configuration against those that PEFT really trains on the model."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from app.costs import policy_size
from steering.errors import NotFound
from steering.types import FinetuneSettings, Head, Selection


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("policy")
    path = Path(__file__).parents[1] / "browser" / "random_policy.py"
    spec = importlib.util.spec_from_file_location("random_policy", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.make(made)
    return made


def test_counts_equal_the_model(folder: Path) -> None:
    from steering.finetune.adapters import attached
    from steering.finetune.parameters import trainable_parameters
    from steering.models.loading import load_policy

    policy, size = load_policy(folder), policy_size(folder, "random")
    heads = (Head("vlm", 1, 0), Head("vlm", 1, 5), Head("vlm", 3, 2), Head("expert", 7, 7))
    settings = FinetuneSettings(rank=8)
    for method, selection, counted in (
        ("steering", Selection(heads, "manual"), size.steering(heads, 8)),
        ("lora", None, size.lora(8)),
    ):
        with attached(policy, method, settings, selection) as (_, masks):
            assert sum(trainable_parameters(policy.model, masks).values()) == counted
    assert size.parameters == sum(p.numel() for p in policy.model.state_dict(keep_vars=True).values())


def test_a_missing_policy_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"config\.json is missing"):
        policy_size(tmp_path, "none")
