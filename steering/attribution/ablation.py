"""Mean ablation: each head in turn says in every frame what it says on average, and the policy is run again.

The mean is taken over frames at the same token, for the expert also in the same pass (draw of the loss or denoising
step), so that what goes is what the head says about the frame: the true causal effect on the flow-matching loss and
on the predicted action chunk (Wang et al., arXiv 2211.00593, section 2). Layers below the ablated one are computed
once for all its heads; ablating an expert head leaves the whole VLM alone.
Cost on the embedded policy: see `steering.metrics`; it grows with heads × frames.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from steering.attribution.probe import Probe, frame_losses
from steering.models.flow import Batch
from steering.models.hooks import Rewrite, Site, rewritten_heads
from steering.models.sites import PROMPT
from steering.progress import Progress

BATCH = 64

Means = dict[Site, list[torch.Tensor]]
"""(stack, layer) -> per pass, in the order that `respond` runs them: [sample, token, head, dim]."""


@dataclass(frozen=True)
class Ablation:
    """loss: float32 [frame], of the whole policy. loss_increase, action_change: float32 [frame, stack, layer, head].

    action_change: root mean square over steps and dimensions of the chunk, in standard deviations of the actions.
    """

    loss: np.ndarray
    loss_increase: np.ndarray
    action_change: np.ndarray


def mean_ablation(probe: Probe, *, batch_size: int = BATCH, progress: Progress | None = None) -> Ablation:
    """Ablate every head of every stack. The policy leaves as it came."""
    progress = progress or Progress()
    shape, frames = probe.policy.head_shape, len(probe)
    with torch.inference_mode():
        means, base = mean_outputs(probe, batch_size)
        loss, chunk = base
        increase, change = (np.zeros((frames, *shape.grid), np.float32) for _ in range(2))
        heads_all, done = shape.count * frames, 0
        for rows, batch in probe.batches(batch_size):
            for (stack, layer), below in _sites(probe, batch):
                at = shape.index(stack)
                for head in range(shape[stack].heads):
                    removal = _to_mean(means[stack, layer], head)
                    with rewritten_heads(probe.policy.model, {(stack, layer): removal}):
                        ablated = respond(probe, below)
                    increase[rows, at, layer, head] = (ablated[0] - loss[rows]).cpu().numpy()
                    difference = (ablated[1] - chunk[rows]).square().mean((1, 2)).sqrt()
                    change[rows, at, layer, head] = difference.cpu().numpy()
                    done += len(batch["state"])
                    progress.report(done / heads_all, f"Ablated {done * shape.count // heads_all} heads")
    return Ablation(loss.cpu().numpy(), increase, change)


def respond(probe: Probe, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss [frame] and predicted chunk [frame, step, dim] (normalised) of a batch: denoising, then the loss."""
    policy = probe.policy
    cache = policy.prefix(batch)
    chunk = policy.denoise(batch, cache, probe.start.expand(len(batch["state"]), -1, -1))
    return frame_losses(policy, batch, probe.noise, probe.timestep, cache), chunk[..., : policy.action_dim]


def mean_outputs(probe: Probe, batch_size: int = BATCH) -> tuple[Means, tuple[torch.Tensor, torch.Tensor]]:
    """Means over frames of every head's output in every pass of `respond`, and what the whole policy responds.

    A prompt token counts in the frames whose prompt reaches that far.
    """
    sums: Means = {}
    losses, chunks = [], []
    for _, batch in probe.batches(batch_size):
        seen: dict[Site, list[torch.Tensor]] = defaultdict(list)
        sites = {site: _adder(seen[site], _on_prompt(probe, site), batch) for site in sites_of(probe)}
        with rewritten_heads(probe.policy.model, sites):
            loss, chunk = respond(probe, batch)
        losses.append(loss)
        chunks.append(chunk)
        for site, passes in seen.items():
            sums[site] = [a + b for a, b in zip(sums[site], passes, strict=True)] if site in sums else passes
    count = probe.batch["attention_mask"].sum(0).clamp(min=1)[:, None, None]
    means = {
        site: [total / (count if _on_prompt(probe, site) else len(probe)) for total in passes]
        for site, passes in sums.items()
    }
    return means, (torch.cat(losses), torch.cat(chunks))


def _on_prompt(probe: Probe, site: Site) -> bool:
    return probe.policy.layout[site[0]].sequence == PROMPT


def _adder(passes: list[torch.Tensor], on_prompt: bool, batch: Batch) -> Rewrite:
    """Appends the sum over frames of each pass, float32 [sample, token, head, dim], padding left out."""
    valid = batch["attention_mask"].bool()[..., None, None]

    def add(outputs: torch.Tensor) -> torch.Tensor:
        counted = outputs.float()
        counted = counted.where(valid, 0) if on_prompt else counted
        passes.append(counted.unflatten(0, (len(valid), -1)).sum(0))
        return outputs

    return add


def _to_mean(means: list[torch.Tensor], head: int) -> Rewrite:
    """Replaces a head's output by its mean of the same pass; the passes must come in the order of `respond`."""
    passes = iter(means)

    def replace(outputs: torch.Tensor) -> torch.Tensor:
        mean = next(passes)[:, :, head]
        outputs = outputs.clone()
        outputs[:, :, head] = mean.repeat(len(outputs) // len(mean), 1, 1).to(outputs)
        return outputs

    return replace


def sites_of(probe: Probe) -> list[Site]:
    """Every (stack, layer) of the policy."""
    return list(probe.policy.layout.places)


def _sites(probe: Probe, batch: Batch) -> Iterator[tuple[Site, Batch]]:
    """Each (stack, layer), with the batch in which all that lies below it is computed already."""
    whole: Batch | None = None
    for site in sites_of(probe):
        if _on_prompt(probe, site):
            yield site, below(probe, batch, site)
        else:
            whole = below(probe, batch, site) if whole is None else whole
            yield site, whole


def below(probe: Probe, batch: Batch, site: Site) -> Batch:
    """The batch in which the layers of the first stack on the prompt that lie below a site are computed already."""
    layout, (stack, layer) = probe.policy.layout, site
    if not layout.on(PROMPT):
        return batch
    first = layout.on(PROMPT)[0].stack
    layers = layer if stack == first.name else first.layers
    return batch | probe.policy.freeze(batch, layers) if layers else batch
