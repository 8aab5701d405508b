"""Axes and names that every stage shares: stacks, cameras, state, action, phases, and the head itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

STACKS = ("vlm", "expert")
STACK_LABELS = {"vlm": "VLM", "expert": "action expert"}
CAMERAS = ("exterior", "wrist")
STATE_NAMES = ("joint_1", "joint_2", "joint_3", "joint_4", "joint_5", "joint_6", "joint_7", "gripper_opening")
ACTION_NAMES = ("delta_x", "delta_y", "delta_z", "delta_roll", "delta_pitch", "delta_yaw", "gripper")
PHASES = ("approach", "grasp", "transport", "release")
PAPER_SET_SIZE = 20  # heads in a set of the paper; `Relevance.best_k` and `cv_mse` are of sets of this size


@dataclass(frozen=True, order=True)
class Head:
    """One attention head: `stack` is one of STACKS, `layer` and `head` count from 0."""

    stack: str
    layer: int
    head: int

    def label(self) -> str:
        """Short name for people, e.g. `VLM 3.5` for layer 3, head 5."""
        return f"{STACK_LABELS[self.stack]} {self.layer}.{self.head}"


@dataclass(frozen=True)
class HeadShape:
    """Number of heads of a policy; both stacks share it (π0 joins their attention layer by layer)."""

    layers: int
    heads: int
    head_dim: int

    def all_heads(self, stacks: Sequence[str] = STACKS) -> tuple[Head, ...]:
        """Every head of `stacks`, in the order stack, layer, head."""
        return tuple(Head(s, la, h) for s in stacks for la in range(self.layers) for h in range(self.heads))

    def last_layer(self, stack: str) -> np.ndarray:
        """bool [stack, layer, head]: the last layer of a stack, inert where only keys and values are read from it."""
        mask = np.zeros((len(STACKS), self.layers, self.heads), bool)
        mask[STACKS.index(stack), -1] = True
        return mask
