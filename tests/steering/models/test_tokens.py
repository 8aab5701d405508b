"""Tokens by name against the tokenizer's own output."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from steering.errors import InputError, NotFound
from steering.models.preprocessing import observe
from steering.models.tokens import expert_tokens, instruction_words, vlm_tokens


@pytest.fixture
def batch(policy, demonstrations):
    return policy.prepare(observe(demonstrations, np.array([0, 1]), np.array([0, 0])))


def _named(policy, batch, demonstrations, name):
    instruction = [demonstrations.episodes[e].instruction for e in (0, 1)]
    return vlm_tokens(policy, name, batch, instruction, 2)


def test_words_are_where_the_tokenizer_puts_them(policy, demonstrations, batch):
    decode = policy.preprocessor.tokenizer.decode
    for row, episode in enumerate(demonstrations.episodes[:2]):
        words = instruction_words(policy, episode.instruction, 2)
        assert [word for word, _ in words] == episode.instruction.split()
        for word, positions in words:
            assert decode(batch["input_ids"][row, positions]).strip() == word
    split = instruction_words(policy, "press the zyxw, (now)", 2)
    assert [word for word, _ in split] == ["press", "the", "zyxw", "now"] and len(split[2][1]) > 1


def test_named_positions(policy, demonstrations, batch):
    decode = policy.preprocessor.tokenizer.decode
    at = {
        name: _named(policy, batch, demonstrations, name).position for name in ("last_prefix", "last_word", "word:The")
    }
    read = {name: [decode(batch["input_ids"][row, p[row]]).strip(" ") for row in (0, 1)] for name, p in at.items()}
    assert read == {"last_prefix": ["\n", "\n"], "last_word": ["button", "mug"], "word:The": ["the", "the"]}
    last_the = instruction_words(policy, demonstrations.episodes[1].instruction, 2)[4]
    assert last_the == ("the", [int(at["word:The"][1, 0])]), "of a repeated word the last one"


def test_means_over_unequal_lengths(policy, demonstrations, batch):
    tokens = _named(policy, batch, demonstrations, "mean_instruction")
    values = torch.randn(*batch["input_ids"].shape, 2, 3)
    for row, episode in enumerate(demonstrations.episodes[:2]):
        at = [p for _, positions in instruction_words(policy, episode.instruction, 2) for p in positions]
        torch.testing.assert_close(tokens.read(values)[row], values[row, at].mean(0))
    image = _named(policy, batch, demonstrations, "mean_image").read(values)
    torch.testing.assert_close(image, values[:, :8].mean(1))
    actions = torch.randn(2, 5, 4)
    torch.testing.assert_close(expert_tokens(policy, "mean_action", 2).read(actions), actions[:, 1:].mean(1))
    assert torch.equal(expert_tokens(policy, "last_action", 2).read(actions), actions[:, 4])
    assert torch.equal(expert_tokens(policy, "state", 2).read(actions), actions[:, 0])


def test_names_and_words_that_are_not_there(policy, demonstrations, batch):
    with pytest.raises(NotFound, match="last_prefix"):
        _named(policy, batch, demonstrations, "last_prefx")
    with pytest.raises(NotFound, match="mean_action"):
        expert_tokens(policy, "mean_actions", 1)
    with pytest.raises(InputError, match="Choose one of: press, the, button"):
        _named(policy, batch, demonstrations, "word:bowl")
    with pytest.raises(InputError, match="with words"):
        vlm_tokens(policy, "last_word", batch, ["", ""], 2)
