"""Where the heads of a policy sit in its model: modules, row and column blocks, and the heads that cannot act.

A head is a block of rows of its query projection and a block of columns of its output projection, before which the
heads lie side by side. A model says where its own are by an attribute `head_layout`; one without it has π0's modules
(`pair_layout`). Full-path names, because the vision tower has projections of the same short names. Torch-free.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from steering.errors import InputError
from steering.types import Head, HeadShape, Stack

FFN = ("gate_proj", "up_proj", "down_proj")
LAYERS = {"vlm": "model.vlm.language_model.layers", "expert": "model.dit.layers"}
"""Stack -> module list of its layers, in π0 and every family built like it."""
PROMPT, ACTIONS = "prompt", "actions"
"""The sequences that heads are read on: the pictures and words of `prefix`, or the actions of `velocity`."""


@dataclass(frozen=True)
class StackSites:
    """Where one stack sits in a model. layers: full name of the list of its layers; the other names are a layer's own.

    query: the projection whose rows are the queries of all heads in order, from row `query_start` on where it is fused
    with keys and values. output: the projection whose inputs are the heads side by side. attention: the module whose
    second result are the attention weights. keys_and_values: theirs, none where fused. ffn: of the feed-forward layer.
    sequence: on which its heads are read, PROMPT or ACTIONS. last_layer_inert: only keys and values of its last layer
    are read on.
    """

    stack: Stack
    layers: str
    sequence: str
    query: str = "self_attn.q_proj"
    query_start: int = 0
    output: str = "self_attn.o_proj"
    attention: str = "self_attn"
    keys_and_values: tuple[str, ...] = ("self_attn.k_proj", "self_attn.v_proj")
    ffn: tuple[str, ...] = tuple(f"mlp.{name}" for name in FFN)
    last_layer_inert: bool = False

    def name(self, layer: int, module: str) -> str:
        """Full name of a layer's module, e.g. `model.dit.layers.3.self_attn.o_proj`."""
        return f"{self.layers}.{layer}.{module}"

    @property
    def width(self) -> int:
        """Rows of the queries, and columns of the output projection."""
        return self.stack.heads * self.stack.head_dim

    def query_rows(self, head: int) -> slice:
        """The rows of the query projection that belong to a head."""
        columns = self.output_columns(head)
        return slice(self.query_start + columns.start, self.query_start + columns.stop)

    def output_columns(self, head: int) -> slice:
        """The columns of the output projection that belong to a head."""
        return slice(head * self.stack.head_dim, (head + 1) * self.stack.head_dim)

    @property
    def projections(self) -> tuple[str, ...]:
        """Every projection of a layer that LoRA adapts."""
        return tuple(dict.fromkeys((self.query, *self.keys_and_values, self.output, *self.ffn)))


@dataclass(frozen=True)
class HeadLayout:
    """Where all heads of a policy sit, stack by stack."""

    sites: tuple[StackSites, ...]

    @cached_property
    def shape(self) -> HeadShape:
        """The policy's heads."""
        return HeadShape(tuple(one.stack for one in self.sites))

    def __getitem__(self, name: str) -> StackSites:
        """The sites of a stack. Raises NotFound."""
        return self.sites[self.shape.index(name)]

    def query(self, stack: str, layer: int) -> str:
        """Full name of the query projection of a layer."""
        return self[stack].name(layer, self[stack].query)

    def output(self, stack: str, layer: int) -> str:
        """Full name of the output projection of a layer."""
        return self[stack].name(layer, self[stack].output)

    def on(self, sequence: str) -> tuple[StackSites, ...]:
        """The stacks whose heads are read on a sequence, PROMPT or ACTIONS."""
        return tuple(one for one in self.sites if one.sequence == sequence)

    @property
    def places(self) -> tuple[tuple[str, int], ...]:
        """Every (stack, layer)."""
        return tuple((one.stack.name, layer) for one in self.sites for layer in range(one.stack.layers))

    @property
    def inert(self) -> np.ndarray:
        """bool [stack, layer, head]: heads that cannot move an action.

        Where only keys and values of a stack are read on, as of π0's VLM (arXiv 2410.24164, section IV), the queries,
        output projection and FFN of its last layer end nowhere. Their gradient is exactly zero.
        """
        masks = [self.shape.last_layer(one.stack.name) for one in self.sites if one.last_layer_inert]
        return np.any([np.zeros(self.shape.grid, bool), *masks], axis=0)

    @property
    def inert_heads(self) -> tuple[Head, ...]:
        """`inert` as heads."""
        return self.shape.where(self.inert)

    def found(self, name: str) -> tuple[str, int, str] | None:
        """Stack, layer and module of a full module name; None outside all stacks."""
        for one in self.sites:
            match = re.match(rf"{re.escape(one.layers)}\.(\d+)\.", name)
            if match:
                return one.stack.name, int(match[1]), name[match.end() :]
        return None


def layout_of(model: Any) -> HeadLayout:
    """Where the heads of a model sit: as it says itself (`head_layout`), else where π0's are."""
    found = getattr(model, "head_layout", None)
    return found if isinstance(found, HeadLayout) else pair_layout(model.config)


def pair_layout(config: Any) -> HeadLayout:
    """π0's modules: a VLM and an action expert that attends to its keys and values layer by layer.

    config: has `vlm_config.text_config` and `dit_config`. Raises InputError where the stacks cannot be joined.
    """
    text, expert = config.vlm_config.text_config, config.dit_config
    return pair_of(*((c.num_hidden_layers, c.num_attention_heads, c.head_dim) for c in (text, expert)))


def pair_of(vlm: tuple[int, int, int], expert: tuple[int, int, int]) -> HeadLayout:
    """`pair_layout` of the layers, heads and head dimension of each stack."""
    if vlm[0] != expert[0] or vlm[2] != expert[2]:
        raise InputError(
            "Expected a policy whose action expert attends to its VLM layer by layer; the VLM has "
            f"{vlm[0]} layers of {vlm[2]}-dimensional heads, the expert {expert[0]} of {expert[2]}. Choose a "
            "checkpoint such as 'lerobot/pi0_base', or say in `head_layout` where the heads are (docs/ADAPTERS.md)."
        )
    return HeadLayout(
        (
            StackSites(Stack("vlm", *vlm), LAYERS["vlm"], PROMPT, last_layer_inert=True),
            StackSites(Stack("expert", *expert), LAYERS["expert"], ACTIONS),
        )
    )


def single_layout(vlm: tuple[int, int, int]) -> HeadLayout:
    """One stack at the VLM's modules of layers, heads and head dimension, which reads the prompt and also acts."""
    return HeadLayout((StackSites(Stack("vlm", *vlm), LAYERS["vlm"], PROMPT),))


def check_heads(heads: Sequence[Head], shape: HeadShape) -> None:
    """Raise InputError unless every head exists in `shape` and there is at least one."""
    if not heads:
        raise InputError("Expected at least one attention head; none is selected. Select heads on the map first.")
    for head in heads:
        if head not in shape:
            raise InputError(
                f"There is no head {head} in this policy: it has {shape.words()}. Select heads on its own map."
            )
