"""The frames that finetuning draws from, with what does not change computed once per frame.

The vision tower is frozen under every method, and so are the VLM's layers below the lowest adapter: each frame's
embedded prefix, or the state and the keys and values of those layers, is kept in memory where the run draws frames
often enough to gain and `CACHE_LIMIT_BYTES` allow. Same numbers both ways. On the embedded policy: 2 ms and 45 kB a
frame for the vision tower, up to 2 ms and 180 kB more for the VLM.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F

from steering.models.flow import Batch
from steering.models.policy import SteerablePolicy
from steering.models.preprocessing import action_chunks, observe
from steering.progress import Progress
from steering.types import Demonstrations

CACHE_LIMIT_BYTES = 4 * 2**30
EMBED_BATCH = 32
FREEZING_PASSES = 2
"""Passes over the frames from which on it pays to run the VLM's frozen layers once, in single precision."""


@dataclass(frozen=True)
class FrameSet:
    """Frames of some episodes. episode, frame: int32 [frame]. chunk: float32 [frame, step, dim], raw.

    tokens: prefix length that all batches are padded to. frozen_layers: how many of the VLM's first layers are
    part of the batches (`SteerablePolicy.freeze`). embedded: the batch of all frames, where it is kept.
    """

    policy: SteerablePolicy
    demonstrations: Demonstrations
    episode: np.ndarray
    frame: np.ndarray
    chunk: np.ndarray
    tokens: int = 0
    frozen_layers: int = 0
    embedded: Batch | None = None

    def __len__(self) -> int:
        return len(self.frame)

    def batch(self, rows: np.ndarray) -> Batch:
        """The tensors of chosen rows, as `SteerablePolicy.flow_loss` takes them."""
        if self.embedded is not None:
            index = torch.from_numpy(rows).to(self.policy.device)
            return {name: tensor[index] for name, tensor in self.embedded.items()}
        observation = observe(self.demonstrations, self.episode[rows], self.frame[rows])
        with torch.no_grad():
            batch = self.policy.prepare(observation, self.chunk[rows])
            embeds = self.policy.embed(batch)
            missing = self.tokens - embeds.shape[1]
            batch = {
                "inputs_embeds": F.pad(embeds, (0, 0, 0, missing)),
                "attention_mask": F.pad(batch["attention_mask"], (0, missing)),
                "state": batch["state"],
                "actions": batch["actions"],
            }
            return batch | self.policy.freeze(batch, self.frozen_layers) if self.frozen_layers else batch


def frame_set(
    policy: SteerablePolicy,
    demonstrations: Demonstrations,
    episodes: Sequence[int],
    progress: Progress,
    *,
    draws: int,
    limit: int | None = None,
    frozen_layers: int = 0,
) -> FrameSet:
    """All frames of `episodes`, or `limit` of them evenly spread.

    `draws`: how many frames the run will draw, which decides what is worth keeping. `frozen_layers`: the VLM's
    layers below every adapter.
    """
    lengths = [demonstrations.episodes[e].frames for e in episodes]
    episode = np.repeat(np.asarray(episodes, np.int32), lengths)
    frame = np.concatenate([np.arange(n, dtype=np.int32) for n in lengths])
    chunk = np.concatenate([action_chunks(demonstrations.episodes[e].action, policy.chunk_size) for e in episodes])
    if limit is not None and len(frame) > limit:
        rows = np.linspace(0, len(frame) - 1, limit).round().astype(int)
        episode, frame, chunk = episode[rows], frame[rows], chunk[rows]
    instructions = [demonstrations.episodes[e].instruction for e in episodes]
    cameras = len(demonstrations.episodes[episodes[0]].cameras)
    tokens = policy.preprocessor.tokens(instructions, cameras)["input_ids"].shape[1]
    frames = FrameSet(policy, demonstrations, episode, frame, chunk, tokens)
    if draws <= len(frames):
        return frames
    if draws >= FREEZING_PASSES * len(frames):
        deeper = replace(frames, frozen_layers=frozen_layers)
        if _bytes(deeper) <= CACHE_LIMIT_BYTES:
            return _embedded(deeper, progress)
    return _embedded(frames, progress) if _bytes(frames) <= CACHE_LIMIT_BYTES else frames


def _bytes(frames: FrameSet) -> int:
    """Memory that the batch of all frames would take."""
    return len(frames) * sum(tensor.nbytes for tensor in frames.batch(np.arange(1)).values())


def _embedded(frames: FrameSet, progress: Progress) -> FrameSet:
    """`frames` with the batch of all of them kept."""
    parts = []
    for start in range(0, len(frames), EMBED_BATCH):
        progress.report(start / len(frames), f"Frozen features: frame {start} of {len(frames)}")
        parts.append(frames.batch(np.arange(start, min(start + EMBED_BATCH, len(frames)))))
    return replace(frames, embedded={name: torch.cat([part[name] for part in parts]) for name in parts[0]})
