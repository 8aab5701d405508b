"""Mean ablation against a loop that goes frame by frame, pass by pass, with hooks of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from steering.attribution.ablation import mean_ablation
from steering.attribution.probe import probe
from steering.errors import Cancelled
from steering.progress import Progress

FRAMES, SAMPLES = 5, 2


class Loop:
    """One frame at a time: the prefix, three denoising steps, then one pass of the expert for each draw of the loss."""

    def __init__(self, policy, asked):
        self.policy, self.asked = policy, asked

    def run(self, row, stack, layer, change):
        """Loss and chunk of a frame; `change` sees the input of o_proj in each pass and may return another."""
        module = self.policy.model.get_submodule(self.policy.layout.output(stack, layer))
        handle = module.register_forward_pre_hook(lambda m, args: (change(args[0].clone()),))
        try:
            length = int(self.asked.batch["attention_mask"][row].sum())
            batch = {name: tensor[row : row + 1] for name, tensor in self.asked.batch.items()}
            batch["inputs_embeds"] = batch["inputs_embeds"][:, :length]  # no padding at all
            batch["attention_mask"] = batch["attention_mask"][:, :length]
            with torch.no_grad():
                cache = self.policy.prefix(batch)
                actions = self.asked.start
                for step in range(3):
                    time = torch.tensor([1 - step / 3])
                    actions = actions - self.policy.velocity(batch, cache, actions, time) / 3
                losses = []
                for noise, time in zip(self.asked.noise, self.asked.timestep, strict=True):
                    noisy = time * noise + (1 - time) * batch["actions"]
                    velocity = self.policy.velocity(batch, cache, noisy, time[None])
                    losses.append(float(((velocity - (noise - batch["actions"])) ** 2).mean()))
        finally:
            handle.remove()
        return np.mean(losses), actions[0, :, :7].numpy()

    def effect(self, stack, layer, head):
        columns = slice(head * 8, head * 8 + 8)
        seen = []  # [frame][pass] -> [token, dim]
        base = []
        for row in range(FRAMES):
            passes = []
            base.append(
                self.run(row, stack, layer, lambda x, p=passes: (p.append(x[0, :, columns].numpy().copy()), x)[1])
            )
            seen.append(passes)
        increase, change = [], []
        for row in range(FRAMES):
            counter = iter(range(100))

            def to_mean(x, counter=counter):
                index = next(counter)
                for token in range(x.shape[1]):
                    there = [frame[index][token] for frame in seen if token < len(frame[index])]
                    x[0, token, columns] = torch.from_numpy(np.mean(there, axis=0))
                return x

            loss, chunk = self.run(row, stack, layer, to_mean)
            increase.append(loss - base[row][0])
            change.append(np.sqrt(((chunk - base[row][1]) ** 2).mean()))
        return increase, change


@pytest.fixture
def asked(policy, demonstrations):
    return probe(policy, demonstrations, frames=FRAMES, samples=SAMPLES)


def test_ablation_equals_a_brute_force_loop(policy, asked):
    ablated = mean_ablation(asked, batch_size=3)
    for site in (("vlm", 0, 1), ("vlm", 1, 3), ("expert", 0, 0), ("expert", 2, 2)):
        at = (slice(None), ("vlm", "expert").index(site[0]), *site[1:])
        increase, change = Loop(policy, asked).effect(*site)
        assert np.abs(increase).max() > 1e-3 and np.max(change) > 1e-3
        np.testing.assert_allclose(ablated.loss_increase[at], increase, atol=2e-5, err_msg=str(site))
        np.testing.assert_allclose(ablated.action_change[at], change, atol=2e-5, err_msg=str(site))


def test_inert_heads_have_no_effect_and_the_policy_leaves_as_it_came(policy, asked):
    hooks = sum(len(m._forward_pre_hooks) for m in policy.model.modules())
    ablated = mean_ablation(asked)
    inert = policy.layout.inert
    assert (ablated.action_change[:, inert] == 0).all() and (ablated.action_change[:, ~inert] > 0).all()
    assert np.abs(ablated.loss_increase[:, inert]).max() < 1e-6
    assert sum(len(m._forward_pre_hooks) for m in policy.model.modules()) == hooks


def test_progress_and_cancel(asked):
    reports = []
    mean_ablation(asked, progress=Progress(reports.append))
    fractions = [report.fraction for report in reports]
    assert fractions == sorted(fractions) and fractions[-1] == 1 and len(reports) == 24
    assert reports[10].left_s is not None
    with pytest.raises(Cancelled):
        mean_ablation(asked, progress=Progress(should_cancel=lambda: True))
