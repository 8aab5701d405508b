"""Head sites on the published π0 (without its weights) and on the tiny one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import PI0Config, PI0ForConditionalGeneration

from steering.activations.capture import capture
from steering.errors import InputError, NotFound
from steering.finetune.plan import plan, sizes_of_checkpoint, sizes_of_model
from steering.finetune.training import finetune
from steering.models.architecture import small_pi0_config, train_tokenizer
from steering.models.checkpoint import open_checkpoint
from steering.models.loading import load_policy, save_policy
from steering.models.preprocessing import dataset_statistics
from steering.models.sites import check_heads, layout_of, pair_layout
from steering.types import STACKS, FinetuneSettings, Head, HeadShape, Selection, Stack

from ..conftest import TINY


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


def test_a_policy_whose_expert_has_fewer_heads_is_captured_and_trained(demonstrations, tmp_path):
    """Joined layer by layer, the stacks of a π0 need the same layers and head width, not as many heads."""
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["press the button"] * 5, vocab_size=300)
    config = small_pi0_config(TINY, len(tokenizer), tokenizer.convert_tokens_to_ids("<image>"))
    config.dit_config.num_attention_heads = 2
    save_policy(PI0ForConditionalGeneration(config), tokenizer, dataset_statistics(demonstrations), tmp_path / "policy")
    policy = load_policy(tmp_path / "policy")
    shape = HeadShape((Stack("vlm", 3, 4, 8), Stack("expert", 3, 2, 8)))
    assert policy.head_shape == shape == sizes_of_checkpoint(open_checkpoint(tmp_path / "policy")).head_shape
    activations = capture(policy, demonstrations)
    np.testing.assert_array_equal(activations.outputs.std(0).any(-1), shape.present)
    np.testing.assert_array_equal(activations.inert, policy.layout.inert | ~shape.present)
    chosen = Selection((Head("vlm", 1, 3), Head("expert", 2, 1)), "hand")
    settings = FinetuneSettings(steps=2, batch_size=4, rank=2, noise_samples=1, warmup_steps=1)
    result = finetune(policy, demonstrations, "steering", settings, chosen, tmp_path / "adapter")
    assert np.isfinite(result.loss).all()
    tuned = load_policy(tmp_path / "policy", adapter=tmp_path / "adapter").model.state_dict()
    for stack, layer, head in (("vlm", 1, 3), ("expert", 2, 1)):
        name = f"{policy.layout.query(stack, layer)}.weight"
        changed = (tuned[name] != policy.model.state_dict()[name]).any(1).nonzero().flatten().tolist()
        assert changed == list(range(8 * head, 8 * head + 8))


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
