"""Stage 1: the vision tower learns what is in each image patch, and where its middle is, from the segmentation.

Vision-language models start from a tower that knows objects; this is that, in miniature. Cost: some 600 to 1200
images a second on two cores; ten minutes reach the figures in the model card.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel

from steering.pretraining.collect import COLOUR_CLASSES, GRID, KIND_CLASSES, Shard
from steering.pretraining.corpus import pixels
from steering.progress import Progress

_MIRROR = np.arange(GRID * GRID).reshape(GRID, GRID)[:, ::-1].ravel()
_MIRROR_SIGN = np.array([-1, 1, 1], np.float32)


class DenseHead(nn.Module):
    """Linear read-outs of each patch: kind, colour, offset to the middle (2, in patches) and log distance (1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.kind = nn.Linear(width, KIND_CLASSES)
        self.colour = nn.Linear(width, COLOUR_CLASSES)
        self.offset = nn.Linear(width, 3)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """`features` [..., patch, width]."""
        return self.kind(features), self.colour(features), self.offset(features)


def cosine_rate(step: int, steps: int, peak: float, warmup: int = 200) -> float:
    """Learning rate with linear warm-up and a cosine to a fiftieth."""
    if step < warmup:
        return peak * (step + 1) / warmup
    along = (step - warmup) / max(1, steps - warmup)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * along)))


def _batches(rng: np.random.Generator, shard: Shard, size: int) -> Iterator[tuple[torch.Tensor, ...]]:
    frames, cameras = shard.images.shape[:2]
    while True:
        frame, camera = rng.integers(frames, size=size), rng.integers(cameras, size=size)
        images = pixels(shard.images[frame, camera])
        images = images * (1 + 0.15 * torch.randn(size, 1, 1, 1)) + 0.1 * torch.randn(size, 3, 1, 1)
        kind, colour = (
            shard.patch_kind[frame, camera].astype(np.int64),
            shard.patch_colour[frame, camera].astype(np.int64),
        )
        offset = shard.patch_offset[frame, camera].astype(np.float32)
        if rng.random() < 0.5:  # mirror the whole batch
            images = images.flip(-1)
            kind, colour, offset = kind[:, _MIRROR], colour[:, _MIRROR], offset[:, _MIRROR] * _MIRROR_SIGN
        yield images.clamp(-1, 1), torch.from_numpy(kind), torch.from_numpy(colour), torch.from_numpy(offset)


def train_vision(
    tower: PreTrainedModel,
    shard: Shard,
    folder: Path,
    *,
    steps: int,
    batch_size: int = 128,
    peak: float = 1e-3,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Train `tower` in place; resumes from `folder`/vision.pt. Returns the figures on the last tenth of the frames."""
    progress = progress or Progress()
    head = DenseHead(tower.config.hidden_size)
    parameters = [*tower.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=peak, weight_decay=0.02, betas=(0.9, 0.98))
    checkpoint, first = folder / "vision.pt", 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        tower.load_state_dict(saved["tower"])
        head.load_state_dict(saved["head"])
        optimiser.load_state_dict(saved["optimiser"])
        first = saved["step"]
    torch.manual_seed(seed + first)
    split = len(shard.images) * 9 // 10
    train = Shard(*(getattr(shard, name)[:split] for name in Shard.__dataclass_fields__))
    batches = _batches(np.random.default_rng([seed, first]), train, batch_size)
    tower.train()
    began = time.monotonic()
    for step in range(first, steps):
        for group in optimiser.param_groups:
            group["lr"] = cosine_rate(step, steps, peak)
        images, *labels = next(batches)
        loss = sum(_losses(tower, head, images, *labels), torch.zeros(()))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        if (step + 1) % 200 == 0 or step + 1 == steps:
            rate = (step + 1 - first) * batch_size / (time.monotonic() - began)
            progress.report((step + 1) / steps, f"vision, {rate:.0f} images/s", step=step + 1, loss=loss.item())
        if (step + 1) % 500 == 0 or step + 1 == steps:
            torch.save(
                {
                    "tower": tower.state_dict(),
                    "head": head.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "step": step + 1,
                },
                checkpoint,
            )
    tower.eval()
    held_out = Shard(*(getattr(shard, name)[split:][:1500] for name in Shard.__dataclass_fields__))
    return evaluate_vision(tower, head, held_out)


def _losses(
    tower: PreTrainedModel,
    head: DenseHead,
    images: torch.Tensor,
    kind: torch.Tensor,
    colour: torch.Tensor,
    offset: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = tower(images).last_hidden_state
    kinds, colours, offsets = head(features.float())
    thing = colour > 0
    return (
        F.cross_entropy(kinds.flatten(0, 1), kind.flatten(), label_smoothing=0.01),
        F.cross_entropy(colours[thing], colour[thing]),
        4 * F.smooth_l1_loss(offsets[thing], offset[thing], beta=0.2),
    )


@torch.inference_mode()
def evaluate_vision(tower: PreTrainedModel, head: DenseHead, shard: Shard) -> dict[str, float]:
    """Patch accuracy where there is a thing (kind, colour), F1 of finding things, median offset error in pixels."""
    counts = np.zeros(5)
    errors = []
    for start in range(0, len(shard.images), 128):
        part = slice(start, start + 128)
        kinds, colours, offsets = head(tower(pixels(shard.images[part]).flatten(0, 1)).last_hidden_state)
        kind = torch.from_numpy(shard.patch_kind[part]).flatten(0, 1)
        colour = torch.from_numpy(shard.patch_colour[part]).flatten(0, 1)
        offset = torch.from_numpy(shard.patch_offset[part]).float().flatten(0, 1)
        thing, found = colour > 0, kinds.argmax(-1) > 1
        counts += [
            (kinds.argmax(-1)[thing] == kind[thing]).sum(),
            (colours.argmax(-1)[thing] == colour[thing]).sum(),
            thing.sum(),
            found.sum(),
            (thing & found).sum(),
        ]
        errors.append((offsets[thing] - offset[thing])[..., :2].norm(dim=-1))
    right_kind, right_colour, things, found_things, both = counts
    return {
        "kind_accuracy": right_kind / things,
        "colour_accuracy": right_colour / things,
        "f1": 2 * both / (things + found_things),
        "offset_error_px": float(torch.cat(errors).median() * 16),
    }
