"""Gradient measures on the flow-matching loss: gradient × activation and integrated gradients by captum, attribution
patching by one backward pass, and the proof that a head is inert.

All read the input of the output projection (every head's output, side by side) of every layer. Cost: a forward and a
backward pass a batch; integrated gradients a pass per layer and step. Integrated gradients move one layer at a time:
with all at once the later layers' inputs would be given, and nothing of the VLM would reach the loss.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerGradientXActivation

from steering.attribution.ablation import Means, below, mean_outputs, sites_of
from steering.attribution.probe import KEPT, Probe, frame_losses
from steering.models.flow import Batch
from steering.models.hooks import Rewrite, Site, head_outputs, output_projection, rewritten_heads
from steering.progress import Progress

BATCH = 32
STEPS = 5


def gradient_activation(probe: Probe, *, batch_size: int = BATCH, progress: Progress | None = None) -> np.ndarray:
    """|gradient · output| of every head, float32 [frame, stack, layer, head] (Michel et al. 2019, section 4.1)."""
    progress = progress or Progress()
    policy, sites = probe.policy, sites_of(probe)
    modules: list[Any] = [output_projection(policy.model, policy.layout, site) for site in sites]

    def losses(embeds: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        return _losses(probe, {"inputs_embeds": embeds, **dict(zip(KEPT, rest, strict=True))})

    captum = LayerGradientXActivation(losses, modules)
    scores = []
    for rows, batch in probe.batches(batch_size):
        progress.report(rows.start / len(probe), f"Gradients: frame {rows.start} of {len(probe)}")
        found = captum.attribute(
            batch["inputs_embeds"],
            additional_forward_args=tuple(batch[name] for name in KEPT),
            attribute_to_layer_input=True,
            grad_kwargs={"allow_unused": True, "materialize_grads": True},  # the VLM's last layer moves no loss
        )
        scores.append(_per_head(probe, dict(zip(sites, found, strict=True)), len(batch["state"])))
    progress.report(1.0, f"Gradients of {len(probe)} frames")
    return np.abs(np.concatenate(scores))


def attribution_patching(probe: Probe, *, batch_size: int = BATCH, progress: Progress | None = None) -> np.ndarray:
    """First-order estimate of the loss that mean ablation adds, float32 [frame, stack, layer, head]."""
    progress = progress or Progress()
    means = _loss_means(probe)
    scores = []
    for rows, batch in probe.batches(batch_size):
        progress.report(rows.start / len(probe), f"Gradients: frame {rows.start} of {len(probe)}")
        frames = len(batch["state"])
        products = {
            site: (means[site].repeat(len(outputs) // len(means[site]), 1, 1, 1) - outputs) * gradient
            for site, (outputs, gradient) in head_gradients(probe, batch).items()
        }
        scores.append(_per_head(probe, {site: p.flatten(-2).detach() for site, p in products.items()}, frames))
    progress.report(1.0, f"Gradients of {len(probe)} frames")
    return np.concatenate(scores)


def integrated_gradients(
    probe: Probe, *, steps: int = STEPS, batch_size: int = BATCH, progress: Progress | None = None
) -> np.ndarray:
    """Loss that each head accounts for between its mean and its output, float32 [frame, stack, layer, head].

    Signed as ablation is: positive where moving the head to its mean raises the loss. Per layer and frame the heads
    sum to L(layer at its mean) − L, up to the quadrature (`steps` Gauss-Legendre points).
    """
    progress = progress or Progress()
    policy = probe.policy
    means, scores = _loss_means(probe), []
    for rows, batch in probe.batches(batch_size):
        frames = len(batch["state"])
        with torch.no_grad(), head_outputs(policy.model) as outputs:
            _losses(probe, batch)
        found: dict[Site, torch.Tensor] = {}
        sites = sites_of(probe)
        for done, site in enumerate(sites):
            share = (rows.start + frames * done / len(sites)) / len(probe)
            progress.report(share, f"Integrating {site[0]} layer {site[1]}, frame {rows.start} of {len(probe)}")
            with torch.no_grad():
                given = below(probe, batch, site)
            found[site] = _integrate(probe, site, given, outputs[site], means[site], steps)
        scores.append(-_per_head(probe, found, frames))
    progress.report(1.0, f"Integrated gradients of {len(probe)} frames")
    return np.concatenate(scores)


def inert_by_gradient(probe: Probe, *, batch_size: int = BATCH) -> np.ndarray:
    """Heads with exactly no gradient at any token of any frame: bool [stack, layer, head]."""
    shape = probe.policy.head_shape
    inert = np.ones(shape.grid, bool)
    for _, batch in probe.batches(batch_size):
        for (stack, layer), (_, gradient) in head_gradients(probe, batch).items():
            inert[shape.index(stack), layer, : shape[stack].heads] &= (
                (gradient == 0).all(-1).all(1).all(0).cpu().numpy()
            )
    return inert


def head_gradients(probe: Probe, batch: Batch) -> dict[Site, tuple[torch.Tensor, torch.Tensor]]:
    """(stack, layer) -> outputs and gradient of the summed frame losses, each [row, token, head, dim]."""
    outputs: dict[Site, torch.Tensor] = {}

    def keep(site: Site) -> Rewrite:
        return lambda heads: outputs.setdefault(site, heads)  # returned, so that the loss depends on what is kept

    with torch.enable_grad(), rewritten_heads(probe.policy.model, {site: keep(site) for site in sites_of(probe)}):
        losses = _losses(probe, {**batch, "inputs_embeds": batch["inputs_embeds"].clone().requires_grad_()})
        gradients = torch.autograd.grad(losses.sum(), list(outputs.values()), allow_unused=True, materialize_grads=True)
    return {site: (outputs[site].detach(), g) for site, g in zip(outputs, gradients, strict=True)}


def _integrate(
    probe: Probe, site: Site, batch: Batch, outputs: torch.Tensor, mean: torch.Tensor, steps: int
) -> torch.Tensor:
    """captum's attribution to the head outputs of one layer, on the way from `mean`: [row, token, head · dim]."""
    names = sorted(batch)
    frames, samples = len(batch["state"]), len(mean)

    def losses(moved: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        with rewritten_heads(probe.policy.model, {site: lambda _: moved.flatten(0, 1).to(outputs)}):
            found = _losses(probe, dict(zip(names, rest, strict=True)))
        return found + 0 * moved.flatten(1).sum(1)  # captum wants a graph also where nothing reaches the loss

    attributed = IntegratedGradients(losses).attribute(
        outputs.float().unflatten(0, (frames, samples)),
        baselines=mean.expand(frames, *mean.shape),
        additional_forward_args=tuple(batch[name] for name in names),
        n_steps=steps,
        internal_batch_size=frames,
    )
    return attributed.flatten(0, 1).flatten(-2).float()


def _losses(probe: Probe, batch: Batch) -> torch.Tensor:
    return frame_losses(probe.policy, batch, probe.noise, probe.timestep)


def _loss_means(probe: Probe) -> dict[Site, torch.Tensor]:
    """Mean outputs in the pass of the loss, which is the last one: [sample, token, head, dim]."""
    with torch.no_grad():
        means: Means = mean_outputs(probe)[0]
    return {site: passes[-1] for site, passes in means.items()}


def _per_head(probe: Probe, products: dict[Site, torch.Tensor], frames: int) -> np.ndarray:
    """Sums [row, token, head · dim] over samples, tokens and dimensions: float32 [frame, stack, layer, head]."""
    shape = probe.policy.head_shape
    found = np.zeros((frames, *shape.grid), np.float32)
    for (name, layer), product in products.items():
        stack = shape[name]
        by_head = product.unflatten(-1, (stack.heads, stack.head_dim)).unflatten(0, (frames, -1)).sum((1, 2, 4))
        found[:, shape.index(name), layer, : stack.heads] = by_head.detach().float().cpu().numpy()
    return found
