"""LoRA on chosen heads of models that this project knows nothing of: exactly nothing for every other head."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from steering.errors import InputError
from steering.finetune.adapters import COLUMNS, ROWS, HeadBlocks, HeadLoraConfig, add_head_lora, restrict

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

HEADS, DIM = 4, 6
QUERY, KEY, OUTPUT = (f"model.layers.1.self_attn.{name}" for name in ("q_proj", "k_proj", "o_proj"))
OTHER = "model.layers.0.self_attn.o_proj"
CHOSEN: dict[str, list[int]] = {QUERY: [1, 3], KEY: [1], OUTPUT: [1, 3], OTHER: [0]}
OPTIONS = [
    {},
    {"own_factors": True},
    {"dense": True},
    {"ranks": {QUERY: 5}},
]


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": 2, "num_attention_heads": HEADS, "num_key_value_heads": 2, "head_dim": DIM}
    sizes |= {"vocab_size": 30, "hidden_size": 16, "intermediate_size": 20}
    return LlamaForCausalLM(LlamaConfig(**sizes)).eval()


def _weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: one.detach().clone() for name, one in model.named_parameters() if "lora_" not in name}


def _train(adapted: nn.Module, optimizer: type[torch.optim.Optimizer], steps: int = 4, **options: float) -> None:
    ids = torch.randint(30, (4, 9), generator=torch.Generator().manual_seed(1))
    trained = [one for one in adapted.parameters() if one.requires_grad]
    stepper = optimizer(trained, lr=0.05, **options)  # type: ignore[call-arg]
    for _ in range(steps):
        adapted(input_ids=ids, labels=ids).loss.backward()
        stepper.step()
        stepper.zero_grad()


def _changed_heads(before: Mapping[str, torch.Tensor], model: nn.Module) -> dict[str, list[int]]:
    """Module -> its heads of which any weight has another bit."""
    found = {}
    for name, weight in model.named_parameters():
        difference = weight != before[name]
        if difference.any():
            units = difference.any(1) if "o_proj" not in name else difference.any(0)
            found[name.removesuffix(".weight")] = [i for i, block in enumerate(units.split(DIM)) if block.any()]
    return found


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(
    ("optimizer", "settings"),
    [(torch.optim.AdamW, {"weight_decay": 0.3}), (torch.optim.SGD, {"weight_decay": 0.1, "momentum": 0.9})],
    ids=["adamw", "sgd"],
)
def test_nothing_but_the_chosen_heads_moves_by_a_bit(options, optimizer, settings) -> None:
    model = llama()
    before = _weights(model)
    adapted = add_head_lora(model, HeadLoraConfig(CHOSEN, rank=3, alpha=6, **options), seed=0)
    _train(adapted, optimizer, **settings)
    assert _changed_heads(before, adapted.merge_and_unload()) == CHOSEN


def test_it_is_an_exact_no_op_until_it_has_trained() -> None:
    model, ids = llama(), torch.arange(12).view(2, 6)
    before = model(ids).logits
    adapted = add_head_lora(model, HeadLoraConfig(CHOSEN, own_factors=True))
    assert torch.equal(adapted(ids).logits, before)
    assert all("lora_" in name for name, one in adapted.named_parameters() if one.requires_grad)
    _train(adapted, torch.optim.AdamW)
    assert not torch.allclose(adapted(ids).logits, before)
    with adapted.disable_adapter():
        assert torch.equal(adapted(ids).logits, before)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_what_is_saved_is_plain_lora_that_peft_loads_alone(options, tmp_path: Path) -> None:
    ids = torch.arange(12).view(2, 6)
    adapted = add_head_lora(llama(), HeadLoraConfig(CHOSEN, rank=3, task_type="CAUSAL_LM", **options), seed=0)
    _train(adapted, torch.optim.AdamW)
    adapted.save_pretrained(str(tmp_path))
    loaded = PeftModel.from_pretrained(llama(), str(tmp_path)).eval()
    torch.testing.assert_close(loaded(ids).logits, adapted(ids).logits)
    assert _changed_heads(_weights(llama()), loaded.merge_and_unload()) == CHOSEN


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_loaded_adapter_trains_on_within_its_heads(options, tmp_path: Path) -> None:
    config = HeadLoraConfig(CHOSEN, rank=3, **options)
    adapted = add_head_lora(llama(), config, seed=0)
    _train(adapted, torch.optim.AdamW)
    adapted.save_pretrained(str(tmp_path))
    loaded = PeftModel.from_pretrained(llama(), str(tmp_path), is_trainable=True)
    with pytest.raises(InputError, match="changes other heads"):
        restrict(loaded, HeadLoraConfig({**CHOSEN, QUERY: [1, 2]}, rank=3, **options))
    again = restrict(PeftModel.from_pretrained(llama(), str(tmp_path), is_trainable=True), config)
    _train(again, torch.optim.AdamW, weight_decay=0.3)
    assert _changed_heads(_weights(llama()), again.merge_and_unload()) == CHOSEN


def test_the_same_seed_gives_the_same_bytes_and_leaves_torchs_own_draws_alone() -> None:
    config = HeadLoraConfig(CHOSEN)
    one, two, other = (add_head_lora(llama(), config, seed=seed) for seed in (7, 7, 8))
    torch.manual_seed(3)
    expected = torch.rand(2)
    model = llama()
    torch.manual_seed(3)
    add_head_lora(model, config, seed=7)
    assert torch.equal(torch.rand(2), expected)
    pairs = [dict(model.named_parameters()) for model in (one, two, other)]
    name = next(name for name in pairs[0] if f"{QUERY}.lora_A" in name)
    assert all(torch.equal(pairs[0][key], pairs[1][key]) for key in pairs[0])
    assert not torch.equal(pairs[0][name], pairs[2][name])


def test_whole_modules_may_train_beside_the_heads() -> None:
    model = llama()
    before, up = _weights(model), "model.layers.0.mlp.up_proj"
    config = HeadLoraConfig({OUTPUT: [2], up: None}, rank=2, modules_to_save=["lm_head"])
    adapted = add_head_lora(model, config, seed=0)
    _train(adapted, torch.optim.AdamW)
    changed = _changed_heads(before, adapted.merge_and_unload())
    assert changed.keys() == {OUTPUT, up, "lm_head"} and changed[OUTPUT] == [2]


def test_fused_queries_are_named_by_their_rows() -> None:
    """GPT-2 keeps queries, keys and values in one Conv1D, whose weight lies the other way round."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=30, n_positions=16, n_embd=12, n_layer=1, n_head=3)).eval()
    before = _weights(model)
    fused, out = "transformer.h.0.attn.c_attn", "transformer.h.0.attn.c_proj"
    values = HeadBlocks((1,), ROWS, 4, start=24)
    adapted = add_head_lora(model, HeadLoraConfig({fused: values, out: [1]}, rank=2), seed=0)
    _train(adapted, torch.optim.AdamW, weight_decay=0.3)
    after = dict(adapted.merge_and_unload().named_parameters())
    moved = {name for name in before if not torch.equal(after[name], before[name])}
    assert moved == {f"{fused}.weight", f"{out}.weight"}
    rows = (after[f"{fused}.weight"] != before[f"{fused}.weight"]).any(0).nonzero().flatten()
    columns = (after[f"{out}.weight"] != before[f"{out}.weight"]).any(1).nonzero().flatten()
    assert rows.tolist() == [28, 29, 30, 31] and columns.tolist() == [4, 5, 6, 7]


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ({}, "at least one module"),
        ({QUERY: []}, "at least one head of model.layers.1.self_attn.q_proj"),
        ({QUERY: [0, 0]}, "each once"),
        ({QUERY: [4]}, "has 4 heads of 6, counted from 0"),
        ({KEY: [2]}, "has 2 heads of 6"),
        ({"q_proj": [0]}, "no projection 'q_proj'.*end like it: model.layers.0.self_attn.q_proj"),
        ({"model.layers.0.mlp.up_proj": [0]}, "rows or columns"),
    ],
    ids=str,
)
def test_errors_say_what_to_do(heads, message) -> None:
    with pytest.raises(InputError, match=message):
        add_head_lora(llama(), HeadLoraConfig(heads))


def test_heads_lie_in_rows_or_columns() -> None:
    with pytest.raises(InputError, match="'rows' or 'columns', got 'diagonal'"):
        HeadBlocks((0,), "diagonal", 6)


def test_a_model_that_does_not_say_how_wide_its_heads_are_is_told() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.o_proj = nn.Linear(8, 8, bias=False)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.o_proj(inputs)

    with pytest.raises(InputError, match="the model does not say"):
        add_head_lora(Attention(), HeadLoraConfig({"o_proj": [0]}))
    adapted = add_head_lora(Attention(), HeadLoraConfig({"o_proj": HeadBlocks((1,), COLUMNS, 4)}))
    assert adapted(torch.ones(1, 8)).shape == (1, 8)
