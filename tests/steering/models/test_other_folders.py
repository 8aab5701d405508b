"""What people open in place of a policy is named as what it is; openpi's conversions load as they are written."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from steering.errors import InputError, NotFound
from steering.models import lerobot_layout
from steering.models.checkpoint import open_checkpoint
from steering.models.families import family_of
from steering.models.loading import load_policy
from steering.models.openpi_layout import family_of_weights

OPENPI = {"action_dim": 32, "action_horizon": 10, "paligemma_variant": "gemma_2b", "precision": "bfloat16"}


@pytest.fixture
def conversion(published_folder, tmp_path):
    """A folder as openpi's conversion writes it, with the statistics of a robot with 6 joints."""
    folder = tmp_path / "conversion"
    folder.mkdir()
    state = load_file(published_folder / "model.safetensors")
    save_file({name.removeprefix("model."): tensor for name, tensor in state.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(OPENPI))
    statistics(folder, "me/so101")
    return folder


def statistics(folder, robot):
    place = folder / "assets" / robot
    place.mkdir(parents=True)
    one = {"mean": [0.5] * 6, "std": [2.0] * 6, "q01": [-3.0] * 6, "q99": [1.0] * 6}
    (place / "norm_stats.json").write_text(json.dumps({"norm_stats": {"state": one, "actions": one}}))


def rewrite(folder, **config):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))


def test_an_openpi_conversion_loads_with_its_horizon_and_statistics(conversion, tokenizer_folder):
    policy = load_policy(conversion, tokenizer=tokenizer_folder)
    rewrite(conversion, type="pi0")  # by hand, as people do
    assert load_policy(conversion, tokenizer=tokenizer_folder).chunk_size == 10
    assert (policy.chunk_size, policy.noise_dim, policy.action_dim) == (10, 32, 6) and not policy.notices
    np.testing.assert_array_equal(policy.own_statistics.actions_mean, [0.5] * 6)
    np.testing.assert_array_equal(policy.own_statistics.state_std, [2.0] * 6)


def test_an_openpi_conversion_of_pi05_is_told_by_its_weights_and_has_quantiles(conversion):
    state = load_file(conversion / "model.safetensors")
    names = {name: name.replace("action_time_mlp", "time_mlp") for name in state if not name.startswith("state_proj")}
    save_file({new: state[old] for old, new in names.items()}, conversion / "model.safetensors")
    checkpoint = open_checkpoint(conversion)
    assert checkpoint.family == "pi05" and checkpoint.config["chunk_size"] == 10
    found = lerobot_layout.statistics(checkpoint)
    np.testing.assert_array_equal(found.actions_mean, [-1.0] * 6)
    np.testing.assert_array_equal(found.actions_std, [2.0] * 6)


def test_statistics_of_several_robots_are_a_choice(conversion, tokenizer_folder):
    statistics(conversion, "me/aloha")
    with pytest.raises(InputError, match="me/aloha, me/so101"):
        load_policy(conversion, tokenizer=tokenizer_folder)


@pytest.mark.parametrize("family", ["groot", "xvla", "act"])
def test_known_families_that_are_not_loaded_are_named(family, conversion):
    rewrite(conversion, type=family)
    with pytest.raises(InputError, match=f"says '{family}', .*ADAPTERS"):
        family_of(open_checkpoint(conversion))


def test_a_label_of_another_family_is_refused(conversion):
    rewrite(conversion, type="pi05")
    with pytest.raises(InputError, match="of a pi05 .*those of a pi0. Write 'pi0'"):
        load_policy(conversion)
    state = load_file(conversion / "model.safetensors")
    names = {name: name.replace("action_time_mlp", "time_mlp") for name in state if not name.startswith("state_proj")}
    assert family_of_weights(state) == "pi0" and family_of_weights(names.values()) == "pi05"
    save_file({new: state[old] for old, new in names.items()}, conversion / "model.safetensors")
    rewrite(conversion, type="pi0")
    with pytest.raises(InputError, match="of a pi0 .*those of a pi05. Write 'pi05'"):
        load_policy(conversion)


def test_an_adapter_is_named_with_its_policy(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "lerobot/pi05_base"}))
    with pytest.raises(NotFound, match="adapter .PEFT., trained on 'pi05_base': open that policy"):
        open_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"type": "pi05"}))  # as lerobot saves one
    with pytest.raises(NotFound, match="adapter .PEFT., trained on 'pi05_base': open that policy"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("file", ["params/_METADATA", "params/manifest.ocdbt", "_METADATA"])
def test_a_jax_checkpoint_is_named_with_its_conversion(file, tmp_path):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("")
    with pytest.raises(NotFound, match="JAX checkpoint of openpi: convert it"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("files", "latest"),
    [
        (
            ("checkpoints/005000/pretrained_model/config.json", "checkpoints/010000/pretrained_model/config.json"),
            "010000",
        ),
        (("9000/params/_METADATA", "10000/params/_METADATA"), "10000"),
    ],
)
def test_a_runs_root_is_named_with_its_latest_checkpoint(files, latest, tmp_path):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text("{}")
    with pytest.raises(NotFound, match=f"root of a training run: its latest checkpoint is .*{latest}"):
        open_checkpoint(tmp_path)
