"""π0 or π0.5 at its published size with random weights: load, act, capture 20 keyframes, score, select, train a step.

    python tests/benchmarks/bench_full_size.py [--family pi0|pi05] [--keyframes 20] [--threads 2] [--keep DIR] [--quick]

Writes a folder as `lerobot/pi0_base` or `pi05_base` is published (their names and configuration, bfloat16, shards of
1 GB, 7 GB in all) to a temporary place and deletes it afterwards. Prints time and peak memory of every stage. Random
weights take as long as trained ones; only the tokenizer is a small one, made on the spot. Needs 9 GB of free memory;
uses a GPU if there is. `--quick` narrows everything but the heads.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import GemmaConfig, PaliGemmaConfig, PI0Config, PI0ForConditionalGeneration

from steering.activations.capture import capture
from steering.finetune.training import finetune
from steering.models.architecture import train_tokenizer
from steering.models.checkpoint import open_checkpoint
from steering.models.loading import load_policy
from steering.models.memory import place
from steering.models.pi05_model import PI05Config, PI05Model
from steering.models.preprocessing import observe
from steering.progress import Progress, Report
from steering.relevance.scoring import score
from steering.selection.rules import top_k
from steering.types import CAMERAS, Demonstrations, Episode, FinetuneSettings

SHARD_BYTES = 1_000_000_000
PROMPT = {"pi0": 48, "pi05": 200}
"""Tokens at most; π0.5 has the state among them."""
EPISODES = 5
INSTRUCTION = "pick up the red cube and place it in the bowl"
SLOTS = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")
TO_PUBLISHED = (
    (r"^model\.vlm\.language_model\.embed_tokens", "paligemma_with_expert.paligemma.lm_head"),
    (r"^model\.vlm\.vision_tower\.", "paligemma_with_expert.paligemma.model.vision_tower.vision_model."),
    (r"^model\.vlm\.", "paligemma_with_expert.paligemma.model."),
    (r"^model\.dit\.embed_tokens", "paligemma_with_expert.gemma_expert.lm_head"),
    (r"^model\.dit\.", "paligemma_with_expert.gemma_expert.model."),
    (r"^embed_action_time\.", ""),
)


def published_name(name: str) -> str:
    """lerobot's name of a parameter of transformers' model."""
    for pattern, replacement in TO_PUBLISHED:
        if re.search(pattern, name):
            return "model." + re.sub(pattern, replacement, name)
    return f"model.{name}"


def architecture(family: str, *, narrow: bool) -> nn.Module:
    """The model on the meta device. narrow: the published heads, and as little as can be of the rest."""
    config = narrow_pi0() if narrow else PI0Config()
    with torch.device("meta"):
        if family == "pi0":
            return PI0ForConditionalGeneration(config)
        vlm, expert = config.vlm_config.to_dict(), config.dit_config.to_dict()
        return PI05Model(PI05Config(PaliGemmaConfig(**vlm), GemmaConfig(**expert)))


def narrow_pi0() -> PI0Config:
    """The published heads, 18 layers × 8 of 256 in both stacks, and as little as can be of the rest."""
    gemma = {"model_type": "gemma", "num_hidden_layers": 18, "num_attention_heads": 8, "num_key_value_heads": 1}
    gemma |= {"hidden_size": 32, "intermediate_size": 48, "head_dim": 256}
    vision = {"model_type": "siglip_vision_model", "hidden_size": 72, "intermediate_size": 80, "image_size": 224}
    vision |= {"patch_size": 56, "num_hidden_layers": 1, "num_attention_heads": 1, "vision_use_head": False}
    paligemma = {"model_type": "paligemma", "text_config": {**gemma, "vocab_size": 400}, "vision_config": vision}
    return PI0Config(vlm_config={**paligemma, "projection_dim": 32, "image_token_id": 399}, dit_config=gemma)


def write_checkpoint(folder: Path, family: str, model: nn.Module) -> int:
    """A random checkpoint of the model's sizes in `folder`; returns its number of parameters."""
    generator = torch.Generator().manual_seed(0)
    shard: dict[str, torch.Tensor] = {}
    where: dict[str, str] = {}
    elements = 0

    def flush() -> None:
        if shard:
            file = f"model-{len(set(where.values())) + 1:05d}.safetensors"
            save_file(shard, folder / file)
            where.update(dict.fromkeys(shard, file))
            shard.clear()

    for name, parameter in model.named_parameters():
        if sum(tensor.nbytes for tensor in shard.values()) + 2 * parameter.numel() > SHARD_BYTES:
            flush()
        norm = "norm" in name and parameter.ndim == 1
        tensor = torch.zeros(parameter.shape, dtype=torch.bfloat16)
        if not norm:
            tensor.normal_(std=0.02, generator=generator)
        elif "layer_norm" in name or "post_layernorm" in name:
            tensor.fill_(float(name.endswith("weight")))
        shard[published_name(name)] = tensor
        elements += parameter.numel()
    if family == "pi05":  # words of the expert, published and used by nothing
        words = model.config.vlm_config.text_config.vocab_size
        shard[published_name("model.dit.embed_tokens.weight")] = torch.zeros(
            (words, model.config.dit_config.hidden_size), dtype=torch.bfloat16
        )
        elements += words * model.config.dit_config.hidden_size
    flush()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    visual = {f"observation.images.{slot}": {"type": "VISUAL", "shape": [3, 224, 224]} for slot in SLOTS}
    config = {"type": family, "input_features": visual, "chunk_size": 50, "max_state_dim": 32, "max_action_dim": 32}
    config |= {"num_inference_steps": 10, "tokenizer_max_length": PROMPT[family], "dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = train_tokenizer([INSTRUCTION, "Task: , State: 0 1 2 3 4 5 6 7 8 9;\nAction: "] * 5, vocab_size=300)
    tokenizer.save_pretrained(folder)
    text = (folder / "tokenizer.json").read_text().replace("<image>", "<unused>")  # its own id is past the vocabulary
    (folder / "tokenizer.json").write_text(text)
    plain = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<bos>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(plain))
    return elements


def demonstrations(frames: int) -> Demonstrations:
    """Noise from two 224-px cameras, 8 state and 7 action dimensions."""
    rng = np.random.default_rng(0)
    episodes = []
    for index in range(EPISODES):
        cameras = {name: rng.integers(0, 256, (frames, 224, 224, 3), dtype=np.uint8) for name in CAMERAS}
        state = rng.standard_normal((frames, 8), dtype=np.float32)
        action = rng.uniform(-1, 1, (frames, 7)).astype(np.float32)
        episodes.append(Episode(f"episode_{index}", INSTRUCTION, 15.0, cameras, state, action))
    return Demonstrations("noise", "", (), tuple(episodes))


@contextmanager
def measured(stage: str) -> Iterator[None]:
    """Print the wall time of what runs inside, and the peak of the process's own memory (mapped files left out)."""
    process, peak, stop = psutil.Process(), [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            memory = process.memory_info()
            peak[0] = max(peak[0], memory.rss - memory.shared)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    yield
    stop.set()
    watcher.join()
    device = f", GPU {torch.cuda.max_memory_allocated() / 1e9:.1f} GB" if torch.cuda.is_available() else ""
    print(f"{stage:42} {time.perf_counter() - began:7.1f} s   peak {peak[0] / 1e9:5.2f} GB{device}", flush=True)


def run(folder: Path, keyframes: int) -> None:
    """Every stage on the checkpoint in `folder`."""
    per_episode = keyframes // EPISODES
    demos = demonstrations(2 * per_episode)
    frames = [np.arange(0, 2 * per_episode, 2)] * EPISODES
    with measured("headers read, memory checked"):
        placement = place(open_checkpoint(folder))
    print(placement.words())
    told: list[Report] = []
    with measured("load"):
        policy = load_policy(folder, None, demos, Progress(told.append))
    print(f"  {len(told)} reports of progress, the last: {told[-1].message}")
    print(f"  {policy.notices[0]}")
    noise = np.random.default_rng(0).standard_normal((1, policy.chunk_size, policy.noise_dim), np.float32)
    with measured("act once (10 denoising steps)"):
        actions = policy.act(observe(demos, np.array([0]), np.array([0])), noise)
    assert actions.shape == (1, 50, 7) and np.isfinite(actions).all()
    with measured(f"capture {per_episode * EPISODES} keyframes"):
        activations = capture(policy, demos, frames=frames, batch_size=4)
    assert activations.outputs.shape[1:] == (2, 18, 8, 256) and np.isfinite(activations.outputs).all()
    with measured("score 288 heads"):
        relevance = score(activations, preset="paper", ks=(5, 10))
    selection = top_k(relevance, 20, ("vlm",))
    settings = FinetuneSettings(steps=1, batch_size=2, rank=16, noise_samples=1)
    with tempfile.TemporaryDirectory() as out, measured("train one step of 20 heads, batch 2"):
        result = finetune(policy, demos, "steering", settings, selection, Path(out), heldout_episodes=())
    assert np.isfinite(result.loss).all()
    print(f"  {result.trainable_parameters / 1e6:.2f} million trained parameters, loss {result.loss[0]:.3f}")


def main() -> None:
    """Build, run, delete."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", choices=PROMPT, default="pi0")
    parser.add_argument("--keyframes", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="keep the checkpoint in this folder, or use the one that is there")
    parser.add_argument("--quick", action="store_true", help="a few steps, only to see that it runs")
    given = parser.parse_args()
    if given.quick:
        given.keyframes = 15
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        if not (folder / "config.json").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            with measured("write the checkpoint"):
                elements = write_checkpoint(folder, given.family, architecture(given.family, narrow=given.quick))
            print(f"  {elements / 1e9:.2f} billion parameters")
        run(folder, given.keyframes)


if __name__ == "__main__":
    main()
