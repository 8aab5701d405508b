"""Displayed attention against weights computed by hand from queries and keys."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers.models.gemma.modeling_gemma import apply_rotary_pos_emb

from steering.activations.attention import attention, attention_at
from steering.errors import InputError, NotFound
from steering.models.preprocessing import observe


def _first_layer_weights(policy, batch):
    """Weights [head, key] of the last prefix token in the VLM's first layer."""
    language = policy.model.model.vlm.language_model
    module = policy.model.get_submodule(policy.layout["vlm"].name(0, "self_attn"))
    with torch.no_grad():
        hidden = language.layers[0].input_layernorm(policy.embed(batch))
        position = batch["attention_mask"].cumsum(-1) - 1
        cos, sin = language.rotary_emb(hidden, position)
        query = module.q_proj(hidden).view(1, -1, 4, 8).transpose(1, 2)
        key = module.k_proj(hidden).view(1, -1, 1, 8).transpose(1, 2)
        query, key = apply_rotary_pos_emb(query, key, cos, sin)
        length = int(batch["attention_mask"].sum())
        return (query[0, :, length - 1] @ key[0, 0, :length].T / 8**0.5).softmax(-1).numpy()


def test_image_and_mass_of_the_first_layer(policy, demonstrations):
    episode = demonstrations.episodes[1]
    shown = attention(policy, episode, batch_size=3)
    assert shown.image.shape == (7, 2, 3, 4, 2, 4) and shown.image.dtype == np.uint8
    assert shown.mass.shape == (7, 2, 3, 4, 5) and shown.grid == 2
    weights = _first_layer_weights(policy, policy.prepare(observe(demonstrations, np.array([1]), np.array([4]))))
    expected = weights[:, :8] / weights[:, :8].max(-1, keepdims=True) * 255
    assert np.abs(shown.image[4, 0, 0].reshape(4, 8) - expected).max() <= 0.51
    groups = np.stack([weights[:, :4].sum(-1), weights[:, 4:8].sum(-1), weights[:, 8:].sum(-1)], axis=-1)
    np.testing.assert_allclose(shown.mass[4, 0, 0, :, :3], groups, atol=1e-5)


def test_mass_sums_to_one_and_the_vlm_sees_no_suffix(policy, demonstrations):
    shown = attention(policy, demonstrations.episodes[0])
    np.testing.assert_allclose(shown.mass.sum(-1), 1, atol=1e-5)
    assert (shown.mass[:, 0, ..., 3:] == 0).all()
    assert (shown.mass[:, 1, ..., 3:] > 0).all()
    assert (shown.image.reshape(*shown.image.shape[:4], -1).max(-1) == 255).all()


def test_the_policy_leaves_as_it_came(policy, demonstrations):
    attention(policy, demonstrations.episodes[0])
    assert policy.model.model.dit.config._attn_implementation == "grouped_matmul"


def test_one_frame_word_by_word(policy, demonstrations):
    episode = demonstrations.episodes[1]
    shown = attention_at(policy, episode, 4)
    weights = _first_layer_weights(policy, policy.prepare(observe(demonstrations, np.array([1]), np.array([4]))))
    assert shown.words == tuple(episode.instruction.split()) and shown.image.shape == (2, 3, 4, 2, 4)
    decode = policy.preprocessor.tokenizer
    ids = policy.preprocessor.text_tokens(episode.instruction)
    word_of, current = [], -1
    for token in ids[1:-1]:  # without <bos> and the newline; a space begins a word
        current += decode.convert_ids_to_tokens(token).startswith("Ġ")
        word_of.append(current)
    for word in range(6):
        at = [9 + i for i, one in enumerate(word_of) if one == word]
        np.testing.assert_allclose(shown.word[0, 0, :, word], weights[:, at].sum(-1), atol=1e-5)
    np.testing.assert_allclose(shown.other[0, 0], weights[:, 8] + weights[:, -1], atol=1e-5)
    np.testing.assert_allclose(shown.image[0, 0].reshape(4, 8), weights[:, :8], atol=1e-5)


def test_one_frame_agrees_with_the_episode(policy, demonstrations):
    episode = demonstrations.episodes[0]
    shown, whole = attention_at(policy, episode, 3), attention(policy, episode)
    groups = [shown.image[..., 0, :].sum(-1), shown.image[..., 1, :].sum(-1), shown.word.sum(-1) + shown.other]
    groups += [shown.state, shown.actions.sum(-1)]
    np.testing.assert_allclose(np.stack(groups, -1), whole.mass[3], atol=1e-5)
    np.testing.assert_allclose(sum(groups), 1, atol=1e-5)
    assert (shown.actions[0] == 0).all() and (shown.actions[1] > 0).all() and shown.actions.shape[-1] == 4


def test_other_query_tokens_see_other_things(policy, demonstrations):
    episode = demonstrations.episodes[0]
    state = attention_at(policy, episode, 0, tokens=("word:button", "state"))
    assert (state.actions == 0).all() and (state.state[1] > 0).all()
    mean = attention_at(policy, episode, 0, tokens=("last_prefix", "mean_action"))
    assert np.abs(mean.image[1] - attention_at(policy, episode, 0).image[1]).max() > 1e-4
    with pytest.raises(InputError, match="frame of 0 to 5"):
        attention_at(policy, episode, 6)
    with pytest.raises(NotFound, match="VLM token"):
        attention_at(policy, episode, 0, tokens=("first", "state"))


@pytest.mark.parametrize("slots", [(), ("left_wrist", "top")])
def test_cameras_come_in_the_order_of_the_episode(policy, demonstrations, slots):
    episode = demonstrations.episodes[0]
    if slots:  # a policy that sees the wrist first
        policy.preprocessor = replace(policy.preprocessor, cameras=slots)
    turned = replace(episode, cameras=dict(reversed(episode.cameras.items())))
    seen, shown = attention(policy, episode), attention(policy, turned)
    assert np.array_equal(shown.image, seen.image[..., ::-1, :]) and np.array_equal(shown.mass, seen.mass)
    one = attention_at(policy, turned, 3).image.sum(-1)  # [stack, layer, head, camera]
    np.testing.assert_allclose(one[..., 0], seen.mass[3, ..., 1], atol=1e-5)
    np.testing.assert_allclose(one[..., 1], seen.mass[3, ..., 0], atol=1e-5)
