"""Head outputs, head gains and attention rows against the modules' own numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from steering.models.hooks import attention_rows, head_outputs, scaled_heads
from steering.models.preprocessing import observe
from steering.types import STACKS


@pytest.fixture
def batch(policy, demonstrations):
    return policy.prepare(observe(demonstrations, np.array([0, 1]), np.array([1, 2])), np.zeros((2, 4, 7), np.float32))


def _loss(policy, batch):
    generator = torch.Generator().manual_seed(0)
    return policy.flow_loss(batch, torch.randn(2, 1, 4, 8, generator=generator), torch.full((2, 1), 0.5))


def _hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_head_outputs_recombine_to_the_output_projection(policy, batch):
    projected = {}
    for stack in STACKS:
        module = policy.model.get_submodule(policy.layout.output(stack, 1))
        module.register_forward_hook(lambda m, i, output, stack=stack: projected.update({stack: output}))
    with head_outputs(policy.model) as outputs:
        _loss(policy, batch)
    assert len(outputs) == 2 * 3
    for stack in STACKS:
        weight = policy.model.get_submodule(policy.layout.output(stack, 1)).weight
        per_head = [outputs[stack, 1][:, :, h] @ weight[:, h * 8 : h * 8 + 8].T for h in range(4)]
        torch.testing.assert_close(sum(per_head), projected[stack], atol=1e-5, rtol=1e-4)


def test_head_outputs_are_the_same_under_every_attention(policy, batch):
    captured = []
    for implementation in ("grouped_matmul", "eager", "sdpa"):
        policy.model.set_attn_implementation(implementation)
        with head_outputs(policy.model) as outputs:
            _loss(policy, batch)
        valid = batch["attention_mask"].bool()
        captured.append({s: o[valid] if s[0] == "vlm" else o for s, o in outputs.items()})
    for other in captured[1:]:
        for site, output in other.items():
            torch.testing.assert_close(output, captured[0][site], atol=1e-5, rtol=1e-4)


def test_hooks_detach_after_an_error(policy, batch):
    before = _hooks(policy.model)
    with pytest.raises(RuntimeError), head_outputs(policy.model), attention_rows(policy.model, {"vlm": lambda w: w}):
        raise RuntimeError
    assert _hooks(policy.model) == before
    assert policy.model.config._attn_implementation == "grouped_matmul"
    assert policy.model.model.dit.config._attn_implementation == "grouped_matmul"


def test_inert_heads_have_exactly_no_gradient_and_all_others_some(policy, batch):
    gains = {stack: torch.ones(3, 4, requires_grad=True) for stack in STACKS}
    with scaled_heads(policy.model, gains):
        _loss(policy, batch).backward()
    gradient = np.stack([gains[stack].grad.numpy() for stack in STACKS])
    inert = policy.layout.inert
    assert inert.sum() == len(policy.layout.inert_heads) == 4
    assert (gradient[inert] == 0).all()
    assert (gradient[~inert] != 0).all()


def test_a_gain_of_zero_equals_zeroed_columns(policy, batch):
    gain = torch.ones(3, 4)
    assert (base := _loss(policy, batch)) == _loss(policy, batch)
    with scaled_heads(policy.model, {"expert": gain}):
        torch.testing.assert_close(_loss(policy, batch), base)
    gain[1, 2] = 0
    with scaled_heads(policy.model, {"expert": gain}):
        ablated = _loss(policy, batch)
    policy.model.get_submodule(policy.layout.output("expert", 1)).weight[:, 16:24] = 0
    assert (ablated - base).abs() > 1e-5
    torch.testing.assert_close(_loss(policy, batch), ablated)


def test_attention_rows_are_distributions(policy, batch):
    with attention_rows(policy.model, {stack: lambda weights: weights[:, :, -1] for stack in STACKS}) as rows:
        _loss(policy, batch)
    prefix = batch["attention_mask"].shape[1]
    assert rows["vlm", 0].shape == (2, 4, prefix) and rows["expert", 0].shape == (2, 4, prefix + 5)
    for row in rows.values():
        torch.testing.assert_close(row.sum(-1), torch.ones(2, 4))
