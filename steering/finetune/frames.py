"""The frames that finetuning draws from, embedded once: the vision tower is frozen under every method.

Each frame's embedded prefix (image features and instruction) is kept in memory, 41 kB a frame for the embedded
policy, unless that would exceed `CACHE_LIMIT_BYTES`; then batches are embedded as they come. Same numbers both ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F

from steering.models.pi0 import Batch, PI0Policy
from steering.models.preprocessing import action_chunks, observe
from steering.progress import Progress
from steering.types import Demonstrations

CACHE_LIMIT_BYTES = 4 * 2**30
EMBED_BATCH = 32


@dataclass(frozen=True)
class FrameSet:
    """Frames of some episodes. episode, frame: int32 [frame]. chunk: float32 [frame, step, dim], raw.

    tokens: prefix length that all batches are padded to.
    """

    policy: PI0Policy
    demonstrations: Demonstrations
    episode: np.ndarray
    frame: np.ndarray
    chunk: np.ndarray
    tokens: int
    embedded: Batch | None = None

    def __len__(self) -> int:
        return len(self.frame)

    def batch(self, rows: np.ndarray) -> Batch:
        """The tensors of chosen rows: inputs_embeds, attention_mask, state, actions."""
        if self.embedded is not None:
            index = torch.from_numpy(rows).to(self.policy.device)
            return {name: tensor[index] for name, tensor in self.embedded.items()}
        observation = observe(self.demonstrations, self.episode[rows], self.frame[rows])
        with torch.no_grad():
            batch = self.policy.prepare(observation, self.chunk[rows])
            embeds = self.policy.embed(batch)
        missing = self.tokens - embeds.shape[1]
        return {
            "inputs_embeds": F.pad(embeds, (0, 0, 0, missing)),
            "attention_mask": F.pad(batch["attention_mask"], (0, missing)),
            "state": batch["state"],
            "actions": batch["actions"],
        }


def frame_set(
    policy: PI0Policy,
    demonstrations: Demonstrations,
    episodes: Sequence[int],
    progress: Progress,
    *,
    limit: int | None = None,
) -> FrameSet:
    """All frames of `episodes`, or `limit` of them evenly spread, embedded where memory allows."""
    if not episodes:
        none = np.zeros(0, np.int32)
        return FrameSet(policy, demonstrations, none, none, np.zeros((0, policy.chunk_size, policy.action_dim)), 0)
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
    first = frames.batch(np.arange(1))
    if first["inputs_embeds"].nbytes * len(frames) > CACHE_LIMIT_BYTES:
        return frames
    parts = []
    for start in range(0, len(frames), EMBED_BATCH):
        progress.report(start / len(frames), f"Vision features: frame {start} of {len(frames)}")
        parts.append(frames.batch(np.arange(start, min(start + EMBED_BATCH, len(frames)))))
    embedded = {name: torch.cat([part[name] for part in parts]) for name in first}
    return replace(frames, embedded=embedded)
