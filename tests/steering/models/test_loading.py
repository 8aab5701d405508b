"""Policy folders: they load by plain transformers, and what is wrong with them is said."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import PI0ForConditionalGeneration

from steering.errors import InputError, NotFound
from steering.finetune.training import finetune
from steering.models.loading import load_policy, save_policy
from steering.models.preprocessing import Statistics, observe
from steering.types import FinetuneSettings


@pytest.fixture
def copied_folder(policy_folder, tmp_path):
    return shutil.copytree(policy_folder, tmp_path / "copy")


def test_plain_from_pretrained_gives_the_same_weights(policy, policy_folder):
    model = PI0ForConditionalGeneration.from_pretrained(policy_folder)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, policy.model.get_parameter(name)), name
    assert not any(parameter.requires_grad for parameter in policy.model.parameters())


def test_saving_again_gives_the_same_actions(policy, demonstrations, tmp_path):
    save_policy(policy.model, policy.preprocessor.tokenizer, policy.preprocessor.statistics, tmp_path / "again")
    observation = observe(demonstrations, np.array([0]), np.array([0]))
    noise = np.random.default_rng(0).standard_normal((1, 4, 8), np.float32)
    np.testing.assert_array_equal(
        load_policy(tmp_path / "again").act(observation, noise), policy.act(observation, noise)
    )


def test_half_precision_folders_load_in_single(policy, tmp_path):
    preprocessor = policy.preprocessor
    save_policy(policy.model, preprocessor.tokenizer, preprocessor.statistics, tmp_path / "half", torch.bfloat16)
    half = load_policy(tmp_path / "half")
    assert {p.dtype for p in half.model.parameters()} == {torch.float32}
    assert {p.dtype for p in policy.model.parameters()} == {torch.float32}


def test_missing_folder(tmp_path):
    with pytest.raises(NotFound, match="no folder"):
        load_policy(tmp_path / "nothing")


def test_a_hub_id_that_is_not_downloaded(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(NotFound, match="nobody/nothing"):
        load_policy("nobody/nothing")


def test_missing_tokenizer_and_another_tokenizer(copied_folder):
    config = json.loads((copied_folder / "config.json").read_text())
    config["vlm_config"]["image_token_index"] += 1
    (copied_folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="'<image>' to be token 5"):
        load_policy(copied_folder)
    (copied_folder / "tokenizer.json").unlink()
    with pytest.raises(NotFound, match="tokenizer.json"):
        load_policy(copied_folder)


def test_missing_statistics(copied_folder, policy):
    path = copied_folder / "processor_config.json"
    settings = json.loads(path.read_text())
    settings["state_mean"] = None
    path.write_text(json.dumps(settings))
    with pytest.raises(InputError, match="has none"):
        load_policy(copied_folder)
    path.unlink()
    with pytest.raises(InputError, match="statistics"):
        load_policy(copied_folder)
    eight, seven = np.ones(8, np.float32), np.ones(7, np.float32)
    assert load_policy(copied_folder, statistics=Statistics(eight, eight, seven, seven)).action_dim == 7


def test_another_model(copied_folder):
    (copied_folder / "config.json").write_text(json.dumps({"model_type": "gemma"}))
    with pytest.raises(InputError, match="'gemma'"):
        load_policy(copied_folder)


def test_missing_adapter(policy_folder, tmp_path):
    with pytest.raises(NotFound, match="adapter_config.json"):
        load_policy(policy_folder, adapter=tmp_path)


def test_an_adapter_of_another_policy(policy, policy_folder, demonstrations, tmp_path):
    settings = FinetuneSettings(steps=1, batch_size=2, rank=2)
    finetune(policy, demonstrations, "lora", settings, None, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    for wrong in ({"r": 3}, {"target_modules": "model.other"}):
        (tmp_path / "adapter_config.json").write_text(json.dumps(config | wrong))
        with pytest.raises(InputError, match="does not fit"):
            load_policy(policy_folder, adapter=tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"vlm_config": 3},
        {"vlm_config": {"model_type": "nope"}},
        {"vlm_config": {"model_type": "gemma"}},
        {"vlm_config": None},
        {"chunk_size": "x"},
        {"dit_config": {"model_type": "gemma", "num_hidden_layers": 2}},
    ],
)
def test_a_configuration_that_makes_no_sense(copied_folder, wrong):
    config = json.loads((copied_folder / "config.json").read_text()) | wrong
    (copied_folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="does not make one|layer by layer"):
        load_policy(copied_folder)
