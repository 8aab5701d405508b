"""The ready example that Compare opens with: real, complete, small, and what its own command makes."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from steering import pipeline
from steering.comparison.compare import compare, scenes_to_watch
from steering.errors import InputError
from steering.samples import EXAMPLE_SETTINGS, MAX_EXAMPLE_BYTES, SAMPLES, example, open_store
from steering.types import Comparison, Rollouts


@pytest.fixture
def shipped(tmp_path: Path):
    store = open_store(tmp_path)
    made = store.find("comparison")
    if not made:
        pytest.skip("needs the example; `python -m steering example` makes it")
    return store, made[0].id


def test_the_example_compares_three_methods_in_a_hundred_scenes(shipped) -> None:
    store, comparison_id = shipped
    value: Comparison = store.load(comparison_id)
    rollouts: list[Rollouts] = [store.load(one) for one in store.manifest(comparison_id).parents]
    assert [one.method for one in rollouts] == ["zero_shot", "steering", "lora"]
    assert value.seeds == pipeline.scene_seeds(0, 100) and value.disagreement
    again = compare(rollouts)
    assert again.outcomes == value.outcomes
    assert [_to_nine_digits(one) for one in (*again.rates, *again.tests)] == [
        _to_nine_digits(one) for one in (*value.rates, *value.tests)
    ]


def _to_nine_digits(one: object) -> tuple[object, ...]:
    """The fields of a dataclass; the last digits are the processor's and the library's."""
    return tuple(float(f"{value:.9g}") if isinstance(value, float) else value for value in astuple(one))  # type: ignore[call-overload]


def test_its_films_are_of_the_scenes_that_show_the_most(shipped) -> None:
    store, comparison_id = shipped
    rollouts = [store.load(one) for one in store.manifest(comparison_id).parents]
    for one in rollouts:
        assert one.recorded == scenes_to_watch(rollouts, 6)
        assert all(path.is_file() for path in (*one.videos, *one.traces)) and len(one.traces) == 6
    assert len(set(rollouts[0].recorded) & set(store.load(comparison_id).disagreement)) >= 2


def test_its_adapters_were_trained_on_the_sample_demonstrations_as_the_command_does(shipped) -> None:
    store, comparison_id = shipped
    sample = store.find("demonstrations")[0].id
    size = 0
    for rollouts_id in store.manifest(comparison_id).parents:
        manifest = store.manifest(rollouts_id)
        folders = [store.folder(one) for one in (rollouts_id, *manifest.parents)]
        size += sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())
        for adapter in manifest.parents:
            result = store.load(adapter)
            assert sample in store.manifest(adapter).parents and result.settings == EXAMPLE_SETTINGS
            assert len(result.loss) == EXAMPLE_SETTINGS.steps and np.isfinite(result.loss).all()
            assert store.manifest(adapter).params["weights"] == manifest.params["weights"]
            assert (result.folder / "adapter_model.safetensors").is_file()
    assert size <= MAX_EXAMPLE_BYTES


def test_the_example_needs_the_samples(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="make the samples first"):
        example(tmp_path / "work", tmp_path / "out")
    assert SAMPLES.is_dir()
