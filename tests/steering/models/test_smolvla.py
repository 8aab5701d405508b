"""SmolVLA, the second family: a folder as lerobot publishes it, narrow, through every stage of the method."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from steering import pipeline
from steering.errors import InputError
from steering.finetune.training import finetune
from steering.models.checkpoint import open_checkpoint, read_header
from steering.models.loading import load_policy
from steering.models.preprocessing import observe
from steering.models.smolvla import SmolVLAPolicy
from steering.store import Store
from steering.types import FinetuneSettings, Head, HeadShape, Selection

INSTRUCTIONS = ("press the button", "place the marker in the mug")


@pytest.fixture
def smolvla(smolvla_folder, demonstrations):
    return load_policy(smolvla_folder, statistics_from=demonstrations)


@pytest.fixture
def batch(smolvla, demonstrations):
    observation = observe(demonstrations, np.array([0, 1]), np.array([1, 2]))
    return smolvla.prepare(observation, np.zeros((2, 12, 7), np.float32))


def _noise(rows, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, 12, 32), np.float32)


def test_it_loads_by_the_same_call(smolvla):
    assert isinstance(smolvla, SmolVLAPolicy)
    assert smolvla.head_shape == HeadShape.pair(4, 3, 64)
    assert (smolvla.chunk_size, smolvla.noise_dim, smolvla.action_dim) == (12, 32, 7)
    assert "the checkpoint has none" in smolvla.notices[0]


def test_it_acts_by_image_instruction_state_and_noise(smolvla, demonstrations):
    rows = observe(demonstrations, np.array([0, 1]), np.array([1, 2]))
    actions = smolvla.act(rows, _noise(2))
    assert actions.shape == (2, 12, 7) and np.isfinite(actions).all()
    np.testing.assert_array_equal(smolvla.act(rows, _noise(2)), actions)
    one = observe(demonstrations, np.array([1]), np.array([2]))
    np.testing.assert_allclose(smolvla.act(one, _noise(2)[1:]), actions[1:], atol=1e-5)
    changes = {
        "cameras": {name: 255 - images for name, images in one.cameras.items()},
        "state": one.state + 1,
        "instruction": (INSTRUCTIONS[0],),
    }
    for name, value in changes.items():
        other = smolvla.act(type(one)(**{**vars(one), name: value}), _noise(2)[1:])
        assert np.abs(other - actions[1:]).max() > 1e-4, name
    assert np.abs(smolvla.act(one, _noise(1, seed=5)) - actions[1:]).max() > 1e-3


@pytest.mark.parametrize("height, width", [(30, 40), (40, 30)])
def test_the_black_around_a_picture_lies_where_it_says(smolvla, policy, height, width):
    for one in (smolvla, policy):
        px = one.preprocessor.image_px
        seen = one.preprocessor.pixels([np.full((1, height, width, 3), 255, np.uint8)])[0, 0, 0].numpy() > 0
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        for lit, share in ((rows, height / 40), (columns, width / 40)):
            assert abs(len(lit) - share * px) <= 1 and abs(lit[0] - one.preprocessor.bar * (1 - share) * px) <= 1


def test_actions_see_earlier_actions_only(smolvla, batch):
    """The expert is causal: a change of the noise at step 5 leaves the velocity of steps 0 to 4 as it was."""
    noise = torch.from_numpy(_noise(2))
    changed = noise.clone()
    changed[:, 5] += 1
    with torch.inference_mode():
        cache = smolvla.prefix(batch)
        length = cache.get_seq_length()
        before, after = (smolvla.velocity(batch, cache, values, torch.ones(2)) for values in (noise, changed))
        assert cache.get_seq_length() == length
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert ((before - after)[:, 5:].abs().amax(-1) > 1e-6).all()


def test_images_and_text_do_not_see_the_state(smolvla, batch):
    other = batch | {"state": batch["state"] + 1}
    last = batch["attention_mask"].sum(-1) - 1
    with torch.inference_mode():
        one, two = (smolvla.prefix(values).layers[3].keys for values in (batch, other))
    for row in range(2):
        torch.testing.assert_close(one[row, :, : last[row]], two[row, :, : last[row]])
        assert (one[row, :, last[row]] - two[row, :, last[row]]).abs().max() > 1e-3


def test_a_trained_adapter_loads_again_and_moves_its_heads_only(smolvla, smolvla_folder, demonstrations, tmp_path):
    selection = Selection((Head("vlm", 1, 0),), "manual")
    settings = FinetuneSettings(steps=2, batch_size=4, rank=2, noise_samples=1)
    finetune(smolvla, demonstrations, "steering", settings, selection, tmp_path)
    adapted = load_policy(smolvla_folder, tmp_path, demonstrations)
    moved = {
        name for name, p in adapted.model.named_parameters() if not torch.equal(p, smolvla.model.get_parameter(name))
    }
    layer = "model.vlm.language_model.layers.1.self_attn"
    assert moved == {f"{layer}.q_proj.weight", f"{layer}.o_proj.weight"}
    change = adapted.model.get_parameter(f"{layer}.q_proj.weight") - smolvla.model.get_parameter(
        f"{layer}.q_proj.weight"
    )
    assert (change[64:] == 0).all() and (change[:64] != 0).any()


def test_other_arrangements_are_refused(smolvla_folder, tmp_path):
    folder = shutil.copytree(smolvla_folder, tmp_path / "other")
    config = json.loads((folder / "config.json").read_text()) | {"attention_mode": "self_attn"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="as published"):
        load_policy(folder)


@pytest.fixture(scope="module")
def exported(smolvla_folder, demonstrations, tmp_path_factory):
    """The store, an adapter's id, and what lerobot's layout makes of it: merged, and as an adapter."""
    place = tmp_path_factory.mktemp("exported")
    store = Store(place / "store")
    made = store.save("demonstrations", demonstrations)
    few = {"steps": 3, "batch_size": 2, "rank": 2, "warmup_steps": 1, "noise_samples": 1, "learning_rate": 0.01}
    settings = {**few, "projections": True, "ffn": "all"}
    policy = str(smolvla_folder)
    adapter = pipeline.finetune(store, demonstrations_id=made, method="lora", settings=settings, policy=policy)
    folders = [
        pipeline.export_policy(store, adapter_id=adapter, folder=place / str(merged), merged=merged)
        for merged in (True, False)
    ]
    return store, adapter, *folders


def test_merged_weights_act_alike_when_they_come_back(exported, smolvla_folder, demonstrations):
    store, adapter, merged, _ = exported
    rows = observe(demonstrations, np.array([0, 1]), np.array([1, 2]))
    expected = load_policy(smolvla_folder, store.load(adapter).folder).act(rows, _noise(2))
    before = load_policy(smolvla_folder, statistics_from=demonstrations).act(rows, _noise(2))
    found = load_policy(merged, tokenizer=str(smolvla_folder))
    assert isinstance(found, SmolVLAPolicy) and found.own_statistics is not None
    np.testing.assert_allclose(found.act(rows, _noise(2)), expected, atol=1e-4)
    assert np.abs(before - expected).max() > 1e-2, "it was trained"
    assert set(read_header(merged / "model.safetensors")) == set(open_checkpoint(smolvla_folder).tensors)


def test_its_folder_says_what_lerobot_asks(exported, smolvla_folder):
    store, adapter, merged, low_rank = exported
    base = json.loads((smolvla_folder / "config.json").read_text())
    config = json.loads((merged / "config.json").read_text())
    assert {name: config[name] for name in base} == base and config["output_features"]["action"]["shape"] == [7]
    steps = json.loads((merged / "policy_preprocessor.json").read_text())["steps"]
    assert [one["registry_name"] for one in steps][2:4] == ["smolvla_new_line_processor", "tokenizer_processor"]
    assert steps[3]["config"]["tokenizer_name"] == base["vlm_model_name"]
    told = json.loads((low_rank / "adapter_config.json").read_text())
    modules = {name.rpartition(".")[0] for name in open_checkpoint(smolvla_folder).tensors}
    names = read_header(low_rank / "adapter_model.safetensors")
    trained = {name.split(".lora_")[0].removeprefix("base_model.model.") for name in names if ".lora_" in name}
    assert trained and trained <= modules and set(told["modules_to_save"]) <= modules
    assert json.loads((low_rank / "config.json").read_text())["use_peft"] is True
    with pytest.raises(InputError, match="Only π0 and π0.5 are written in openpi's"):
        pipeline.export_policy(store, adapter_id=adapter, folder=low_rank.parent / "other", layout="openpi")
