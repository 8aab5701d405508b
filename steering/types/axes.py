"""Axes and names that every stage shares: stacks of layers, cameras, state, action, phases, and the head itself.

A policy has one to several stacks, each with layers, heads and a head width of its own. Arrays over heads are
[stack, layer, head], as large as the largest stack: a cell where a stack has no head (`HeadShape.present`) is NaN in
scores, marked inert in masks and 0 in head outputs, and belongs to no set, rank, family or map.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from steering.errors import InputError, unknown_name

STACKS = ("vlm", "expert")
STACK_LABELS = {"vlm": "VLM", "expert": "action expert"}
"""What people call the two stacks that most policies have; any other is called by its name."""
CAMERAS = ("exterior", "wrist")
STATE_NAMES = ("joint_1", "joint_2", "joint_3", "joint_4", "joint_5", "joint_6", "joint_7", "gripper_opening")
ACTION_NAMES = ("delta_x", "delta_y", "delta_z", "delta_roll", "delta_pitch", "delta_yaw", "gripper")
PHASES = ("approach", "grasp", "transport", "release")
PAPER_SET_SIZE = 20  # heads in a set of the paper; `Relevance.best_k` and `cv_mse` are of sets of this size


@dataclass(frozen=True, order=True)
class Head:
    """One attention head: `stack` is the name of one of the policy's stacks, `layer` and `head` count from 0."""

    stack: str
    layer: int
    head: int

    def label(self) -> str:
        """Short name for people, e.g. `VLM 3.5` for layer 3, head 5."""
        return f"{stack_label(self.stack)} {self.layer}.{self.head}"


@dataclass(frozen=True)
class Stack:
    """Layers of equally many heads. name: `vlm` where it reads pictures and words, `expert` where it makes actions."""

    name: str
    layers: int
    heads: int
    head_dim: int

    @property
    def label(self) -> str:
        """What people call it."""
        return stack_label(self.name)


@dataclass(frozen=True)
class HeadShape:
    """The heads of a policy: its stacks, in the order of the first axis of arrays [stack, layer, head]."""

    stacks: tuple[Stack, ...]

    def __post_init__(self) -> None:
        if not self.stacks or len(set(self.names)) != len(self.stacks):
            raise InputError(f"Expected at least one stack of heads, each of its own name, got {list(self.names)}.")
        if any(min(one.layers, one.heads) < 1 for one in self.stacks):
            raise InputError(f"Expected at least one layer and one head in each stack, got {self.words()}.")

    @classmethod
    def pair(cls, layers: int, heads: int, head_dim: int = 1) -> HeadShape:
        """A VLM and an action expert with the same heads, as π0 and most policies have."""
        return cls(tuple(Stack(name, layers, heads, head_dim) for name in STACKS))

    @classmethod
    def completed(cls, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The stored fields; of an older version, which knew pairs of equal stacks alone, its pair."""
        sizes = [fields.get(name) for name in ("layers", "heads", "head_dim")]
        return {"stacks": cls.pair(*sizes).stacks} if all(type(n) is int for n in sizes) else dict(fields)  # type: ignore

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the stacks."""
        return tuple(one.name for one in self.stacks)

    @property
    def layers(self) -> int:
        """Layers of the deepest stack."""
        return max(one.layers for one in self.stacks)

    @property
    def heads(self) -> int:
        """Heads in a layer of the widest stack."""
        return max(one.heads for one in self.stacks)

    @property
    def head_dim(self) -> int:
        """Dimensions of the widest head."""
        return max(one.head_dim for one in self.stacks)

    @property
    def grid(self) -> tuple[int, int, int]:
        """Size of an array [stack, layer, head]."""
        return len(self.stacks), self.layers, self.heads

    @property
    def count(self) -> int:
        """Number of heads."""
        return sum(one.layers * one.heads for one in self.stacks)

    @cached_property
    def present(self) -> np.ndarray:
        """bool [stack, layer, head]: where there is a head."""
        mask = np.zeros(self.grid, bool)
        for s, one in enumerate(self.stacks):
            mask[s, : one.layers, : one.heads] = True
        return mask

    def __getitem__(self, name: str) -> Stack:
        """The stack of that name. Raises NotFound."""
        return self.stacks[self.index(name)]

    def __contains__(self, head: Head) -> bool:
        """Whether the policy has that head."""
        return any(
            one.name == head.stack and 0 <= head.layer < one.layers and 0 <= head.head < one.heads
            for one in self.stacks
        )

    def index(self, name: str) -> int:
        """The place of a stack on the first axis. Raises NotFound."""
        if name not in self.names:
            raise unknown_name("stack", name, self.names)
        return self.names.index(name)

    def place(self, head: Head) -> tuple[int, int, int]:
        """Where a head lies in arrays [stack, layer, head]. Raises where the policy has no such head."""
        stack = self[head.stack]
        if not (0 <= head.layer < stack.layers and 0 <= head.head < stack.heads):
            raise InputError(
                f"There is no head {head.layer}.{head.head} in the {stack.label}: it has {stack.layers} layers × "
                f"{stack.heads} heads, counted from 0. Was the selection made for another policy?"
            )
        return self.index(head.stack), head.layer, head.head

    def at(self, place: Sequence[int] | np.ndarray) -> Head:
        """The head at a place of arrays [stack, layer, head]."""
        s, layer, head = place
        return Head(self.stacks[s].name, int(layer), int(head))

    def where(self, mask: np.ndarray) -> tuple[Head, ...]:
        """The heads that a bool [stack, layer, head] marks, in that order."""
        return tuple(self.at(place) for place in np.argwhere(mask & self.present))

    def has_the_heads_of(self, other: HeadShape) -> bool:
        """Whether both name the same heads, whatever their width."""
        sizes = [[(one.name, one.layers, one.heads) for one in shape.stacks] for shape in (self, other)]
        return sizes[0] == sizes[1]

    def all_heads(self, stacks: Sequence[str] | None = None) -> tuple[Head, ...]:
        """Every head of `stacks` (all by default), in the order stack, layer, head."""
        wanted = self.names if stacks is None else stacks
        return tuple(
            Head(one.name, layer, head)
            for one in self.stacks
            if one.name in wanted
            for layer in range(one.layers)
            for head in range(one.heads)
        )

    def ordered(self, heads: Iterable[Head]) -> tuple[Head, ...]:
        """The heads in the order stack, layer, head. Raises for one that the policy does not have."""
        return tuple(sorted(heads, key=self.place))

    def last_layer(self, name: str) -> np.ndarray:
        """bool [stack, layer, head]: a stack's last layer, inert where only keys and values are read from it."""
        mask = np.zeros(self.grid, bool)
        if name in self.names:
            s = self.index(name)
            mask[s, self.stacks[s].layers - 1] = self.present[s, self.stacks[s].layers - 1]
        return mask

    def blanked(self, values: np.ndarray) -> np.ndarray:
        """Floats [..., stack, layer, head] with NaN where there is no head."""
        return values if self.present.all() else np.where(self.present, values, np.nan).astype(values.dtype)

    def words(self) -> str:
        """E.g. `18 layers × 8 heads in each of VLM, action expert`, or every stack's own."""
        sizes = {(one.layers, one.heads) for one in self.stacks}
        if len(sizes) == 1:
            each = f"{self.layers} layers × {self.heads} heads"
            labels = ", ".join(one.label for one in self.stacks)
            return f"{each} in each of {labels}" if len(self.stacks) > 1 else f"{each} in the {labels}"
        return ", ".join(f"{one.layers} layers × {one.heads} heads in the {one.label}" for one in self.stacks)


def in_order(heads: Iterable[Head]) -> tuple[Head, ...]:
    """Heads of a policy that is not at hand, by stack, layer, head; VLM and expert before stacks of other names."""
    known = {name: index for index, name in enumerate(STACKS)}
    return tuple(sorted(heads, key=lambda head: (known.get(head.stack, len(known)), head)))


def stack_label(name: str) -> str:
    """What people call the stack of that name."""
    return STACK_LABELS.get(name, name.replace("_", " "))


def stacks_of(stacks: tuple[Stack, ...], grid: Sequence[int], head_dim: int = 1) -> tuple[Stack, ...]:
    """The stacks of an array [stack, layer, head] of size `grid`, checked; where none are named, a VLM and an expert.

    Raises InputError where the array does not fit to them.
    """
    if not stacks and grid[0] == len(STACKS):
        return HeadShape.pair(grid[1], grid[2], head_dim).stacks
    if not stacks or HeadShape(stacks).grid != tuple(grid):
        said = HeadShape(stacks).words() if stacks else "no stacks"
        raise InputError(
            f"Expected an array [stack, layer, head] of the size of its stacks; it is {tuple(grid)} and they are "
            f"{said}. Name its stacks, with the layers and heads of each."
        )
    return stacks
