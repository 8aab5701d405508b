"""Tokens by name: which position of the VLM's or the expert's sequence a name stands for, in every row of a batch.

VLM: `last_prefix` (the end of the prompt), `last_word` and `word:bowl` (a word of the instruction, its last token),
`mean_instruction` (all words), `mean_image` (all patches). Expert: `state`, `first_action`, `last_action`,
`mean_action`. Words are found by decoding the prompt's tokens, so any tokenizer will do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from steering.errors import InputError, unknown_name
from steering.models.policy import SteerablePolicy
from steering.models.sites import PROMPT

VLM_TOKENS = ("last_prefix", "last_word", "mean_instruction", "mean_image")
WORD = "word:"


@dataclass(frozen=True)
class Tokens:
    """Positions to read in every row, with weights that sum to 1: int64 and float32 [row, position]."""

    position: torch.Tensor
    weight: torch.Tensor

    def read(self, values: torch.Tensor) -> torch.Tensor:
        """The mean over these positions of [row, token, ...]: [row, ...]; of a single one its very values."""
        row = torch.arange(len(values), device=values.device)
        if self.position.shape[1] == 1:
            return values[row, self.position[:, 0]]
        weight = self.weight.view(*self.weight.shape, *[1] * (values.ndim - 2)).to(values)
        return (values[row[:, None], self.position] * weight).sum(1)


def instruction_words(policy: SteerablePolicy, instruction: str, cameras: int) -> list[tuple[str, list[int]]]:
    """The words of an instruction in order, each with the positions of its tokens in the VLM's sequence."""
    preprocessor = policy.preprocessor
    ids = preprocessor.text_tokens(instruction)
    ends = [len(preprocessor.tokenizer.decode(ids[: i + 1])) for i in range(len(ids))]
    text = preprocessor.tokenizer.decode(ids)
    start = text.find(instruction.split()[0]) if instruction.split() else len(text)
    first = preprocessor.tokens_per_image * cameras
    words = []
    for found in re.finditer(r"[\w'-]+", text[start:]):
        low, high = start + found.start(), start + found.end()
        at = [first + i for i, end in enumerate(ends) if end > low and (ends[i - 1] if i else 0) < high]
        words.append((found.group(), at))
    return words


def vlm_tokens(
    policy: SteerablePolicy, name: str, batch: dict[str, torch.Tensor], instruction: Sequence[str], cameras: int
) -> Tokens:
    """The VLM's tokens called `name` in every row of a batch. Raises NotFound, InputError for a missing word."""
    if name == "last_prefix":
        return _tokens(policy, [[int(last) - 1] for last in batch["attention_mask"].sum(-1)])
    if name == "mean_image":
        return _tokens(policy, [list(range(policy.preprocessor.tokens_per_image * cameras))] * len(instruction))
    if name not in VLM_TOKENS and not name.startswith(WORD):
        raise unknown_name("VLM token", name, (*VLM_TOKENS, f"{WORD}<word of the instruction>"))
    found = {
        text: _of_words(instruction_words(policy, text, cameras), name, text) for text in dict.fromkeys(instruction)
    }
    return _tokens(policy, [found[text] for text in instruction])


def named_tokens(
    policy: SteerablePolicy,
    names: Sequence[str],
    batch: dict[str, torch.Tensor],
    instruction: Sequence[str],
    cameras: int,
) -> dict[str, Tokens]:
    """Stack -> the tokens that are read in it. names: one a stack, each of the sequence that the stack runs on."""
    return {
        one.stack.name: vlm_tokens(policy, name, batch, instruction, cameras)
        if one.sequence == PROMPT
        else expert_tokens(policy, name, len(instruction))
        for one, name in zip(policy.layout.sites, names, strict=True)
    }


def names_of_tokens(policy: SteerablePolicy, prompt: str, actions: str) -> tuple[str, ...]:
    """The token's name for each stack, by the sequence that it runs on."""
    return tuple(prompt if one.sequence == PROMPT else actions for one in policy.layout.sites)


def expert_tokens(policy: SteerablePolicy, name: str, rows: int) -> Tokens:
    """The expert's tokens called `name`, the same in every row. Raises NotFound."""
    first = policy.expert_tokens["first_action"]
    last = first + policy.chunk_size - 1
    positions = {**{known: [at] for known, at in policy.expert_tokens.items()}, "last_action": [last]}
    positions["mean_action"] = list(range(first, last + 1))
    if name not in positions:
        raise unknown_name("expert token", name, positions)
    return _tokens(policy, [positions[name]] * rows)


def _of_words(words: list[tuple[str, list[int]]], name: str, instruction: str) -> list[int]:
    if not words:
        raise InputError(f"Expected an instruction with words for the token {name!r}; got {instruction!r}.")
    if name == "mean_instruction":
        return sorted({position for _, at in words for position in at})
    if name == "last_word":
        return words[-1][1][-1:]
    wanted = name.removeprefix(WORD).lower()
    named = [at[-1] for word, at in words if word.lower() == wanted]
    if not named:
        choices = ", ".join(dict.fromkeys(word for word, _ in words))
        raise InputError(f"There is no word {wanted!r} in the instruction {instruction!r}. Choose one of: {choices}.")
    return named[-1:]


def _tokens(policy: SteerablePolicy, rows: Sequence[Sequence[int]]) -> Tokens:
    """Rows of unequal length are filled up with positions of weight 0."""
    length = max(map(len, rows))
    position = torch.tensor([[*row, *[row[0]] * (length - len(row))] for row in rows], device=policy.device)
    weight = torch.tensor([[1 / len(row)] * len(row) + [0.0] * (length - len(row)) for row in rows])
    return Tokens(position, weight.to(policy.device))
