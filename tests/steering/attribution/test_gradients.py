"""Gradient measures against gates, finite differences, a fine path integral, and captum used directly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients

from steering.attribution import gradients
from steering.attribution.ablation import mean_outputs
from steering.attribution.probe import KEPT, frame_losses, probe
from steering.models.hooks import rewritten_heads, scaled_heads
from steering.models.loading import load_policy
from steering.types import STACKS

FRAMES = 5
SITES = [("vlm", 0, 2), ("vlm", 1, 0), ("expert", 0, 1), ("expert", 2, 3)]


@pytest.fixture
def asked(policy, demonstrations):
    return probe(policy, demonstrations, frames=FRAMES, samples=2)


def _at(site):
    return (slice(None), STACKS.index(site[0]), *site[1:])


def _losses(asked):
    with torch.no_grad():
        return frame_losses(asked.policy, asked.batch, asked.noise, asked.timestep).numpy().astype(np.float64)


def _moved(asked, site, share, heads=None):
    """Losses with a layer's heads moved by `share` of the way to their mean."""
    stack, layer, head = site
    mean = mean_outputs(asked)[0][stack, layer][-1]

    def move(outputs):
        moved = outputs.clone()
        which = [head] if heads is None else heads
        goal = mean.repeat(len(outputs) // len(mean), 1, 1, 1)[:, :, which]
        moved[:, :, which] += share * (goal - outputs[:, :, which])
        return moved

    with rewritten_heads(asked.policy.model, {(stack, layer): move}):
        return _losses(asked)


def test_gradient_times_activation_is_the_gradient_of_a_gate(policy, asked):
    found = gradients.gradient_activation(asked, batch_size=2)
    for row in range(FRAMES):
        one = {name: tensor[row : row + 1] for name, tensor in asked.batch.items()}
        gates = {stack: torch.ones(3, 4, requires_grad=True) for stack in STACKS}
        with scaled_heads(policy.model, gates):
            frame_losses(policy, one, asked.noise, asked.timestep).sum().backward()
        expected = np.stack([gates[stack].grad.abs().numpy() for stack in STACKS])
        np.testing.assert_allclose(found[row], expected, atol=1e-5)


def test_attribution_patching_is_the_first_order_of_ablation(asked):
    found, step = gradients.attribution_patching(asked, batch_size=3), 0.02
    for site in SITES:
        slope = (_moved(asked, site, step) - _moved(asked, site, -step)) / (2 * step)
        np.testing.assert_allclose(found[_at(site)], slope, atol=2e-3 * max(1, np.abs(slope).max()), err_msg=str(site))
        assert np.abs(found[_at(site)]).max() > 1e-2


def test_integrated_gradients_of_a_layer_sum_to_its_ablation(asked):
    found = gradients.integrated_gradients(asked, steps=16, batch_size=3)
    untouched = _losses(asked)
    for site in SITES:
        whole = _moved(asked, site, 1.0, heads=[0, 1, 2, 3]) - untouched
        summed = found[_at(site)[:3]].sum(-1)
        np.testing.assert_allclose(summed, whole, atol=2e-3 * max(1, np.abs(whole).max()), err_msg=str(site))
        assert np.abs(whole).max() > 1e-2


def test_integrated_gradients_equal_captum_on_one_gate_a_head(asked):
    """The same way from the mean to the output, walked by a gate for each head in place of the outputs themselves."""
    found = gradients.integrated_gradients(asked, steps=5, batch_size=FRAMES)
    for site in SITES:
        np.testing.assert_allclose(found[_at(site)[:3]], -_by_captum(asked, site), atol=1e-4, err_msg=str(site))


def _by_captum(asked, site):
    stack, layer, _ = site
    mean = mean_outputs(asked)[0][stack, layer][-1]

    def losses(gates, *rest):
        batch = dict(zip(("inputs_embeds", *KEPT), rest, strict=True))

        def between(outputs):
            goal = mean.repeat(len(outputs) // len(mean), 1, 1, 1)
            gate = gates.repeat_interleave(len(outputs) // len(gates), 0)[:, None, :, None]
            return goal + gate * (outputs - goal)

        with rewritten_heads(asked.policy.model, {(stack, layer): between}):
            return frame_losses(asked.policy, batch, asked.noise, asked.timestep)

    gates = torch.ones(FRAMES, 4)
    rest = tuple(asked.batch[name] for name in ("inputs_embeds", *KEPT))
    found = IntegratedGradients(losses).attribute(gates, additional_forward_args=rest, n_steps=5)
    return found.detach().numpy()


def test_a_zero_gradient_proves_the_inert_heads(policy, asked):
    np.testing.assert_array_equal(gradients.inert_by_gradient(asked), policy.layout.inert)


def test_the_embedded_policy_has_the_inert_heads_that_are_claimed(demonstrations):
    policy = load_policy()
    inert = gradients.inert_by_gradient(probe(policy, demonstrations, frames=2, samples=1))
    np.testing.assert_array_equal(inert, policy.layout.inert)
    assert inert[0, -1].all() and inert.sum() == 8


@pytest.mark.parametrize("measure", ["gradient_activation", "attribution_patching", "integrated_gradients"])
def test_inert_heads_score_zero_and_batches_do_not_matter(policy, asked, measure):
    whole, parts = (getattr(gradients, measure)(asked, batch_size=size) for size in (FRAMES, 2))
    np.testing.assert_allclose(whole, parts, atol=1e-5)
    assert (whole[:, policy.layout.inert] == 0).all()
    assert all(parameter.grad is None for parameter in policy.model.parameters())
