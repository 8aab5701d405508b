"""Stages 2 and 3: grounding of the named things, then behaviour cloning by flow matching.

Grounding trains the VLM alone: from the last prefix token, before the last layer (whose keys and values still reach
the expert), a linear read-out must tell where the named things are in each camera and from the hand. Behaviour
cloning trains VLM and expert on the expert's action chunks, with the grounding loss kept beside the flow-matching
loss. The vision tower is frozen and its features are cached, so a step costs the VLM and the expert only: about 190
frames a second on two cores with four noise samples a frame.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from steering.models.pi0 import Batch, PI0Policy
from steering.pretraining.collect import PLACES, Shard
from steering.pretraining.corpus import vision_features
from steering.pretraining.vision import cosine_rate
from steering.progress import Progress
from steering.simulation.families import renamed

FARTHEST_PLACE = 3.0
"""In the units of the grounding target: things farther off (0.6 m) have fallen from the table."""


@dataclass(frozen=True)
class Examples:
    """What training needs of the shards, as tensors. Features: bfloat16 [frame, camera, patch, width]."""

    features: torch.Tensor
    state: torch.Tensor
    actions: torch.Tensor
    place: torch.Tensor
    has_target: torch.Tensor
    input_ids: torch.Tensor
    attention_mask: torch.Tensor


def examples(policy: PI0Policy, shard: Shard, seed: int = 0) -> Examples:
    """Run the frozen tower over `shard` and tokenise its instructions, some kinds called by their other names.

    Frames with a lost thing are left out. The names depend on `seed`.
    """
    found = np.abs(shard.place).max((1, 2)) < FARTHEST_PLACE
    shard = Shard(*(getattr(shard, f.name)[found] for f in fields(Shard)))
    rng = np.random.default_rng([seed, 13])
    named = np.array([[renamed(rng, str(text)) for text in row] for row in shard.instruction])
    texts, which = np.unique(named, return_inverse=True)
    tokens = policy.preprocessor.tokens([str(t) for t in texts], cameras=0)
    row = torch.from_numpy(which.reshape(shard.instruction.shape))
    return Examples(
        features=vision_features(policy.model.model.vlm.vision_tower, shard.images),
        state=policy.preprocessor.state(shard.state),
        actions=policy.preprocessor.actions(shard.chunk),
        place=torch.from_numpy(shard.place),
        has_target=torch.from_numpy(shard.has_target),
        input_ids=tokens["input_ids"][row],
        attention_mask=tokens["attention_mask"][row],
    )


class Grounding(nn.Module):
    """Reads the named things' places off the last prefix token, at the input of the VLM's last layer."""

    def __init__(self, policy: PI0Policy) -> None:
        super().__init__()
        language_model = policy.model.model.vlm.language_model
        self.read = nn.Linear(language_model.config.hidden_size, PLACES)
        self._seen: torch.Tensor | None = None
        language_model.layers[-1].register_forward_pre_hook(self._keep, with_kwargs=True)

    def _keep(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        self._seen = args[0] if args else kwargs["hidden_states"]

    def loss(self, batch: Batch, place: torch.Tensor, has_target: torch.Tensor) -> torch.Tensor:
        """Call after the prefix has passed through the VLM. `place` [batch, PLACES], `has_target` bool [batch]."""
        assert self._seen is not None
        hidden, self._seen = self._seen, None
        last = batch["attention_mask"].sum(1) - 1
        token = hidden[torch.arange(len(last)), last].float()
        token = token * torch.rsqrt(token.square().mean(-1, keepdim=True) + 1e-6)
        errors = F.smooth_l1_loss(self.read(token), place, beta=0.1, reduction="none")
        weight = torch.ones_like(errors)
        weight[~has_target, PLACES // 2 :] = 0
        return (errors * weight).sum() / weight.sum()


def _draw(
    rng: np.random.Generator, policy: PI0Policy, data: Examples, size: int
) -> tuple[Batch, torch.Tensor, torch.Tensor]:
    """A random batch with the embedded prefix, and its grounding targets."""
    frames, labels = data.place.shape[:2]
    frame = torch.from_numpy(rng.integers(frames, size=size))
    label = torch.from_numpy(rng.integers(labels, size=size))
    vlm = policy.model.model.vlm
    features = data.features[frame].flatten(1, 2).float()
    ids, mask = data.input_ids[frame, label], data.attention_mask[frame, label]
    longest = int(mask.sum(1).max())
    ids, mask = ids[:, :longest], mask[:, :longest]
    embeds = torch.cat([vlm.multi_modal_projector(features), vlm.get_input_embeddings()(ids)], dim=1)
    batch = {
        "inputs_embeds": embeds,
        "attention_mask": torch.cat([mask.new_ones(size, features.shape[1]), mask], dim=1),
        "state": data.state[frame],
        "actions": data.actions[frame, label],
    }
    return batch, data.place[frame, label], data.has_target[frame, label]


@dataclass(frozen=True)
class Training:
    """Settings of a stage. behaviour: whether the flow-matching loss takes part."""

    steps: int
    behaviour: bool
    batch_size: int = 96
    noise_samples: int = 4
    peak: float = 1e-3
    grounding_weight: float = 1.0
    average: float = 0.998
    seed: int = 0


def train_behaviour(
    policy: PI0Policy,
    data: Examples,
    checkpoint: Path,
    settings: Training,
    progress: Progress | None = None,
    start_from: Path | None = None,
) -> None:
    """Train `policy` in place and leave it with the averaged weights. Resumes from `checkpoint`, if there is one.

    `start_from`: a checkpoint of an earlier stage whose averaged weights are the start.
    """
    progress = progress or Progress()
    model = policy.model
    grounding = Grounding(policy)
    model.requires_grad_(True)
    model.model.vlm.vision_tower.requires_grad_(False)
    trained = nn.ModuleDict({"model": model, "grounding": grounding})
    parameters = [p for p in trained.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=settings.peak, betas=(0.9, 0.95), weight_decay=0.01, fused=True)
    average = copy.deepcopy(trained.state_dict())
    first = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        trained.load_state_dict(saved["weights"])
        average, first = saved["average"], saved["step"]
        optimiser.load_state_dict(saved["optimiser"])
        optimiser.param_groups[0]["fused"] = True
    elif start_from is not None:
        trained.load_state_dict(torch.load(start_from, weights_only=True)["average"])
        average = copy.deepcopy(trained.state_dict())
    rng = np.random.default_rng([settings.seed, first])
    torch.manual_seed(settings.seed * 7919 + first)
    model.train()
    began = time.monotonic()
    smooth: dict[str, float] = {}
    for step in range(first, settings.steps):
        for group in optimiser.param_groups:
            group["lr"] = cosine_rate(step, settings.steps, settings.peak)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            losses = _losses(policy, grounding, data, settings, rng)
        optimiser.zero_grad(set_to_none=True)
        (losses["grounding"] * settings.grounding_weight + losses.get("flow", 0.0)).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        _average(average, trained.state_dict(), min(settings.average, (step + 1) / (step + 10)))
        for name, loss in losses.items():
            smooth[name] = 0.98 * smooth.get(name, loss.item()) + 0.02 * loss.item()
        if (step + 1) % 100 == 0 or step + 1 == settings.steps:
            rate = (step + 1 - first) * settings.batch_size / (time.monotonic() - began)
            progress.report((step + 1) / settings.steps, f"{rate:.0f} frames/s", step=step + 1, **smooth)
        if (step + 1) % 500 == 0 or step + 1 == settings.steps:
            _save(checkpoint, trained, average, optimiser, step + 1)
    trained.load_state_dict(average)
    model.eval().requires_grad_(False)


def _losses(
    policy: PI0Policy, grounding: Grounding, data: Examples, settings: Training, rng: np.random.Generator
) -> dict[str, torch.Tensor]:
    batch, place, has_target = _draw(rng, policy, data, settings.batch_size)
    cache = policy.prefix(batch)
    losses = {"grounding": grounding.loss(batch, place, has_target)}
    if settings.behaviour:
        shape = (settings.batch_size, settings.noise_samples)
        config = policy.model.config
        beta = rng.beta(config.time_sampling_beta_alpha, config.time_sampling_beta_beta, shape)
        timestep = torch.from_numpy(beta).float() * config.time_sampling_scale + config.time_sampling_offset
        noise = torch.randn(*shape, policy.chunk_size, policy.noise_dim)
        losses["flow"] = policy.flow_loss(batch, noise, timestep, cache)
    return losses


@torch.no_grad()
def _average(average: dict[str, torch.Tensor], weights: dict[str, torch.Tensor], keep: float) -> None:
    for name, tensor in average.items():
        tensor.lerp_(weights[name], 1 - keep)


def _save(path: Path, trained: nn.Module, average: dict, optimiser: torch.optim.Optimizer, step: int) -> None:
    partial = path.with_suffix(".partial")
    torch.save(
        {"weights": trained.state_dict(), "average": average, "optimiser": optimiser.state_dict(), "step": step},
        partial,
    )
    partial.rename(path)
