"""What a policy computes on a frame: head outputs, attention weights, the effect of a gain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from steering.errors import InputError
from steering.types.axes import STACKS, Head, HeadShape, Stack, stacks_of
from steering.types.robot import Robot

_ABSENT = "absent"  # what older versions called the token of a stack that was not captured


@dataclass(frozen=True)
class Activations:
    """Head outputs (the vector before the output projection) at one token per stack, for chosen frames.

    outputs: float32 [frame, stack, layer, head, dim]. episode, frame: int32 [frame], where each row came from.
    action: float32 [frame, dim], raw demonstrated action. chunk: float32 [frame, step, dim], the following
    actions (past the end the arm stays still: no motion, or the last position again). state: float32 [frame, dim].
    time_in_episode: float32 [frame], 0..1.
    tokens: of each stack, by name. timestep: flow-matching time of the capture (1 = pure noise).
    image: float32 [frame, dim], an embedding of the cameras' images (mean over patches), None where not captured.
    timesteps, samples: of an average over several times (`timestep` is the first) and draws of noise (those of `seed`,
    `seed` + 1, …).
    inert: bool [stack, layer, head], heads that cannot move an action; they are scored but never chosen. Cells that
    hold no head are inert too. stacks: those that were captured; unless named, a VLM and an expert with the same heads.
    Heads narrower than the widest are filled up with zeros, which changes neither cosine nor Euclidean distance.
    robot: whose actions and states they are, as of the demonstrations.
    """

    outputs: np.ndarray
    episode: np.ndarray
    frame: np.ndarray
    action: np.ndarray
    chunk: np.ndarray
    state: np.ndarray
    time_in_episode: np.ndarray
    tokens: tuple[str, ...]
    timestep: float
    seed: int
    inert: np.ndarray
    image: np.ndarray | None = None
    timesteps: tuple[float, ...] = ()
    samples: int = 1
    stacks: tuple[Stack, ...] = ()
    robot: Robot | None = None

    def __post_init__(self) -> None:
        if self.outputs.ndim != 5:
            raise InputError(f"Expected head outputs [frame, stack, layer, head, dim], got {self.outputs.shape}.")
        grid, dim = self.outputs.shape[1:4], self.outputs.shape[4]
        object.__setattr__(self, "stacks", stacks_of(self.stacks, grid, dim))
        if np.shape(self.inert) != grid:
            raise InputError(f"Expected a mask of inert heads of shape {grid}, got {np.shape(self.inert)}.")
        if not self.shape.present.all():
            object.__setattr__(self, "inert", self.inert | ~self.shape.present)

    @property
    def shape(self) -> HeadShape:
        """The heads whose outputs these are."""
        return HeadShape(self.stacks)

    @property
    def columns(self) -> Robot:
        """What the columns of state and action are: `robot`, or what goes by their number."""
        return self.robot or Robot()

    @classmethod
    def completed(cls, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The stored fields, with what an older version did not store: its policies' VLMs end in an inert layer."""
        if "inert" in fields or not {"outputs", "tokens"} <= set(fields):
            return dict(fields)
        outputs, tokens = fields["outputs"], fields["tokens"]
        if outputs.ndim != 5 or not outputs.shape[1] == len(tokens) == len(STACKS):
            return dict(fields)
        captured = [s for s, token in enumerate(tokens) if token != _ABSENT]
        pair = HeadShape.pair(*outputs.shape[2:])
        shape = HeadShape(tuple(pair.stacks[s] for s in captured))
        kept = {"outputs": outputs[:, captured], "tokens": tuple(tokens[s] for s in captured), "stacks": shape.stacks}
        return {**fields, **kept, "inert": shape.last_layer("vlm")}


@dataclass(frozen=True)
class Attention:
    """Attention weights of every head of one episode, for display.

    image: uint8 [frame, stack, layer, head, camera, patch], 255 = the largest weight over patches of that frame
    and head, cameras in the episode's order. mass: float32 [frame, stack, layer, head, group], summing to 1 over
    TOKEN_GROUPS. grid: patches per side. bar: share of the black around a picture that is not square which the policy
    has on its left or above it, 0.5 where it is centred.
    """

    image: np.ndarray
    mass: np.ndarray
    grid: int
    bar: float = 0.5


@dataclass(frozen=True)
class FrameAttention:
    """Attention weights of every head at one frame, from the query tokens `tokens` (of each stack) to every token.

    image: float32 [stack, layer, head, camera, patch], cameras in the episode's order. word: float32 [stack, layer,
    head, word], over `words` of the instruction in order. other: float32 [stack, layer, head], the rest of the prompt.
    state: float32 [stack, layer, head]. actions: float32 [stack, layer, head, step]. All of a head sum to 1; the VLM
    sees neither state nor actions. grid: patches per side.
    """

    tokens: tuple[str, ...]
    words: tuple[str, ...]
    grid: int
    image: np.ndarray
    word: np.ndarray
    other: np.ndarray
    state: np.ndarray
    actions: np.ndarray


@dataclass(frozen=True)
class GainSweep:
    """What the policy would do at one frame with one head turned up, down or off.

    gains: factors on the head's output, ascending, 0 = switched off, 1 = the policy's own. chunk: float32 [gain, step,
    dim], the predicted actions. demonstrated: float32 [step, dim], to the episode's end. spread: float32 [dim],
    standard deviation of each action over the demonstrations. path_m: float32 [gain, step + 1, 3], base frame, where
    the chunk's translations would take the tool; path_px: camera -> float32 [gain, step + 1, 2], those places in its
    picture, fractions from the top left; both only for demonstrations whose scene can be set up again. `None` or empty
    otherwise.
    """

    head: Head
    episode: int
    frame: int
    gains: tuple[float, ...]
    chunk: np.ndarray
    demonstrated: np.ndarray
    spread: np.ndarray
    names: tuple[str, ...]
    path_m: np.ndarray | None = None
    path_px: Mapping[str, np.ndarray] = field(default_factory=dict)


TOKEN_GROUPS = ("exterior", "wrist", "instruction", "state", "actions")
