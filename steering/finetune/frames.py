"""The frames that finetuning draws from, with what does not change computed once per frame.

The vision tower is frozen under every adapter, and so are the VLM's layers below the lowest one: each frame's embedded
prefix, or the state and the keys and values of those layers, is kept in memory where the run draws frames often enough
to gain. With heads of the expert alone that is the whole VLM. Frames are kept while they fit into CACHE_LIMIT_BYTES and
half of the free memory; the others are computed at each draw. Computed under the loop's autocast: same numbers both
ways. On the embedded policy: 2 ms and 45 kB a frame for the vision tower, up to 2 ms and 180 kB more for the VLM.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F

from steering.models.chunks import demonstrated_chunks
from steering.models.flow import Batch
from steering.models.memory import free_bytes
from steering.models.policy import SteerablePolicy
from steering.models.preprocessing import observe
from steering.progress import Progress
from steering.types import Demonstrations

CACHE_LIMIT_BYTES = 4 * 2**30
EMBED_BATCH = 32
FREEZING_PASSES = 2
"""Passes over the frames from which on it pays to run the VLM's frozen layers once."""


@dataclass(frozen=True)
class FrameSet:
    """Frames of some episodes. episode, frame: int32 [frame]. chunk: float32 [frame, step, dim], raw.

    tokens: prefix length that all batches are padded to. frozen_layers: how many of the VLM's first layers are
    part of the batches (`freeze`); None where nothing is frozen, not even the vision tower. precision: of autocast.
    kept: the batch of the first frames, as many as fit.
    """

    policy: SteerablePolicy
    demonstrations: Demonstrations
    episode: np.ndarray
    frame: np.ndarray
    chunk: np.ndarray
    tokens: int = 0
    frozen_layers: int | None = 0
    precision: torch.dtype = torch.float32
    kept: Batch | None = None

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def kept_frames(self) -> int:
        """How many frames are kept."""
        return len(self.kept["state"]) if self.kept else 0

    @property
    def kept_bytes(self) -> int:
        """Memory that they take."""
        return sum(tensor.nbytes for tensor in self.kept.values()) if self.kept else 0

    def batch(self, rows: np.ndarray) -> Batch:
        """The tensors of chosen rows, as `flow_loss` takes them."""
        old = rows < self.kept_frames
        if not old.any():
            return self._computed(rows)
        assert self.kept is not None
        index = torch.from_numpy(rows[old]).to(self.policy.device)
        batch = {name: tensor[index] for name, tensor in self.kept.items()}
        if old.all():
            return batch
        fresh = self._computed(rows[~old])
        order = torch.from_numpy(np.argsort(np.argsort(~old, kind="stable"), kind="stable")).to(self.policy.device)
        return {name: torch.cat([tensor, fresh[name].to(tensor.dtype)])[order] for name, tensor in batch.items()}

    def _computed(self, rows: np.ndarray) -> Batch:
        observation = observe(self.demonstrations, self.episode[rows], self.frame[rows])
        with torch.no_grad(), autocast(self.policy, self.precision):
            batch = self.policy.prepare(observation, self.chunk[rows])
            if self.frozen_layers is None:
                return batch
            embeds = self.policy.embed(batch)
            missing = self.tokens - embeds.shape[1]
            batch = {
                "inputs_embeds": F.pad(embeds, (0, 0, 0, missing)),
                "attention_mask": F.pad(batch["attention_mask"], (0, missing)),
                "state": batch["state"],
                "actions": batch["actions"],
            }
            return batch | self.policy.freeze(batch, self.frozen_layers) if self.frozen_layers else batch


def autocast(policy: SteerablePolicy, precision: torch.dtype) -> torch.autocast:
    """Autocast to `precision` on the policy's device; without effect in single precision."""
    return torch.autocast(policy.device.type, precision, enabled=precision != torch.float32)


def frame_set(
    policy: SteerablePolicy,
    demonstrations: Demonstrations,
    episodes: Sequence[int],
    progress: Progress,
    *,
    draws: int,
    limit: int | None = None,
    frozen_layers: int | None = 0,
    precision: torch.dtype = torch.float32,
) -> FrameSet:
    """All frames of `episodes`, or `limit` of them evenly spread.

    `draws`: how many frames the run will draw, which decides what is worth keeping. `frozen_layers`: the VLM's
    layers below everything that trains, None where the embedded prefix trains too.
    """
    lengths = [demonstrations.episodes[e].frames for e in episodes]
    episode = np.repeat(np.asarray(episodes, np.int32), lengths)
    frame = np.concatenate([np.arange(n, dtype=np.int32) for n in lengths])
    chosen = [demonstrations.episodes[e] for e in episodes]
    chunk = np.concatenate(demonstrated_chunks(demonstrations, policy.chunk_size, episodes))
    if limit is not None and len(frame) > limit:
        rows = np.linspace(0, len(frame) - 1, limit).round().astype(int)
        episode, frame, chunk = episode[rows], frame[rows], chunk[rows]
    instructions = list(dict.fromkeys(text for e in chosen for text in e.all_instructions))
    cameras = len(chosen[0].cameras)
    tokens = policy.preprocessor.tokens(instructions, cameras)["input_ids"].shape[1]
    frames = FrameSet(policy, demonstrations, episode, frame, chunk, tokens, precision=precision)
    if frozen_layers is None:
        return replace(frames, frozen_layers=None)
    if draws <= len(frames):
        return frames
    if draws >= FREEZING_PASSES * len(frames):
        frames = replace(frames, frozen_layers=frozen_layers)
    return _with_kept(frames, progress)


def _with_kept(frames: FrameSet, progress: Progress) -> FrameSet:
    """`frames` with the batch of as many of them kept as fit."""
    of_frame = sum(tensor.nbytes for tensor in frames.batch(np.arange(1)).values())
    room = min(CACHE_LIMIT_BYTES, free_bytes(frames.policy.device.type) // 2)
    count = min(len(frames), room // of_frame)
    kept: Batch = {}
    for start in range(0, count, EMBED_BATCH):
        progress.report(start / count, f"Frozen features: frame {start} of {count}")
        rows = np.arange(start, min(start + EMBED_BATCH, count))
        for name, tensor in frames.batch(rows).items():
            if start == 0:
                kept[name] = tensor.new_empty((count, *tensor.shape[1:]))
            kept[name][start : start + len(rows)] = tensor
    return replace(frames, kept=kept or None)
