"""π0-FAST, the family with one stack: tokens of actions, prompt, next-word loss, decoding, every stage on its heads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PaliGemmaConfig, PreTrainedTokenizerFast

from steering.activations.attention import attention, attention_at
from steering.activations.capture import capture
from steering.attribution.scoring import attribute
from steering.errors import InputError
from steering.finetune.plan import sizes_of_checkpoint, sizes_of_model
from steering.finetune.training import finetune
from steering.models.architecture import train_tokenizer
from steering.models.checkpoint import open_checkpoint
from steering.models.fast_tokens import ActionTokens
from steering.models.hooks import switched_heads
from steering.models.loading import load_policy
from steering.models.pi0_fast import PI0FastConfig, PI0FastModel, PI0FastPolicy
from steering.models.preprocessing import observe
from steering.relevance.scoring import score
from steering.selection import exchange
from steering.selection.rules import top_k
from steering.types import FinetuneSettings, Head, HeadShape, Stack

from .conftest import SMALL_INSTRUCTIONS, renamed, write_normaliser

SHAPE = HeadShape((Stack("vlm", 3, 4, 256),))
WORDS, VOCABULARY, SKIPPED = 300, 800, 8
TO_PUBLISHED = (
    (r"^model\.vlm\.language_model\.embed_tokens", "model.paligemma_with_expert.paligemma.lm_head"),
    (r"^model\.vlm\.vision_tower\.", "model.paligemma_with_expert.paligemma.model.vision_tower.vision_model."),
    (r"^model\.vlm\.", "model.paligemma_with_expert.paligemma.model."),
)


def action_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-pair tokenizer over letters 0 to 199, as FAST's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    rng = np.random.default_rng(0)
    texts = ["".join(map(chr, rng.normal(100, 3, 28).astype(int))) for _ in range(50)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=280, initial_alphabet=alphabet))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@pytest.fixture(scope="session")
def pi0_fast_folder(tmp_path_factory, demonstrations) -> Path:
    """Named as `lerobot/pi0fast-base`, narrow, three layers, with both tokenizers in its folder."""
    folder = tmp_path_factory.mktemp("pi0_fast") / "pi0fast_base"
    folder.mkdir()
    torch.manual_seed(0)
    text = {"model_type": "gemma", "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 1}
    text |= {"hidden_size": 32, "intermediate_size": 48, "head_dim": 256, "vocab_size": VOCABULARY}
    vision = {"model_type": "siglip_vision_model", "hidden_size": 72, "intermediate_size": 80, "image_size": 28}
    vision |= {"patch_size": 14, "num_hidden_layers": 1, "num_attention_heads": 1, "vision_use_head": False}
    sizes = PaliGemmaConfig(text_config=text, vision_config=vision, projection_dim=32, image_token_id=VOCABULARY)
    model = PI0FastModel(PI0FastConfig(sizes))
    state = {
        name: torch.randn(p.shape) / p.shape[-1] ** 0.5 if p.ndim == 2 and "embed" not in name else p.detach()
        for name, p in model.named_parameters()
    }
    save_file(renamed(state, TO_PUBLISHED), folder / "model.safetensors")
    config = {"type": "pi0_fast", "chunk_size": 4, "max_state_dim": 12, "max_action_dim": 16, "max_action_tokens": 9}
    config |= {"fast_skip_tokens": SKIPPED, "tokenizer_max_length": 96}
    (folder / "config.json").write_text(json.dumps(config))
    train_tokenizer(("Task: State: Action: |", *SMALL_INSTRUCTIONS) * 5, vocab_size=WORDS).save_pretrained(folder)
    text = (folder / "tokenizer.json").read_text().replace("<image>", "<unused>")  # as plain Gemma's
    (folder / "tokenizer.json").write_text(text)
    special = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **special}))
    write_normaliser(folder, demonstrations, "QUANTILES")
    action_tokenizer().save_pretrained(folder / "action_tokenizer")
    (folder / "action_tokenizer" / "processor_config.json").write_text(json.dumps({"scale": 10, "min_token": -100}))
    return folder


@pytest.fixture
def fast(pi0_fast_folder) -> PI0FastPolicy:
    return load_policy(pi0_fast_folder)


@pytest.fixture
def rows(demonstrations):
    return observe(demonstrations, np.array([0, 1]), np.array([1, 2]))


@pytest.fixture
def batch(fast, rows):
    chunk = np.random.default_rng(1).uniform(-1, 1, (2, 4, 7)).astype(np.float32)
    return fast.prepare(rows, chunk)


def loss(policy, batch) -> torch.Tensor:
    return policy.flow_loss(batch, torch.zeros(2, 1, 4, 16), torch.zeros(2, 1))


def test_tokens_say_the_chunk_to_half_a_step_of_rounding():
    fast = ActionTokens(action_tokenizer(), scale=10, least=-100)
    chunk = np.random.default_rng(0).uniform(-2, 2, (4, 7)).astype(np.float32)
    again = fast.decode(fast.encode(chunk), 4, 7)
    assert np.abs(again - chunk).max() < 0.05 * 4**0.5 + 1e-6
    assert fast.encode(again) == fast.encode(chunk)
    for wrong in ([], fast.encode(chunk)[:-1], [-1, 3], [9999]):
        np.testing.assert_array_equal(fast.decode(wrong, 4, 7), 0)


def test_one_stack_without_inert_heads(fast, pi0_fast_folder):
    assert fast.head_shape == SHAPE and not fast.layout.inert.any()
    assert sizes_of_checkpoint(open_checkpoint(pi0_fast_folder)) == sizes_of_model(fast.model)
    assert exchange.hex_digits(SHAPE) == 3


def test_the_prompt_says_instruction_and_state(fast, rows, batch):
    ids, length = batch["input_ids"][0], int(batch["attention_mask"][0].sum())
    text = fast.preprocessor.tokenizer.decode(ids[2 * 4 : length])
    state = fast.preprocessor.state(rows.state)[0].numpy()
    integers = np.digitize(state, np.linspace(-1, 1, 257)[:-1]) - 1
    assert text.removeprefix("<bos>").strip() == f"Task: press the button, State: {' '.join(map(str, integers))};"
    assert (ids[: 2 * 4] == VOCABULARY).all() and ids.shape == (2 * 4 + 96,)


def test_the_loss_is_that_of_the_next_word_and_words_do_not_look_ahead(fast, batch):
    whole = loss(fast, batch)
    (first, second) = (
        fast.flow_loss({n: t[i : i + 1] for n, t in batch.items()}, torch.zeros(1, 1, 4, 16), torch.zeros(1, 1))
        for i in (0, 1)
    )
    counts = [len(row) for row in fast.preprocessor.answers(batch["actions"])]
    assert whole.item() == pytest.approx((first.item() * counts[0] + second.item() * counts[1]) / sum(counts), rel=1e-4)
    one = {name: tensor[:1] for name, tensor in batch.items()}
    prompt, (row,) = fast.prefix(one), fast.preprocessor.answers(one["actions"])
    ids = torch.tensor([row])
    together = fast._write(one, prompt.cache, ids, 0)
    prompt = fast.prefix(one)
    apart = [fast._write(one, prompt.cache, ids[:, at : at + 1], at) for at in range(len(row))]
    torch.testing.assert_close(torch.cat(apart, 1), together, atol=2e-4, rtol=1e-3)


def test_padding_frozen_layers_and_company_change_nothing(fast, rows, batch):
    embedded = {n: t for n, t in batch.items() if n in ("state", "actions", "attention_mask")}
    embedded["inputs_embeds"] = fast.embed(batch)
    expected = loss(fast, batch)
    for layers in (1, 2, 3):
        torch.testing.assert_close(loss(fast, embedded | fast.freeze(embedded, layers)), expected, atol=1e-4, rtol=1e-4)
    noise = np.zeros((2, 4, 16), np.float32)
    acted = fast.act(rows, noise)
    assert acted.shape == (2, 4, 7) and np.isfinite(acted).all()
    np.testing.assert_array_equal(fast.act(rows, noise + 1), acted)


def test_what_it_was_taught_it_says(fast, rows):
    """The answers to two prompts learned by heart come out of decoding, to the rounding of FAST."""
    chunk = np.random.default_rng(2).uniform(-1, 1, (2, 4, 7)).astype(np.float32)
    batch = fast.prepare(rows, chunk)
    fast.model.config.max_action_tokens = 40
    with torch.no_grad():
        prompt = fast.prefix(batch)
    read = prompt.cache.get_seq_length()
    trained = [p.requires_grad_() for p in fast.model.model.vlm.language_model.parameters()]
    optimizer = torch.optim.Adam(trained, lr=1e-2)
    for _ in range(60):
        found = fast.flow_loss(batch, torch.zeros(0), torch.zeros(0), prompt)
        prompt.cache.crop(read - prompt.cache.get_seq_length())
        for layer in prompt.cache.layers:
            layer.keys, layer.values = layer.keys.detach(), layer.values.detach()
        optimizer.zero_grad()
        found.backward()
        optimizer.step()
    with torch.no_grad():
        said = fast.denoise(batch, prompt, torch.zeros(0))
    assert found < 0.05 and prompt.cache.get_seq_length() == read
    taught = batch["actions"][..., :7]
    np.testing.assert_allclose(said[..., :7], taught, atol=0.05 * 4**0.5 + 1e-4)
    assert not said[..., 7:].any()


def test_every_stage_takes_its_heads(fast, pi0_fast_folder, demonstrations, tmp_path):
    activations = capture(fast, demonstrations)
    assert activations.tokens == ("last_prefix",) and activations.outputs.shape[1:] == (1, 3, 4, 256)
    assert activations.outputs.std(0).any(-1).all()
    relevance = score(activations, "paper", (2, 3))
    chosen = top_k(relevance, 3)
    assert {head.stack for head in chosen.heads} == {"vlm"} and len(top_k(relevance, 12).heads) == 12
    settings = FinetuneSettings(steps=2, batch_size=4, rank=2, noise_samples=1, learning_rate=1e-2, warmup_steps=1)
    before = {name: tensor.clone() for name, tensor in fast.model.state_dict().items()}
    result = finetune(fast, demonstrations, "steering", settings, chosen, tmp_path / "adapter")
    assert np.isfinite(result.loss).all() and np.isfinite(result.heldout_error).all()
    tuned = load_policy(pi0_fast_folder, adapter=tmp_path / "adapter").model.state_dict()
    layers = {head.layer for head in chosen.heads}
    changed = {name for name, tensor in before.items() if not torch.equal(tuned[name], tensor)}
    names = {"self_attn.q_proj.weight", "self_attn.o_proj.weight"}
    assert changed == {f"model.vlm.language_model.layers.{layer}.{name}" for layer in layers for name in names}
    for head in chosen.heads:
        name = fast.layout.output("vlm", head.layer) + ".weight"
        assert not torch.equal(
            tuned[name][:, 256 * head.head : 256 * head.head + 256],
            before[name][:, 256 * head.head : 256 * head.head + 256],
        )
    assert attention_at(fast, demonstrations.episodes[0], 1).words == ("press", "the", "button")
    looked = attention(fast, demonstrations.episodes[0])
    np.testing.assert_allclose(looked.mass.sum(-1), 1, atol=1e-5)


def test_a_head_that_is_switched_off_changes_the_loss(fast, batch):
    whole = loss(fast, batch)
    for layer in range(3):
        with switched_heads(fast.model, {Head("vlm", layer, 1): 0.0}):
            assert not torch.allclose(loss(fast, batch), whole, atol=1e-6)
    assert torch.equal(loss(fast, batch), whole)


def test_measures_of_the_velocity_say_why_not(fast, demonstrations):
    with pytest.raises(InputError, match="no flow-matching loss"):
        attribute(fast, demonstrations, "attribution_patching", frames=2, samples=1)
