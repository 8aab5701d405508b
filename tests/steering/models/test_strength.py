"""An adapter at a part of its strength: the base and the adapter to the byte at both ends, halfway in between."""

from __future__ import annotations

import pytest
import torch

from steering.errors import InputError
from steering.finetune.training import finetune
from steering.models.loading import load_policy
from steering.types import FinetuneSettings


@pytest.mark.parametrize("method", ["lora", "full"])
def test_strength_goes_from_the_base_to_the_adapter(policy_folder, demonstrations, tmp_path, method):
    settings = FinetuneSettings(
        steps=2, batch_size=2, rank=2, warmup_steps=1, learning_rate=1e-2, projections=method == "lora", noise_samples=1
    )
    finetune(load_policy(policy_folder), demonstrations, method, settings, None, tmp_path / "adapter")

    def weights(strength=None):
        options = {} if strength is None else {"strength": strength}
        return dict(load_policy(policy_folder, tmp_path / "adapter", **options).model.named_parameters())

    base, adapter = dict(load_policy(policy_folder).model.named_parameters()), weights()
    for end, wanted in ((0, base), (1, adapter)):
        assert all(torch.equal(weight, wanted[name]) for name, weight in weights(end).items())
    names = {name for name in base if not torch.equal(base[name], adapter[name])}
    assert {"model.dit.layers.0.self_attn.q_proj.weight", "action_out_proj.weight"} <= names
    for name, weight in weights(0.25).items():
        torch.testing.assert_close(weight, base[name] + (adapter[name] - base[name]) / 4, atol=1e-6, rtol=1e-5)
    with pytest.raises(InputError, match="from 0 to 1"):
        weights(1.5)
