"""Captured head outputs against a plain forward pass of the model."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from steering.activations.attention import attention_at
from steering.activations.capture import capture, chosen_frames
from steering.errors import InputError, NotFound
from steering.models.chunks import action_chunks
from steering.models.preprocessing import observe
from steering.models.tokens import instruction_words
from steering.progress import Progress


def _o_proj_inputs(policy, batch, noise, timestep):
    inputs = {}
    for stack in ("vlm", "expert"):
        for layer in range(3):
            module = policy.model.get_submodule(policy.layout.output(stack, layer))
            module.register_forward_pre_hook(lambda m, args, key=(stack, layer): inputs.update({key: args[0]}))
    with torch.no_grad():
        policy.model(**batch, noise=noise, timestep=torch.full((1,), timestep))
    return inputs


@pytest.mark.parametrize(("token", "index"), [("state", 0), ("first_action", 1)])
def test_capture_equals_a_plain_forward_pass(policy, demonstrations, token, index):
    activations = capture(policy, demonstrations, expert_token=token, seed=5, batch_size=7)
    assert activations.outputs.shape == (30, 2, 3, 4, 8)
    row = 9  # episode 1, frame 3
    assert (activations.episode[row], activations.frame[row]) == (1, 3)
    batch = policy.prepare(observe(demonstrations, np.array([1]), np.array([3])))
    last = int(batch["attention_mask"].sum()) - 1
    assert policy.preprocessor.tokenizer.decode(batch["input_ids"][0, last]) == "\n"
    noise = np.random.default_rng(5).standard_normal((1, 4, 8), np.float32)
    inputs = _o_proj_inputs(policy, batch, torch.from_numpy(noise), 1.0)
    for layer in range(3):
        vlm, expert = activations.outputs[row, :, layer].reshape(2, -1)
        np.testing.assert_allclose(vlm, inputs["vlm", layer][0, last], atol=1e-5)
        np.testing.assert_allclose(expert, inputs["expert", layer][0, index], atol=1e-5)


def test_below_one_the_policy_denoises_to_the_timestep(policy, demonstrations):
    activations = capture(policy, demonstrations, timestep=1 / 3, seed=5)
    batch = policy.prepare(observe(demonstrations, np.array([0]), np.array([0])))
    noisy = torch.from_numpy(np.random.default_rng(5).standard_normal((1, 4, 8), np.float32))
    with torch.no_grad():
        for time in (1.0, 2 / 3):
            noisy = noisy - policy.model(**batch, noise=noisy, timestep=torch.tensor([time])).logits / 3
    expected = _o_proj_inputs(policy, batch, noisy, 1 / 3)["expert", 2][0, 1]
    np.testing.assert_allclose(activations.outputs[0, 1, 2].ravel(), expected, atol=1e-5)


def test_rows_carry_their_labels(policy, demonstrations):
    activations = capture(policy, demonstrations, stride=2)
    assert len(activations.frame) == 3 + 4 + 4 + 5
    for row in (0, 4, 15):
        episode = demonstrations.episodes[activations.episode[row]]
        frame = activations.frame[row]
        np.testing.assert_array_equal(activations.action[row], episode.action[frame])
        np.testing.assert_array_equal(activations.state[row], episode.state[frame])
        np.testing.assert_array_equal(activations.chunk[row], action_chunks(episode.action, 4)[frame])
        assert activations.time_in_episode[row] == pytest.approx(frame / (episode.frames - 1))


def test_chosen_frames_by_episode(demonstrations):
    episode, frame = chosen_frames(demonstrations, frames=[np.array([0, 5]), np.array([1]), np.array([], int), [2]])
    assert episode.tolist() == [0, 0, 1, 3] and frame.tolist() == [0, 5, 1, 2]


def test_same_seed_same_bytes_other_seed_other_expert(policy, demonstrations):
    first, again, other = (capture(policy, demonstrations, stride=3, seed=seed).outputs for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[:, 0], other[:, 0])
    assert np.abs(first[:, 1] - other[:, 1]).max() > 1e-3


def test_activations_do_not_keep_the_model(policy_folder, demonstrations):
    from steering.models.loading import load_policy

    policy = load_policy(policy_folder)
    model = weakref.ref(policy.model)
    activations = capture(policy, demonstrations, stride=5)
    del policy
    gc.collect()
    assert model() is None and activations.outputs.base is None


def test_progress_and_cancel(policy, demonstrations):
    reports = []
    capture(policy, demonstrations, batch_size=10, progress=Progress(reports.append))
    assert [round(r.fraction, 2) for r in reports] == [0, 0.33, 0.67, 1]


def _all_tokens(policy, demonstrations, episode, frame, seed=0, timestep=1.0):
    """Inputs of every o_proj at all tokens, from one plain forward pass."""
    batch = policy.prepare(observe(demonstrations, np.array([episode]), np.array([frame])))
    noise = np.random.default_rng(seed).standard_normal((1, 4, 8), np.float32)
    return _o_proj_inputs(policy, batch, torch.from_numpy(noise), timestep)


def test_tokens_by_name(policy, demonstrations):
    captured = {
        names: capture(policy, demonstrations, vlm_token=names[0], expert_token=names[1], stride=4).outputs[4]
        for names in (("word:the", "mean_action"), ("mean_image", "last_action"), ("last_word", "state"))
    }
    rows = capture(policy, demonstrations, stride=4)
    episode, frame = int(rows.episode[4]), int(rows.frame[4])
    inputs = _all_tokens(policy, demonstrations, episode, frame)
    names = instruction_words(policy, demonstrations.episodes[episode].instruction, 2)
    last_the = [at[0] for word, at in names if word == "the"][-1]
    vlm, expert = inputs["vlm", 1][0], inputs["expert", 2][0]
    expected = {
        ("word:the", "mean_action"): (vlm[last_the], expert[1:].mean(0)),
        ("mean_image", "last_action"): (vlm[:8].mean(0), expert[4]),
        ("last_word", "state"): (vlm[names[-1][1][-1]], expert[0]),
    }
    for key, (of_vlm, of_expert) in expected.items():
        np.testing.assert_allclose(captured[key][0, 1].ravel(), of_vlm, atol=1e-5)
        np.testing.assert_allclose(captured[key][1, 2].ravel(), of_expert, atol=1e-5)


def test_an_average_is_the_mean_of_its_captures(policy, demonstrations):
    averaged = capture(policy, demonstrations, timestep=(1.0, 1 / 3), samples=2, seed=3, stride=3)
    single = [
        capture(policy, demonstrations, timestep=time, seed=seed, stride=3) for time in (1.0, 1 / 3) for seed in (3, 4)
    ]
    np.testing.assert_allclose(averaged.outputs, np.mean([one.outputs for one in single], axis=0), atol=1e-6)
    np.testing.assert_array_equal(averaged.outputs[:, 0], single[3].outputs[:, 0])
    assert (averaged.timesteps, averaged.samples, averaged.seed) == ((1.0, 1 / 3), 2, 3)


def test_an_average_runs_the_vlm_once(policy, demonstrations):
    passes = []
    policy.model.model.vlm.register_forward_hook(lambda *_: passes.append("vlm"))
    policy.model.model.dit.register_forward_hook(lambda *_: passes.append("expert"))
    capture(policy, demonstrations, timestep=(1.0, 2 / 3), samples=2, batch_size=30)
    assert passes == ["vlm"] + ["expert"] * (2 + 2 * 2)  # two at t = 1; at 2/3 one denoising step before each


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "grouped_matmul"])
def test_the_attention_backend_does_not_matter(policy_folder, demonstrations, implementation):
    from steering.models.loading import load_policy

    reference, policy = load_policy(policy_folder), load_policy(policy_folder)
    reference.model.set_attn_implementation("eager")
    policy.model.set_attn_implementation(implementation)
    options = {"vlm_token": "mean_instruction", "expert_token": "mean_action", "timestep": (1.0, 1 / 3)}
    expected = capture(reference, demonstrations, batch_size=1, **options)
    captured = capture(policy, demonstrations, batch_size=11, **options)
    np.testing.assert_allclose(captured.outputs, expected.outputs, atol=2e-5)


def test_the_image_embedding_is_the_mean_over_patches(policy, demonstrations):
    captured = capture(policy, demonstrations, stride=4)
    batch = policy.prepare(observe(demonstrations, np.array([0]), np.array([4])))
    embeds = policy.embed(batch)[0].detach().numpy()
    expected = np.concatenate([embeds[:4].mean(0), embeds[4:8].mean(0)])
    np.testing.assert_allclose(captured.image[1], expected, atol=1e-5)


def test_wrong_names_and_times(policy, demonstrations):
    with pytest.raises(NotFound, match="first_action"):
        capture(policy, demonstrations, expert_token="first_actoin")
    for timestep in (0, (1.0, 1.5), ()):
        with pytest.raises(InputError, match="timestep"):
            capture(policy, demonstrations, timestep=timestep)
    with pytest.raises(InputError, match="draw"):
        capture(policy, demonstrations, samples=0)
    with pytest.raises(InputError, match="bowl"):
        capture(policy, demonstrations, vlm_token="word:bowl")


def test_every_frame_is_prompted_with_its_own_instruction(policy, demonstrations):
    first, other = demonstrations.episodes[0], demonstrations.episodes[1]
    told = (np.arange(first.frames) >= 3).astype(np.int16)
    changing = replace(first, instructions=(first.instruction, other.instruction), told=told)
    sets = {"changing": changing, "first": first, "second": replace(first, instruction=other.instruction)}
    found = {name: capture(policy, replace(demonstrations, episodes=(one,))).outputs for name, one in sets.items()}
    np.testing.assert_allclose(found["changing"][:3], found["first"][:3], atol=1e-5)
    np.testing.assert_allclose(found["changing"][3:], found["second"][3:], atol=1e-5)
    assert np.abs(found["first"] - found["second"])[3:].max() > 1e-2
    words = attention_at(policy, changing, 3, tokens=("last_prefix", "first_action")).words
    assert words == attention_at(policy, sets["second"], 3, tokens=("last_prefix", "first_action")).words
    assert words != attention_at(policy, changing, 2, tokens=("last_prefix", "first_action")).words
