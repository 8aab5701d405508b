"""The lean pass gives the loss and the gradients of the plain one, and leaves the model as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from steering.finetune.attaching import attached
from steering.finetune.frames import frame_set
from steering.finetune.training_pass import training_pass
from steering.progress import Progress
from steering.types import FinetuneSettings


def _loss_and_gradients(policy, batch):
    generator = torch.Generator().manual_seed(0)
    noise, timestep = torch.randn(6, 2, 4, 8, generator=generator), torch.rand(6, 2, generator=generator)
    policy.model.zero_grad(set_to_none=True)
    loss = policy.flow_loss(batch, noise, timestep)
    loss.backward()
    found = {n: p.grad.clone() for n, p in policy.model.named_parameters() if p.grad is not None}
    return float(loss.detach()), found


@pytest.mark.parametrize("method", ["lora", "full"])
def test_loss_and_gradients_are_those_of_the_plain_pass(policy, demonstrations, method):
    frames = frame_set(policy, demonstrations, [0, 1], Progress(), draws=1)
    batch = frames.batch(np.array([0, 3, 7, 9, 11, 12]))  # two instructions of different length: padding
    with attached(policy, method, FinetuneSettings(rank=2), None) as (_, _masks):
        if method == "lora":
            for name, parameter in policy.model.named_parameters():
                if "lora_B" in name:
                    torch.nn.init.normal_(parameter, std=0.1)
        loss, gradients = _loss_and_gradients(policy, batch)
        with training_pass(policy):
            lean_loss, lean_gradients = _loss_and_gradients(policy, batch)
    assert lean_loss == pytest.approx(loss, rel=1e-6)
    for name, gradient in gradients.items():
        if name in lean_gradients:
            torch.testing.assert_close(lean_gradients[name], gradient, rtol=1e-3, atol=1e-5)
        else:
            assert not gradient.any(), name  # what cannot move an action
    assert not any("forward" in vars(module) for module in policy.model.modules())
