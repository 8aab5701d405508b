"""What a policy computes on a frame: head outputs, attention weights, the effect of a gain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from steering.types.axes import Head, HeadShape

ABSENT = "absent"  # in place of a token's name: the stack was not captured


@dataclass(frozen=True)
class Activations:
    """Head outputs (the vector before the output projection) at one token per stack, for chosen frames.

    outputs: float32 [frame, stack, layer, head, dim]. episode, frame: int32 [frame], where each row came from.
    action: float32 [frame, dim], raw demonstrated action. chunk: float32 [frame, step, dim], the following
    actions (past the end the arm stays still: no motion, or the last position again). state: float32 [frame, dim].
    time_in_episode: float32 [frame], 0..1.
    tokens: (VLM token, expert token) by name. timestep: flow-matching time of the capture (1 = pure noise).
    image: float32 [frame, dim], an embedding of the cameras' images (mean over patches), None where not captured.
    timesteps, samples: of an average over several times (`timestep` is the first) and draws of noise (those of `seed`,
    `seed` + 1, …).
    inert: bool [stack, layer, head], heads that cannot move an action, and those of a stack that was not captured; they
    are scored but never chosen.
    """

    outputs: np.ndarray
    episode: np.ndarray
    frame: np.ndarray
    action: np.ndarray
    chunk: np.ndarray
    state: np.ndarray
    time_in_episode: np.ndarray
    tokens: tuple[str, str]
    timestep: float
    seed: int
    inert: np.ndarray
    image: np.ndarray | None = None
    timesteps: tuple[float, ...] = ()
    samples: int = 1

    @property
    def shape(self) -> HeadShape:
        """Layers, heads and head dimension of `outputs`."""
        return HeadShape(*self.outputs.shape[2:])

    @classmethod
    def completed(cls, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The stored fields, with what an older version did not store: its policies' VLMs end in an inert layer."""
        if "inert" in fields or "outputs" not in fields:
            return dict(fields)
        inert = HeadShape(*fields["outputs"].shape[2:]).last_layer("vlm")
        inert |= np.array([token == ABSENT for token in fields["tokens"]])[:, None, None]
        return {**fields, "inert": inert}


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
    """Attention weights of every head at one frame, from the query tokens `tokens` (VLM, expert) to every token.

    image: float32 [stack, layer, head, camera, patch], cameras in the episode's order. word: float32 [stack, layer,
    head, word], over `words` of the instruction in order. other: float32 [stack, layer, head], the rest of the prompt.
    state: float32 [stack, layer, head]. actions: float32 [stack, layer, head, step]. All of a head sum to 1; the VLM
    sees neither state nor actions. grid: patches per side.
    """

    tokens: tuple[str, str]
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
