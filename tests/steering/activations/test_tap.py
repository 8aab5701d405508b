"""A tap reads the heads of models that this project knows nothing of; their scores find a planted head."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2Model, LlamaConfig, LlamaForCausalLM, ViTConfig, ViTModel

import steering
from steering.errors import InputError

LAYERS, HEADS = 2, 4


@pytest.fixture
def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": 2, "head_dim": 6}
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=50, hidden_size=16, intermediate_size=24, initializer_range=1.0, **sizes)
    ).eval()


@pytest.fixture
def vit() -> ViTModel:
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "hidden_size": 16, "intermediate_size": 24}
    return ViTModel(ViTConfig(image_size=16, patch_size=8, **sizes), add_pooling_layer=False).eval()


def _projection(model: nn.Module) -> str:
    """The pattern of the output projections, in transformers' names of today."""
    names = [name for name, _ in model.named_modules()]
    known = (r"self_attn\.o_proj$", r"attention\.o_proj$", r"attention\.output\.dense$")
    return next(one for one in known if any(re.search(one, name) for name in names))


def test_what_it_reads_of_a_llama_makes_the_layers_output(llama: LlamaForCausalLM) -> None:
    ids = torch.randint(50, (3, 7))
    made: list[torch.Tensor] = []
    attention = llama.model.layers[1].self_attn
    hook = attention.register_forward_hook(lambda module, args, output: made.append(output[0]))
    with steering.tap(llama, r"self_attn\.o_proj$") as taken, torch.no_grad():
        llama(ids)
        llama(ids.flip(0))
    hook.remove()
    outputs = taken.outputs()
    assert outputs.shape == (6, LAYERS, HEADS, 6) and outputs.dtype == np.float32
    np.testing.assert_allclose(outputs[:3], outputs[3:][::-1], atol=1e-6)
    again = attention.o_proj(torch.from_numpy(outputs[:3, 1].reshape(3, -1)))
    torch.testing.assert_close(again, made[0][:, -1], atol=1e-5, rtol=1e-4)
    assert repr(taken) == "Taken(2 layers, 6 rows)"


def test_it_reads_a_vit_at_the_mean_of_its_patches(vit: ViTModel) -> None:
    pixels = torch.randn(5, 3, 16, 16)
    with steering.tap(vit, _projection(vit), token=lambda outputs: outputs[:, 1:].mean(1)) as taken, torch.no_grad():
        vit(pixels)
    with steering.tap(vit, _projection(vit), token=0) as first, torch.no_grad():
        vit(pixels)
    assert taken.outputs().shape == first.outputs().shape == (5, LAYERS, HEADS, 4)
    assert not np.allclose(taken.outputs(), first.outputs())


def test_it_reads_transformers_conv1d() -> None:
    model = GPT2Model(GPT2Config(vocab_size=20, n_positions=8, n_embd=12, n_layer=2, n_head=3)).eval()
    with steering.tap(model, r"attn\.c_proj$") as taken, torch.no_grad():
        model(torch.randint(20, (2, 4)))
    assert taken.outputs().shape == (2, 2, 3, 4)


def test_hooks_go_with_the_context_also_after_an_error(llama: LlamaForCausalLM) -> None:
    with pytest.raises(RuntimeError, match="stop"), steering.tap(llama, r"o_proj$") as taken:
        raise RuntimeError("stop")
    with torch.no_grad():
        llama(torch.randint(50, (1, 3)))
    with pytest.raises(InputError, match="Nothing ran"):
        taken.outputs()


def test_errors_say_what_to_do(llama: LlamaForCausalLM, vit: ViTModel) -> None:
    with pytest.raises(InputError, match=r"No module's name matches.*self_attn.q_proj"), steering.tap(llama, "nothing"):
        pass
    with pytest.raises(InputError, match=r"layers.0.self_attn, which is no proj"), steering.tap(llama, "self_attn"):
        pass
    with pytest.raises(InputError, match="5 heads do not divide"), steering.tap(llama, r"o_proj$", heads=5):
        pass
    with pytest.raises(InputError, match="Say `heads`"), steering.tap(nn.Sequential(nn.Linear(4, 4)), "0"):
        pass
    with (
        pytest.raises(InputError, match=r"\[batch, head, dim\] of 2 rows"),
        steering.tap(llama, r"o_proj$", token=lambda outputs: outputs.mean(0)),
        torch.no_grad(),
    ):
        llama(torch.randint(50, (2, 3)))
    two = nn.ModuleDict({"text": llama, "pictures": vit})
    with steering.tap(two, rf"o_proj$|{_projection(vit)}") as taken, torch.no_grad():
        llama(torch.randint(50, (2, 3)))
    with pytest.raises(InputError, match="a tap for each stack"):
        taken.outputs()


def test_a_head_that_tells_the_answer_scores_best(llama: LlamaForCausalLM) -> None:
    """What is asked is what head 1.2 says at the last token, so that nothing else can be nearer."""
    generator = torch.Generator().manual_seed(1)
    with steering.tap(llama, r"self_attn\.o_proj$") as taken, torch.no_grad():
        llama(torch.randint(50, (80, 5), generator=generator))
    outputs = taken.outputs()
    asked = outputs[:, 1, 2] / np.linalg.norm(outputs[:, 1, 2], axis=1, keepdims=True)
    activations = steering.Activations.from_arrays(outputs, asked, np.arange(80) // 10)
    scores = steering.score(activations, "paper")
    assert scores.top(1, ["model"]).heads == (steering.Head("model", 1, 2),)
    assert scores[steering.Head("model", 1, 2)] == scores.relevance.score.max()
