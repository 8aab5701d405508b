"""LoRA on chosen heads of models that this project knows nothing of: exactly nothing for every other head."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, PeftModel
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers.pytorch_utils import Conv1D

from steering.errors import InputError
from steering.finetune.adapters import (
    COLUMNS,
    ROWS,
    HeadBlocks,
    HeadLoraConfig,
    _size,
    add_head_lora,
    head_masks,
    restrict,
)

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


def _lora(config: HeadLoraConfig, model: nn.Module | None = None) -> LoraConfig:
    adapted = add_head_lora(model or llama(), config, seed=0)
    found = adapted.peft_config["default"]
    assert isinstance(found, LoraConfig)
    return found


def test_ranks_and_scales_in_pefts_words() -> None:
    """The rank of a module counts the factors of all its heads; the scale is alpha / rank everywhere."""
    plain = _lora(HeadLoraConfig(CHOSEN, rank=3, alpha=6, ranks={QUERY: 5}, dropout=0.25))
    assert (plain.r, plain.lora_alpha, plain.lora_dropout, plain.fan_in_fan_out) == (3, 6, 0.25, False)
    escaped = QUERY.replace(".", r"\.")
    assert plain.rank_pattern == {escaped: 5} and plain.alpha_pattern == {escaped: 10}
    own = _lora(HeadLoraConfig({QUERY: [1, 3], KEY: [1]}, rank=3, alpha=6, own_factors=True))
    assert (own.r, own.lora_alpha) == (3, 6) and own.rank_pattern == {escaped: 6} and own.alpha_pattern == {escaped: 12}
    dense = _lora(HeadLoraConfig({QUERY: [1, 3], KEY: [1]}, rank=3, alpha=6, dense=True))
    assert (dense.r, dense.lora_alpha) == (2 * DIM, 2 * DIM)
    assert list(dense.rank_pattern.values()) == list(dense.alpha_pattern.values()) == [DIM]
    config = HeadLoraConfig({QUERY: [0], OTHER: None}, rank=4, dense=True)
    assert config.rank_of(OTHER, None) == 1 and config.rank_of(QUERY, HeadBlocks((0, 2, 3), ROWS, 5)) == 15
    config = HeadLoraConfig({OTHER: None}, rank=4, own_factors=True)
    assert config.rank_of(OTHER, None) == 4 and config.rank_of(QUERY, HeadBlocks((0, 2, 3), ROWS, 5)) == 12
    assert _lora(HeadLoraConfig({OTHER: None, QUERY: [0]}, dense=True)).modules_to_save == [OTHER]


def test_masks_leave_each_head_its_own_block_of_its_own_factors() -> None:
    for own in (False, True):
        config = HeadLoraConfig({QUERY: [1, 3], OUTPUT: [2, 0]}, rank=2, own_factors=own)
        adapted = add_head_lora(llama(), config)
        model = adapted.get_base_model()
        masks = head_masks(model, config, config.blocks(model))
        rank = 4 if own else 2
        query, output = (
            torch.zeros(HEADS * DIM, rank, dtype=torch.bool),
            torch.zeros(rank, HEADS * DIM, dtype=torch.bool),
        )
        for index, (row, column) in enumerate(((1, 2), (3, 0))):
            factors = slice(2 * index, 2 * index + 2) if own else slice(None)
            query[row * DIM : (row + 1) * DIM, factors] = True
            output[factors, column * DIM : (column + 1) * DIM] = True
        assert torch.equal(masks[f"{QUERY}.lora_B.default.weight"], query)
        assert torch.equal(masks[f"{OUTPUT}.lora_A.default.weight"], output) and len(masks) == 2


def test_bounds_of_blocks_ranks_and_heads() -> None:
    assert HeadBlocks((2, 0), COLUMNS, 1, start=3).units == ((5,), (3,))
    for axis, dim, start in ((ROWS, 0, 0), (ROWS, 4, -1), ("diagonal", 4, 0)):
        with pytest.raises(InputError, match="Expected heads in"):
            HeadBlocks((0,), axis, dim, start)
    model = llama()
    for wrong in ({"rank": 0}, {"alpha": 0}, {"ranks": {QUERY: 0}}):
        with pytest.raises(InputError, match="rank of at least 1 and a positive alpha"):
            HeadLoraConfig(CHOSEN, **wrong).blocks(model)
    assert len(HeadLoraConfig(CHOSEN, rank=1, alpha=0.5).blocks(model)) == 4
    assert HeadLoraConfig({QUERY: None}).blocks(model) == {}
    for heads in ([-1], HeadBlocks((3,), ROWS, DIM, start=1), HeadBlocks((3,), ROWS, DIM, start=DIM)):
        with pytest.raises(InputError, match="counted from 0"):
            HeadLoraConfig({QUERY: heads}).blocks(model)
    held = HeadLoraConfig({QUERY: HeadBlocks((2,), ROWS, DIM, start=DIM)}).blocks(model)
    assert held[QUERY].units == (tuple(range(18, 24)),)


@pytest.mark.parametrize(
    ("inner", "outer", "config", "wide"),
    [
        ({"head_dim": 2}, {"head_dim": 4}, {}, 2),
        ({}, {"head_dim": 4}, {}, 4),
        ({}, {}, {"attention_head_size": 6}, 6),
        ({"num_heads": 3}, {}, {"head_dim": 6}, 6),  # a width is believed before a number
        ({"num_heads": 3}, {}, {}, 4),
        ({"n_head": 1}, {}, {}, 12),
        ({"head_dim": 5}, {}, {"n_heads": 6}, 2),  # 5 does not divide 12
        ({"head_dim": 0}, {}, {"num_attention_heads": 2}, 6),
        ({"head_dim": 2.0}, {}, {"num_attention_heads": 12}, 1),
    ],
    ids=str,
)
def test_how_wide_a_head_is_says_the_nearest_module(inner, outer, config, wide) -> None:
    attention, model = nn.Module(), nn.Module()
    attention.o_proj = nn.Linear(12, 5, bias=False)
    model.attention, model.config = attention, SimpleNamespace(**config)
    for module, values in ((attention, inner), (model, outer)):
        for name, value in values.items():
            setattr(module, name, value)
    blocks = HeadLoraConfig({"attention.o_proj": [0]}).blocks(model)["attention.o_proj"]
    assert (blocks.dim, blocks.axis, blocks.start) == (wide, COLUMNS, 0)


def test_sizes_of_projections_however_they_keep_them() -> None:
    packed = SimpleNamespace(out_features=6, in_features=9, weight=torch.zeros(27, 1))  # quantised
    assert _size(packed) == (6, 9) and _size(Conv1D(4, 7)) == (4, 7)
    assert _size(SimpleNamespace(weight=torch.zeros(3, 8))) == (3, 8)


def test_without_a_seed_it_draws_on_and_a_whole_dense_adapter_may_be_restricted(tmp_path: Path) -> None:
    model = llama()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    add_head_lora(model, HeadLoraConfig(CHOSEN))
    assert not torch.equal(torch.get_rng_state(), before)
    config = HeadLoraConfig(CHOSEN, dense=True)
    adapted = add_head_lora(llama(), config, seed=0)
    fixed = adapted.get_base_model().get_submodule(QUERY).lora_B["default"].weight
    assert torch.equal(fixed, torch.eye(HEADS * DIM)[:, [*range(DIM, 2 * DIM), *range(3 * DIM, 4 * DIM)]])
    assert not fixed.requires_grad and not adapted.get_base_model().get_submodule(QUERY).lora_A["default"].weight.any()
    assert restrict(adapted, config) is adapted
