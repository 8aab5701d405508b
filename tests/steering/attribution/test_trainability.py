"""Gradients of the heads' own weights against finite differences, and heads whose weights move nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from steering.attribution.probe import frame_losses, probe
from steering.attribution.trainability import adam_fall, gradient_norm, weight_gradients


@pytest.fixture
def asked(policy, demonstrations):
    return probe(policy, demonstrations, frames=6, samples=2)


def _loss(asked):
    with torch.no_grad():
        return float(frame_losses(asked.policy, asked.batch, asked.noise, asked.timestep).double().mean())


@pytest.mark.parametrize("place", [(0, 1), (1, 3)])
def test_a_step_against_the_gradient_lowers_the_loss_as_predicted(asked, place):
    (gradients,) = weight_gradients(asked, part=6)
    gradient = gradients[place]
    sites = asked.policy.layout["vlm"]
    query, output = (
        asked.policy.model.get_submodule(sites.name(place[0], module)).weight for module in (sites.query, sites.output)
    )
    rows, columns = sites.query_rows(place[1]), sites.output_columns(place[1])
    before = query.detach().clone(), output.detach().clone()
    size = query[rows].numel()
    step = 1e-2 * gradient / gradient.norm()
    losses = []
    with torch.no_grad():
        for sign in (1, -1):
            query[rows] += sign * step[:size].view_as(query[rows])
            output[:, columns] += sign * step[size:].view_as(output[:, columns])
            losses.append(_loss(asked))
            query.copy_(before[0])
            output.copy_(before[1])
    assert losses[0] - losses[1] == pytest.approx(2e-2 * float(gradient.norm()), rel=0.05)


def test_heads_of_the_last_layer_have_no_fall_and_the_policy_stays_as_it_was(asked):
    before = _loss(asked)
    fall, norm = adam_fall(asked, part=2), gradient_norm(asked)
    assert (fall[-1] == 0).all() and (norm[-1] == 0).all()
    assert (fall[:-1] > 0).all() and np.isfinite(fall).all()
    assert _loss(asked) == before
    assert not any(parameter.requires_grad for parameter in asked.policy.model.parameters())


def test_with_one_part_adams_fall_is_the_gradients_sum_of_magnitudes(asked):
    (gradients,) = weight_gradients(asked, part=6)
    assert adam_fall(asked, part=6)[0, 0] == pytest.approx(float(gradients[0, 0].abs().sum()), rel=1e-3)
