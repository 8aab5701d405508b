"""lerobot's normalisations against its own formulas, wherever a checkpoint keeps them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from steering.models import lerobot_layout
from steering.models.checkpoint import open_checkpoint
from steering.models.preprocessing import Statistics


@pytest.fixture
def folder(published_folder, tmp_path):
    return shutil.copytree(published_folder, tmp_path / "copy")


def _set_mode(folder, mode):
    path = folder / "policy_preprocessor.json"
    path.write_text(path.read_text().replace("MEAN_STD", mode))


def _lerobot(values, data, mode):
    """lerobot's formulas (its normalize_processor)."""
    if mode == "MEAN_STD":
        return (values - data.mean(0)) / (data.std(0) + 1e-8)
    if mode == "IDENTITY":
        return values
    share = {"MIN_MAX": 0.0, "QUANTILES": 0.01, "QUANTILE10": 0.1}[mode]
    low, high = np.quantile(data, share, axis=0), np.quantile(data, 1 - share, axis=0)
    return 2 * (values - low) / (high - low) - 1


@pytest.mark.parametrize("mode", ["MEAN_STD", "MIN_MAX", "QUANTILES", "QUANTILE10", "IDENTITY"])
def test_every_normalisation_becomes_a_mean_and_a_deviation(mode, folder, robot_demonstrations):
    _set_mode(folder, mode)
    statistics = lerobot_layout.statistics(open_checkpoint(folder))
    assert isinstance(statistics, Statistics)
    for field in ("state", "action"):
        data = np.concatenate([getattr(e, field) for e in robot_demonstrations.episodes])
        prefix = "state" if field == "state" else "actions"
        mean, deviation = getattr(statistics, f"{prefix}_mean"), getattr(statistics, f"{prefix}_std")
        np.testing.assert_allclose((data[:3] - mean) / deviation, _lerobot(data[:3], data, mode), rtol=1e-4, atol=1e-5)


def test_older_checkpoints_keep_them_among_the_weights(folder, robot_demonstrations):
    expected = lerobot_layout.statistics(open_checkpoint(folder))
    (folder / "policy_preprocessor.json").unlink()
    assert lerobot_layout.statistics(open_checkpoint(folder)) is None
    weights = load_file(folder / "model.safetensors")
    normaliser = load_file(folder / "policy_preprocessor_step_5_normalizer_processor.safetensors")
    for key in ("mean", "std"):
        weights[f"normalize_inputs.buffer_observation_state.{key}"] = normaliser[f"observation.state.{key}"]
        weights[f"normalize_targets.buffer_action.{key}"] = normaliser[f"action.{key}"]
    save_file(weights, folder / "model.safetensors")
    found = lerobot_layout.statistics(open_checkpoint(folder))
    for field in vars(expected):
        np.testing.assert_array_equal(getattr(found, field), getattr(expected, field))


def test_numbers_that_were_never_set_count_as_none(folder):
    """lerobot initialises the older buffers with infinity."""
    file = folder / "policy_preprocessor_step_5_normalizer_processor.safetensors"
    values = load_file(file)
    values["action.mean"] = values["action.mean"] * float("inf")
    save_file(values, file)
    assert lerobot_layout.statistics(open_checkpoint(folder)) is None


def test_a_state_file_outside_the_folder_is_not_read(folder):
    path = folder / "policy_preprocessor.json"
    shutil.move(
        folder / "policy_preprocessor_step_5_normalizer_processor.safetensors", folder.parent / "stolen.safetensors"
    )
    settings = json.loads(path.read_text())
    settings["steps"][2]["state_file"] = "../stolen.safetensors"
    path.write_text(json.dumps(settings))
    assert lerobot_layout.statistics(open_checkpoint(folder)) is None


def test_cameras_and_tokenizer_are_those_that_the_files_name(folder):
    checkpoint = open_checkpoint(folder)
    assert lerobot_layout.cameras(checkpoint) == ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")
    place, limit = lerobot_layout.tokenizer(checkpoint, "default")
    assert (place.id, limit) == ("google/paligemma-3b-pt-224", 48)
    (folder / "tokenizer.json").write_text("{}")
    assert lerobot_layout.tokenizer(open_checkpoint(folder), "default") == (folder, 48)
