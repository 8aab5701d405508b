"""Head sites on the published π0 (without its weights) and on the tiny one."""

from __future__ import annotations

import pytest
import torch
from transformers import PI0Config, PI0ForConditionalGeneration

from steering.errors import InputError, NotFound
from steering.finetune.plan import plan, sizes_of_model
from steering.models.sites import check_heads, layout_of, pair_layout
from steering.types import STACKS, FinetuneSettings, Head, HeadShape


@pytest.fixture(scope="module")
def published():
    with torch.device("meta"):
        return PI0ForConditionalGeneration(PI0Config())


def test_the_published_policy_has_two_times_144_heads(published):
    layout = layout_of(published)
    assert layout.shape == HeadShape.pair(18, 8, 256)
    for stack in STACKS:
        for layer in (0, 17):
            assert published.get_submodule(layout.query(stack, layer)).out_features == 8 * 256
            assert published.get_submodule(layout.output(stack, layer)).in_features == 8 * 256
    assert {head.layer for head in layout.inert_heads} == {17}


def test_lora_targets_of_the_published_policy(published):
    parts = plan("lora", FinetuneSettings(), None, sizes_of_model(published)).parts
    assert len(parts) == 2 * 18 * 7
    assert all(part.name in dict(published.named_modules()) for part in parts)


def test_a_query_block_moves_its_own_head_only(policy, demonstrations):
    hidden = torch.randn(1, 5, 32)
    projection = policy.model.get_submodule(policy.layout.query("vlm", 0))
    before = projection(hidden).unflatten(-1, (4, 8))
    projection.weight[policy.layout["vlm"].query_rows(2)] += 1
    changed = (projection(hidden).unflatten(-1, (4, 8)) != before).any(-1).any(1)[0]
    assert changed.tolist() == [False, False, True, False]


def test_stacks_that_cannot_be_joined():
    config = PI0Config()
    config.dit_config.num_hidden_layers = 4
    with pytest.raises(InputError, match="layer by layer"):
        pair_layout(config)


def test_unknown_heads_and_stacks(published):
    shape = HeadShape.pair(3, 4, 8)
    check_heads((Head("vlm", 2, 3),), shape)
    for head in (Head("vlm", 3, 0), Head("expert", 0, 4), Head("vlm", -1, 0), Head("other", 0, 0)):
        with pytest.raises(InputError, match="3 layers"):
            check_heads((head,), shape)
    with pytest.raises(NotFound, match="Did you mean 'expert'"):
        layout_of(published).query("exprt", 0)
