"""How much training a head would lower the loss, from the gradients of its own weights.

Of each head the block of rows of the query projection and the block of columns of the output projection, on frames of
demonstrations. Adam moves an entry by about its mean gradient over the root of its mean square, so a step lowers the
loss by Σ ḡ² / √⟨g²⟩ over the entries, per unit of learning rate (Kingma & Ba 2015, section 2.1); ⟨g²⟩ is taken over
parts of the frames. Cost on the embedded policy: a forward and a backward pass over the frames, 2 s for 96.
"""

from __future__ import annotations

import numpy as np
import torch

from steering.attribution.probe import Probe, frame_losses

PART = 16
TINY = 1e-12

Blocks = dict[tuple[int, int], torch.Tensor]
"""(layer, head) -> entries of its q rows, then of its o columns, float32 [entry]."""


def adam_fall(probe: Probe, stack: str = "vlm", *, part: int = PART) -> np.ndarray:
    """Predicted fall of the loss by one Adam step of each head's q and o blocks, per learning rate: [layer, head]."""
    parts = weight_gradients(probe, stack, part=part)
    shape = probe.policy.head_shape[stack]
    found = np.zeros((shape.layers, shape.heads))
    for place in parts[0]:
        gradients = torch.stack([one[place] for one in parts])
        mean, square = gradients.mean(0), gradients.square().mean(0)
        found[place] = float((mean.square() / (square.sqrt() + TINY)).sum())
    return found


def gradient_norm(probe: Probe, stack: str = "vlm") -> np.ndarray:
    """Norm of the loss's mean gradient over each head's q and o blocks: [layer, head]. What depth does to the reach."""
    parts = weight_gradients(probe, stack)
    shape = probe.policy.head_shape[stack]
    found = np.zeros((shape.layers, shape.heads))
    for place in parts[0]:
        found[place] = float(torch.stack([one[place] for one in parts]).mean(0).norm())
    return found


def weight_gradients(probe: Probe, stack: str = "vlm", *, part: int = PART) -> list[Blocks]:
    """Of each part of the frames, the gradient of the mean loss in every head's blocks. The policy stays as it was."""
    policy, sites = probe.policy, probe.policy.layout[stack]
    shape = policy.head_shape[stack]
    names = [sites.name(layer, module) for layer in range(shape.layers) for module in (sites.query, sites.output)]
    weights = [policy.model.get_submodule(name).weight for name in names]
    found: list[Blocks] = []
    asked = [bool(weight.requires_grad) for weight in weights]
    try:
        for weight in weights:
            weight.requires_grad_(True)
        for _, batch in probe.batches(part):
            with torch.enable_grad():
                loss = frame_losses(policy, batch, probe.noise, probe.timestep).mean()
                gradients = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
            found.append(blocks(probe, dict(zip(names, gradients, strict=True)), stack))
    finally:
        for weight, before in zip(weights, asked, strict=True):
            weight.requires_grad_(before)
    return found


def blocks(probe: Probe, matrices: dict[str, torch.Tensor], stack: str = "vlm") -> Blocks:
    """Each head's q rows and o columns of matrices as large as the weights, by module name; those absent count as 0."""
    policy, sites = probe.policy, probe.policy.layout[stack]
    shape = policy.head_shape[stack]
    found: Blocks = {}
    for layer in range(shape.layers):
        query, output = (sites.name(layer, module) for module in (sites.query, sites.output))
        for head in range(shape.heads):
            rows = matrices[query][sites.query_rows(head)].float()
            columns = matrices[output][:, sites.output_columns(head)].float()
            found[layer, head] = torch.cat([rows.flatten(), columns.flatten()]).detach().cpu()
    return found
