"""π0.5 under its published names at reduced width: modules, prompt, statistics, refusals, every stage on its heads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import init_empty_weights
from safetensors.torch import load_file, save_file
from transformers import GemmaConfig, PaliGemmaConfig

from steering.activations.attention import attention_at
from steering.activations.capture import capture
from steering.attribution.scoring import attribute
from steering.errors import InputError
from steering.finetune.plan import sizes_of_checkpoint, sizes_of_model
from steering.finetune.training import finetune
from steering.models.architecture import train_tokenizer
from steering.models.checkpoint import open_checkpoint
from steering.models.hooks import scaled_heads
from steering.models.loading import load_policy
from steering.models.pi05_model import AdaptiveNorm, PI05Config, PI05Model
from steering.models.preprocessing import observe
from steering.relevance.scoring import score
from steering.selection.rules import top_k
from steering.types import STACKS, FinetuneSettings, Head, HeadShape, Selection

from .conftest import SLOTS, SMALL_INSTRUCTIONS, renamed, write_normaliser

PUBLISHED_PARAMETERS = 3_616_757_520  # of `lerobot/pi05_base`, with the expert's unused words
PUBLISHED_TENSORS = 812
SHAPE = HeadShape.pair(3, 4, 256)
TO_PUBLISHED = (
    (r"^model\.vlm\.language_model\.embed_tokens", "paligemma_with_expert.paligemma.lm_head"),
    (r"^model\.vlm\.vision_tower\.", "paligemma_with_expert.paligemma.model.vision_tower.vision_model."),
    (r"^model\.vlm\.", "paligemma_with_expert.paligemma.model."),
    (r"^model\.dit\.", "paligemma_with_expert.gemma_expert.model."),
)


def configuration(**sizes) -> PI05Config:
    """Of the published architecture; sizes: what is smaller here."""
    layers, heads, words = sizes.get("layers", 18), sizes.get("heads", 8), sizes.get("words", 257152)
    gemma = {"num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": 1, "head_dim": 256}
    width, mlp = sizes.get("vlm", (2048, 16384))
    text = gemma | {"model_type": "gemma", "hidden_size": width, "intermediate_size": mlp, "vocab_size": words}
    vision = {"model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304, "image_size": 224}
    vision |= {"patch_size": 14, "num_hidden_layers": 27, "num_attention_heads": 16, "vision_use_head": False}
    vision |= sizes.get("vision", {})
    paligemma = PaliGemmaConfig(text_config=text, vision_config=vision, projection_dim=width, image_token_id=words)
    width, mlp = sizes.get("expert", (1024, 4096))
    expert = GemmaConfig(**gemma, hidden_size=width, intermediate_size=mlp, vocab_size=words)
    return PI05Config(paligemma, expert, chunk_size=sizes.get("chunk", 50))


@pytest.fixture(scope="session")
def pi05_folder(tmp_path_factory, demonstrations) -> Path:
    """Named as `lerobot/pi05_base`, narrow, three layers, with its tokenizer beside it."""
    folder = tmp_path_factory.mktemp("pi05") / "pi05_base"
    folder.mkdir()
    torch.manual_seed(0)
    vision = {"hidden_size": 72, "intermediate_size": 80, "image_size": 28, "num_hidden_layers": 1}
    sizes = {"layers": 3, "heads": 4, "words": 400, "vlm": (32, 48), "expert": (24, 40), "chunk": 4}
    model = PI05Model(configuration(**sizes, vision=vision | {"num_attention_heads": 1}))
    state = {
        name: torch.randn(p.shape) / p.shape[-1] ** 0.5 if p.ndim == 2 and "embed" not in name else p.detach()
        for name, p in model.named_parameters()
    }
    state = renamed(state, TO_PUBLISHED) | {"paligemma_with_expert.gemma_expert.lm_head.weight": torch.zeros(400, 24)}
    save_file({f"model.{name}": tensor for name, tensor in state.items()}, folder / "model.safetensors")
    config = {"type": "pi05", "chunk_size": 4, "max_state_dim": 12, "max_action_dim": 32, "num_inference_steps": 4}
    config["input_features"] = {f"observation.images.{slot}": {"type": "VISUAL"} for slot in SLOTS}
    config["normalization_mapping"] = {"VISUAL": "IDENTITY", "STATE": "QUANTILES", "ACTION": "QUANTILES"}
    (folder / "config.json").write_text(json.dumps(config | {"tokenizer_max_length": 120}))
    train_tokenizer(("Task: State: Action: ", *SMALL_INSTRUCTIONS) * 5, vocab_size=300).save_pretrained(folder)
    text = (folder / "tokenizer.json").read_text().replace("<image>", "<unused>")  # as plain Gemma's
    (folder / "tokenizer.json").write_text(text)
    special = {"bos_token": "<bos>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **special}))
    write_normaliser(folder, demonstrations, "QUANTILES")
    return folder


@pytest.fixture(scope="module")
def pi05(pi05_folder):
    return load_policy(pi05_folder)


@pytest.fixture
def rows(demonstrations):
    return observe(demonstrations, np.array([0, 1]), np.array([1, 2]))


@pytest.fixture
def batch(pi05, rows):
    return pi05.prepare(rows, np.random.default_rng(1).uniform(-1, 1, (2, 4, 7)).astype(np.float32))


def loss(policy, batch) -> torch.Tensor:
    noise = torch.randn(2, 2, 4, 32, generator=torch.Generator().manual_seed(0))
    return policy.flow_loss(batch, noise, torch.tensor([[0.3, 0.8], [0.5, 0.1]]))


def test_the_published_size_has_the_published_parameters():
    with init_empty_weights(include_buffers=False):
        model = PI05Model(configuration())
    unused = model.config.dit_config.vocab_size * model.config.dit_config.hidden_size
    assert sum(p.numel() for p in model.parameters()) + unused == PUBLISHED_PARAMETERS
    assert len(list(model.parameters())) + 1 == PUBLISHED_TENSORS


def test_it_loads_with_and_without_the_prefix(pi05, pi05_folder, tmp_path):
    assert pi05.head_shape == SHAPE and (pi05.chunk_size, pi05.noise_dim, pi05.action_dim) == (4, 32, 7)
    assert sizes_of_checkpoint(open_checkpoint(pi05_folder)) == sizes_of_model(pi05.model)
    folder = shutil.copytree(pi05_folder, tmp_path / "openpi")
    state = load_file(folder / "model.safetensors")
    save_file({name.removeprefix("model."): tensor for name, tensor in state.items()}, folder / "model.safetensors")
    other = load_policy(folder)
    for name, parameter in pi05.model.named_parameters():
        assert torch.equal(parameter, other.model.get_parameter(name)), name


def test_the_norm_scales_shifts_and_gates():
    norm = AdaptiveNorm(4, 1e-6)
    hidden, time = torch.randn(2, 3, 4), torch.randn(2, 4)
    scale, shift, gate = (time @ norm.dense.weight.T + norm.dense.bias).split(4, 1)
    normal = hidden / (hidden.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    found = norm(hidden, time)
    torch.testing.assert_close(found[0], normal * (1 + scale[:, None]) + shift[:, None])
    torch.testing.assert_close(found[1], gate[:, None])


def test_the_prompt_says_instruction_and_state(pi05, rows, batch):
    ids, length = batch["input_ids"][0], int(batch["attention_mask"][0].sum())
    text = pi05.preprocessor.tokenizer.decode(ids[2 * 4 : length])
    own = pi05.preprocessor.statistics
    normal = (rows.state[0] - own.state_mean) / (own.state_std + 1e-8)  # not padded to max_state_dim
    integers = np.digitize(normal, np.linspace(-1, 1, 257)[:-1]) - 1
    written = f"Task: press the button, State: {' '.join(map(str, integers))};\nAction:"
    assert text.removeprefix("<bos>").strip() == written and (ids[: 2 * 4] == 400).all()


def test_quantiles_or_mean_as_the_checkpoint_says(pi05, pi05_folder, demonstrations, tmp_path):
    action = np.concatenate([e.action for e in demonstrations.episodes])
    low, high = np.quantile(action, (0.01, 0.99), axis=0)
    expected = 2 * (action - low) / (high - low) - 1
    found = pi05.preprocessor.actions(action)[:, :7].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(found).max() > 1  # not clipped
    folder = shutil.copytree(pi05_folder, tmp_path / "mean")
    write_normaliser(folder, demonstrations, "MEAN_STD")
    found = load_policy(folder).preprocessor.actions(action)[:, :7].numpy()
    np.testing.assert_allclose(found, (action - action.mean(0)) / action.std(0), atol=1e-4)


def test_without_statistics_quantiles_come_from_the_demonstrations(pi05, pi05_folder, demonstrations, tmp_path):
    folder = shutil.copytree(pi05_folder, tmp_path / "base")
    (folder / "policy_preprocessor.json").unlink()
    with pytest.raises(InputError, match="statistics_from"):
        load_policy(folder)
    policy = load_policy(folder, statistics_from=demonstrations)
    assert policy.own_statistics is None and "the checkpoint has none" in policy.notices[0]
    for name, value in vars(pi05.preprocessor.statistics).items():
        np.testing.assert_allclose(getattr(policy.preprocessor.statistics, name), value, atol=1e-5)


@pytest.mark.parametrize("setting", ["use_relative_actions", "use_visual_memory", "use_proprioceptive_memory"])
def test_what_is_not_computed_is_refused(setting, pi05_folder, tmp_path):
    folder = shutil.copytree(pi05_folder, tmp_path / "other")
    config = json.loads((folder / "config.json").read_text()) | {setting: True}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=setting):
        load_policy(folder)


def test_padding_frozen_layers_and_company_change_nothing(pi05, rows, batch):
    expected = loss(pi05, batch)
    embedded = {name: batch[name] for name in ("state", "actions", "attention_mask")}
    embedded["inputs_embeds"] = pi05.embed(batch)
    for layers in (1, 2, 3):
        torch.testing.assert_close(loss(pi05, embedded | pi05.freeze(embedded, layers)), expected, atol=1e-4, rtol=1e-4)
    noise = np.random.default_rng(0).standard_normal((2, 4, 32), np.float32)
    both = pi05.act(rows, noise)
    assert both.shape == (2, 4, 7) and np.isfinite(both).all()
    short = {name: tensor[:, : int(batch["attention_mask"].sum(-1).max())] for name, tensor in batch.items()}
    short |= {name: batch[name] for name in ("pixel_values", "pixel_attention_mask", "state", "actions")}
    torch.testing.assert_close(loss(pi05, short), expected, atol=1e-4, rtol=1e-4)


def test_the_state_moves_the_action_through_the_vlm_alone(pi05, batch):
    other = batch | {"state": batch["state"] + 1}
    assert torch.equal(loss(pi05, other), loss(pi05, batch))


def test_only_the_last_vlm_layer_is_inert(pi05, batch):
    gains = {stack: torch.ones(3, 4, requires_grad=True) for stack in STACKS}
    with scaled_heads(pi05.model, gains):
        loss(pi05, batch).backward()
    gradient = np.stack([gains[stack].grad.numpy() for stack in STACKS])
    inert = pi05.layout.inert
    assert (gradient[inert] == 0).all() and (gradient[~inert] != 0).all()


def test_every_stage_takes_its_heads(pi05, pi05_folder, demonstrations, tmp_path):
    activations = capture(pi05, demonstrations)
    assert activations.tokens == ("last_prefix", "first_action")
    assert activations.outputs.shape[1:] == (2, 3, 4, 256) and activations.outputs.std(0).any(-1).all()
    chosen = top_k(score(activations, "paper", (2, 3)), 3)
    assert {head.stack for head in chosen.heads} == {"vlm"}
    found = attribute(pi05, demonstrations, "attribution_patching", frames=2, samples=1)
    assert np.isfinite(found.score).any()
    assert attention_at(pi05, demonstrations.episodes[0], 1).words == ("press", "the", "button")
    trained(pi05, pi05_folder, demonstrations, "steering", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
def test_other_methods_train_it(method, pi05, pi05_folder, demonstrations, tmp_path):
    trained(pi05, pi05_folder, demonstrations, method, tmp_path)


def trained(pi05, folder, demonstrations, method, place):
    """Two steps of a method: finite losses, the policy as it was, and what was saved changes what it should."""
    heads = (Head("vlm", 1, 0), Head("expert", 1, 2))
    before = {name: tensor.clone() for name, tensor in pi05.model.state_dict().items()}
    settings = FinetuneSettings(steps=2, batch_size=2, rank=2, noise_samples=1, learning_rate=1e-2, warmup_steps=1)
    result = finetune(pi05, demonstrations, method, settings, Selection(heads, "manual"), place)
    assert np.isfinite(result.loss).all() and np.isfinite(result.heldout_error).all()
    assert all(torch.equal(tensor, before[name]) for name, tensor in pi05.model.state_dict().items())
    tuned = load_policy(folder, adapter=place).model.state_dict()
    changed = {name for name, tensor in before.items() if not torch.equal(tuned[name], tensor)}
    assert {pi05.layout.output(head.stack, head.layer) + ".weight" for head in heads} <= changed
    assert method != "steering" or len(changed) == 2 * len(heads)
