"""The release's recipe and openpi's LoRA: counted at the published sizes; whose rows and columns factors touch."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from accelerate import init_empty_weights
from transformers import GemmaConfig, PaliGemmaConfig, PI0Config

from steering.finetune.attaching import attached
from steering.finetune.parameters import trainable_parameters
from steering.finetune.plan import parameter_counts, plan, sizes_of_config, sizes_of_model
from steering.finetune.presets import preset
from steering.models.pi05_model import PI05Config, PI05Model
from steering.types import Head, Selection

TWENTY = Selection(tuple(Head("vlm", layer, head) for layer in range(5) for head in range(4)), "hand")
HEADS = Selection((Head("vlm", 0, 1), Head("vlm", 0, 3), Head("expert", 1, 2)), "hand")
GEMMA = {"num_hidden_layers": 18, "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256}
TEXT = GEMMA | {"model_type": "gemma", "hidden_size": 2048, "intermediate_size": 16384, "vocab_size": 8}
EXPERT = GEMMA | {"hidden_size": 1024, "intermediate_size": 4096}
VISION = {"model_type": "siglip_vision_model", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
VLM = {"text_config": TEXT, "vision_config": VISION | {"num_attention_heads": 1}, "projection_dim": 2048}
QUERIES_AND_OUTPUTS, FFN = 2 * 20 * 16 * (2048 + 256), 18 * 3 * 16 * (2048 + 16384)
WHOLE = {"pi05": 2_165_792, "pi0": 3_248_160}  # 2.17 and 3.25 million


@pytest.fixture(scope="module")
def sizes():
    with init_empty_weights(include_buffers=False):
        pi05 = PI05Model(PI05Config(PaliGemmaConfig(**VLM), GemmaConfig(**EXPERT)))
    pi0 = PI0Config(vlm_config=VLM | {"model_type": "paligemma"}, dit_config=EXPERT | {"model_type": "gemma"})
    return {"pi05": sizes_of_model(pi05), "pi0": sizes_of_config(pi0)}


@pytest.mark.parametrize("family", WHOLE)
def test_the_releases_recipe_trains_what_it_trains(family, sizes):
    counts = parameter_counts("steering", preset("release"), TWENTY, sizes[family])
    assert counts["q_proj"] + counts["o_proj"] == QUERIES_AND_OUTPUTS == 1_474_560
    assert counts["mlp"] == FFN == 15_925_248 and counts["projections"] == WHOLE[family]
    assert family == "pi0" or sum(counts.values()) == 19_565_600  # "~20 M" in its README


@pytest.mark.parametrize("family", WHOLE)
def test_openpis_lora_trains_what_it_trains(family, sizes):
    counts = parameter_counts("lora", preset("openpi_lora"), None, sizes[family])
    assert counts.pop("projections") == WHOLE[family]
    assert sum(counts.values()) == 49_987_584


@pytest.mark.parametrize(("method", "name"), [("steering", "release"), ("lora", "openpi_lora")])
def test_counts_are_those_of_the_model(method, name, policy):
    settings = dataclasses.replace(preset(name), rank=2, alpha=4.0, expert_rank=3)
    chosen = plan(method, settings, HEADS, sizes_of_model(policy.model))
    with attached(policy, method, settings, HEADS) as (peft_model, masks):
        assert chosen.parameters() == trainable_parameters(policy.model, masks, chosen)
        adapters = [module for module in peft_model.modules() if getattr(module, "lora_A", None)]
        assert {module.scaling["default"] for module in adapters} == {2.0}


def test_every_head_has_factors_of_its_own(policy):
    """The change of two heads of a layer has twice the rank, and what one head's factors hold moves that head alone."""
    settings = dataclasses.replace(preset("release"), rank=2, ffn="none", projections=False, time_mlp=False)
    dim = policy.head_shape.head_dim
    with attached(policy, "steering", settings, HEADS) as (_, masks):
        query = policy.model.get_submodule(policy.layout.query("vlm", 0))
        with torch.no_grad():
            for name, mask in masks.items():
                policy.model.get_parameter(name).copy_(torch.randn(mask.shape) * mask)
            query.lora_B["default"].weight[:, :2] = 0  # the first head's
            change = query.get_delta_weight("default")
        rows = change.abs().sum(1).nonzero().flatten().tolist()
        assert rows == list(range(3 * dim, 4 * dim)) and torch.linalg.matrix_rank(change) == 2
        output = policy.model.get_submodule(policy.layout.output("vlm", 0))
        with torch.no_grad():
            output.lora_B["default"].weight.normal_()
            change = output.get_delta_weight("default")
        columns = change.abs().sum(0).nonzero().flatten().tolist()
        assert columns == [*range(dim, 2 * dim), *range(3 * dim, 4 * dim)]
        assert torch.linalg.matrix_rank(change) == 4
