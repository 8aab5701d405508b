"""What every family must keep, on a tiny policy of each: the contract of `SteerablePolicy`, stage by stage.

A new family joins by one more name in FAMILIES and its folder below.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from steering.activations.capture import capture
from steering.finetune.training import finetune
from steering.models.hooks import attention_rows, head_outputs, scaled_heads
from steering.models.loading import load_policy
from steering.models.policy import SteerablePolicy
from steering.models.preprocessing import observe
from steering.relevance.scoring import score
from steering.selection.rules import top_k
from steering.types import STACKS, FinetuneSettings

FAMILIES = ("pi0", "smolvla")


@pytest.fixture(params=FAMILIES)
def folder(request):
    """The folder of a tiny policy."""
    return request.getfixturevalue({"pi0": "policy_folder", "smolvla": "smolvla_folder"}[request.param])


@pytest.fixture
def policy(folder, demonstrations) -> SteerablePolicy:
    return load_policy(folder, statistics_from=demonstrations)


@pytest.fixture
def batch(policy, demonstrations):
    observation = observe(demonstrations, np.array([0, 1]), np.array([1, 2]))
    chunk = np.random.default_rng(1).uniform(-1, 1, (2, policy.chunk_size, 7)).astype(np.float32)
    return policy.prepare(observation, chunk)


def _noise(policy, *shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, policy.chunk_size, policy.noise_dim, generator=generator)


def _loss(policy, batch):
    return policy.flow_loss(batch, _noise(policy, 2, 1), torch.full((2, 1), 0.5))


def test_valid_tokens_come_first(policy, batch):
    mask = batch["attention_mask"]
    assert mask.shape == policy.embed(batch).shape[:2]
    assert (mask.diff(dim=1) <= 0).all() and (mask.sum(-1) > 0).all()
    images = policy.preprocessor.tokens_per_image * 2
    assert (mask.sum(-1) > images).all()


def test_rows_do_not_depend_on_each_other(policy, demonstrations):
    rows = observe(demonstrations, np.array([0, 1]), np.array([1, 2]))
    one = observe(demonstrations, np.array([0]), np.array([1]))
    noise = _noise(policy, 2).numpy()
    actions = policy.act(rows, noise)
    assert actions.shape == (2, policy.chunk_size, policy.action_dim)
    np.testing.assert_allclose(policy.act(one, noise[:1]), actions[:1], atol=1e-5)


def test_velocity_leaves_the_cache_as_it_was(policy, batch):
    with torch.inference_mode():
        cache = policy.prefix(batch)
        kept = [layer.keys.clone() for layer in cache.layers]
        first = policy.velocity(batch, cache, _noise(policy, 2), torch.ones(2))
        assert torch.equal(policy.velocity(batch, cache, _noise(policy, 2), torch.ones(2)), first)
    assert all(torch.equal(layer.keys, before) for layer, before in zip(cache.layers, kept, strict=True))


def test_loss_is_the_squared_error_of_the_velocity(policy, batch):
    noise, timestep = _noise(policy, 2, 3), torch.rand(2, 3)
    expected = []
    for sample in range(3):
        time = timestep[:, sample, None, None]
        noisy = time * noise[:, sample] + (1 - time) * batch["actions"]
        velocity = policy.velocity(batch, policy.prefix(batch), noisy, timestep[:, sample])
        expected.append((velocity - (noise[:, sample] - batch["actions"])).square().mean().item())
    np.testing.assert_allclose(policy.flow_loss(batch, noise, timestep).item(), np.mean(expected), rtol=1e-5)


def test_embedded_prefix_and_frozen_layers_stand_in(policy, batch):
    whole = policy.prefix(batch)
    rest = {name: batch[name] for name in ("attention_mask", "state", "actions")}
    stand_ins = [rest | {"inputs_embeds": policy.embed(batch)}]
    stand_ins += [rest | policy.freeze(batch, layers) for layers in range(1, policy.head_shape.layers + 1)]
    for stand_in in stand_ins:
        cache = policy.prefix(stand_in)
        for layer, expected in zip(cache.layers, whole.layers, strict=True):
            torch.testing.assert_close(layer.keys, expected.keys)
            torch.testing.assert_close(layer.values, expected.values)


def test_head_outputs_are_the_columns_of_the_output_projection(policy, batch):
    projected = {}
    for stack in STACKS:
        module = policy.model.get_submodule(policy.layout.output(stack, 1))
        module.register_forward_hook(lambda m, i, output, stack=stack: projected.update({stack: output}))
    with head_outputs(policy.model) as outputs:
        _loss(policy, batch)
    shape = policy.head_shape
    assert len(outputs) == 2 * shape.layers
    for stack in STACKS:
        weight = policy.model.get_submodule(policy.layout.output(stack, 1)).weight
        blocks = [weight[:, policy.layout[stack].output_columns(head)] for head in range(shape.heads)]
        heads = [outputs[stack, 1][:, :, head] @ block.T for head, block in enumerate(blocks)]
        torch.testing.assert_close(sum(heads), projected[stack], atol=1e-5, rtol=1e-4)


def test_inert_heads_have_no_gradient_and_all_others_some(policy, batch):
    shape = policy.head_shape
    gains = {stack: torch.ones(shape.layers, shape.heads, requires_grad=True) for stack in STACKS}
    with scaled_heads(policy.model, gains):
        _loss(policy, batch).backward()
    gradient = np.stack([gains[stack].grad.numpy() for stack in STACKS])
    inert = policy.layout.inert
    assert (gradient[inert] == 0).all() and (gradient[~inert] != 0).all()


def test_attention_rows_are_distributions_over_the_prefix_and_the_experts_tokens(policy, batch):
    with attention_rows(policy.model, {stack: lambda weights: weights[:, :, 0] for stack in STACKS}) as rows:
        _loss(policy, batch)
    prefix = batch["attention_mask"].shape[1]
    expert = policy.expert_tokens["first_action"] + policy.chunk_size
    for layer in range(policy.head_shape.layers):
        assert rows["vlm", layer].shape == (2, policy.head_shape.heads, prefix)
        assert rows["expert", layer].shape == (2, policy.head_shape.heads, prefix + expert)
    for row in rows.values():
        torch.testing.assert_close(row.sum(-1), torch.ones(2, policy.head_shape.heads))


def test_every_stage_of_the_method_takes_it(policy, demonstrations, tmp_path):
    activations = capture(policy, demonstrations)
    frames = sum(episode.frames for episode in demonstrations.episodes)
    assert activations.outputs.shape == (frames, *policy.head_shape.grid, policy.head_shape.head_dim)
    assert (activations.outputs.std(0) > 0).all()
    relevance = score(activations, preset="paper", ks=(2, 3))
    movable = int((~policy.layout.inert).sum())
    assert not set(top_k(relevance, movable, ("vlm", "expert")).heads) & set(policy.layout.inert_heads)
    selection = top_k(relevance, 3, ("vlm", "expert"))
    settings = FinetuneSettings(steps=2, batch_size=4, rank=2, noise_samples=2)
    before = {name: tensor.clone() for name, tensor in policy.model.state_dict().items()}
    result = finetune(policy, demonstrations, "steering", settings, selection, tmp_path)
    assert np.isfinite(result.loss).all() and result.trainable_parameters > 0
    for name, tensor in policy.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
