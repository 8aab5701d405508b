"""The lean pass gives the loss and the gradients of the plain one, and leaves the model as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm

from steering.finetune import training_pass as training_pass_module
from steering.finetune.attaching import attached
from steering.finetune.frames import frame_set
from steering.finetune.training_pass import training_pass
from steering.progress import Progress
from steering.types import FinetuneSettings


def _loss_and_gradients(policy, batch):
    generator = torch.Generator().manual_seed(0)
    noise, timestep = torch.randn(6, 2, 4, 8, generator=generator), torch.rand(6, 2, generator=generator)
    policy.model.zero_grad(set_to_none=True)
    loss = policy.flow_loss(batch, noise, timestep)
    loss.backward()
    found = {n: p.grad.clone() for n, p in policy.model.named_parameters() if p.grad is not None}
    return float(loss.detach()), found


@pytest.mark.parametrize("method", ["lora", "full"])
def test_loss_and_gradients_are_those_of_the_plain_pass(policy, demonstrations, method):
    frames = frame_set(policy, demonstrations, [0, 1], Progress(), draws=1)
    batch = frames.batch(np.array([0, 3, 7, 9, 11, 12]))  # two instructions of different length: padding
    with attached(policy, method, FinetuneSettings(rank=2), None) as (_, _masks):
        if method == "lora":
            for name, parameter in policy.model.named_parameters():
                if "lora_B" in name:
                    torch.nn.init.normal_(parameter, std=0.1)
        loss, gradients = _loss_and_gradients(policy, batch)
        with training_pass(policy):
            lean_loss, lean_gradients = _loss_and_gradients(policy, batch)
    assert lean_loss == pytest.approx(loss, rel=1e-6)
    for name, gradient in gradients.items():
        if name in lean_gradients:
            torch.testing.assert_close(lean_gradients[name], gradient, rtol=1e-3, atol=1e-5)
        else:
            assert not gradient.any(), name  # what cannot move an action
    assert not any("forward" in vars(module) for module in policy.model.modules())


def _plain(query, key, value, mask, cos, sin, scaling):
    """Attention of many query heads over one key head, written out: RoPE in halves, scores, softmax."""
    half = query.shape[-1] // 2
    turned = torch.cat([-query[..., half:], query[..., :half]], -1)
    query = query * cos[:, :, None] + turned * sin[:, :, None]
    scores = torch.einsum("rqhd,rkd->rhqk", query, key) * scaling
    return torch.einsum("rhqk,rkd->rqhd", (scores if mask is None else scores + mask).softmax(-1), value)


@pytest.mark.parametrize("elements", [1, 2 * 3 * 5 * 7, 2**18], ids=["a row", "two rows", "all rows"])
@pytest.mark.parametrize("shared", [True, False], ids=["keys train", "keys rest"])
@pytest.mark.parametrize("masked", [True, False], ids=["masked", "open"])
def test_attention_and_its_gradients_are_the_plain_ones(monkeypatch, elements, shared, masked):
    monkeypatch.setattr(training_pass_module, "CACHE_ELEMENTS", elements)
    generator = torch.Generator().manual_seed(1)
    rows, queries, heads, keys, dim = 5, 3, 5, 7, 4
    query = torch.randn(rows, queries, heads, dim, generator=generator)
    key, value = torch.randn(2, rows, keys, dim, generator=generator)
    angle = torch.randn(rows, queries, dim // 2, generator=generator).repeat(1, 1, 2)
    mask = torch.zeros(rows, 1, queries, keys).masked_fill(torch.rand(rows, 1, queries, keys) < 0.3, -1e9)
    mask[..., 0] = 0
    given = (mask if masked else None, angle.cos(), angle.sin(), 0.7)
    found, weight = [], torch.randn(rows, queries, heads, dim, generator=generator)
    for of in (_plain, training_pass_module._Attention.apply):
        own = [one.clone().requires_grad_(trains) for one, trains in ((query, True), (key, shared), (value, shared))]
        output = of(*own, *given)
        (output * weight).sum().backward()
        found.append([output.detach(), *(one.grad for one in own if one.grad is not None)])
    assert len(found[0]) == len(found[1]) == (4 if shared else 2)
    for plain, lean in zip(*found, strict=True):
        torch.testing.assert_close(lean, plain, rtol=1e-4, atol=1e-5)


def test_values_alone_may_train(monkeypatch):
    generator = torch.Generator().manual_seed(2)
    query, (key, value) = torch.randn(2, 3, 2, 4, generator=generator), torch.randn(2, 2, 5, 4, generator=generator)
    ones = torch.ones(2, 3, 4)
    for which in (1, 2):
        gradients = []
        for of in (_plain, training_pass_module._Attention.apply):
            own = [query.clone(), key.clone(), value.clone()]
            own[which].requires_grad_(True)
            of(*own, None, ones, 0 * ones, 1.0).square().sum().backward()
            gradients.append(own[which].grad)
        torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_norm_and_its_gradient_are_gemmas(dtype):
    generator = torch.Generator().manual_seed(3)
    x, weight = torch.randn(2, 3, 8, generator=generator) * 3, torch.randn(8, generator=generator)
    norm = GemmaRMSNorm(8, eps=1e-2)
    norm.weight.data = weight
    norm.requires_grad_(False)
    found = []
    for of in (norm, lambda x: training_pass_module._normed(norm, x)):
        own = x.to(dtype).requires_grad_(True)
        output = of(own)
        output.float().square().sum().backward()
        found.append((output, own.grad))
        assert output.dtype == own.grad.dtype == dtype
    exact = dtype == torch.float32
    for plain, lean in zip(*found, strict=True):
        torch.testing.assert_close(lean, plain, rtol=1e-5 if exact else 2e-2, atol=1e-5 if exact else 2e-2)


def test_products_have_the_precision_of_autocast():
    x = torch.ones(2)
    assert training_pass_module._precision(x) == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert training_pass_module._precision(x) == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16, enabled=False):
        assert training_pass_module._precision(x) == torch.float32


def test_rows_whose_scores_fit_go_together(monkeypatch):
    monkeypatch.setattr(training_pass_module, "CACHE_ELEMENTS", 40)
    assert training_pass_module._parts(torch.empty(5, 4, 5)) == [slice(0, 2), slice(2, 4), slice(4, 6)]
    assert training_pass_module._parts(torch.empty(2, 41, 1)) == [slice(0, 1), slice(1, 2)]


@pytest.mark.parametrize("attention", ["grouped_matmul", "eager"])
def test_it_replaces_what_it_can_and_leaves_what_trains(policy, attention):
    """Norms that train, and attention of another kind than the processor's, run as they are."""
    policy.model.config._attn_implementation = attention
    last = policy.model.model.vlm.language_model.layers[-1]
    policy.model.requires_grad_(False)
    last.input_layernorm.requires_grad_(True)
    with training_pass(policy):
        patched = [type(module).__name__ for module in policy.model.modules() if "forward" in vars(module)]
        assert "forward" in vars(last) and "forward" not in vars(last.input_layernorm)
    layers = 2 * 3
    if attention == "eager":
        assert patched == [type(last).__name__]
    else:
        assert patched.count("GemmaAttention") == layers and patched.count("GemmaRMSNorm") == 2 * layers + 2 - 1
    assert not any("forward" in vars(module) for module in policy.model.modules())


def test_of_the_last_layer_keys_and_values_alone_are_computed(policy, demonstrations):
    """What its output projection and its FFN hold changes no loss, on every kind of attention."""
    frames = frame_set(policy, demonstrations, [0], Progress(), draws=1)
    batch, last = frames.batch(np.array([0, 3, 5, 1, 2, 4])), policy.model.model.vlm.language_model.layers[-1]
    for attention in ("grouped_matmul", "eager"):
        policy.model.set_attn_implementation(attention)
        with training_pass(policy), torch.no_grad():
            generator = torch.Generator().manual_seed(0)
            given = torch.randn(6, 2, 4, 8, generator=generator), torch.rand(6, 2, generator=generator)
            before = float(policy.flow_loss(batch, *given))
            last.self_attn.o_proj.weight.fill_(torch.nan)
            last.mlp.down_proj.weight.fill_(torch.nan)
            assert float(policy.flow_loss(batch, *given)) == before
