"""Noise in demonstrations, and an adapter at half its strength."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from steering.errors import InputError
from steering.evidence.trial_cells import weakened, with_noise
from steering.finetune.training import finetune
from steering.models.loading import load_policy
from steering.store import Store
from steering.types import FinetuneSettings


def test_noise_moves_whole_chunks_of_about_the_share_and_repeats(demonstrations):
    longer = replace(
        demonstrations.episodes[0],
        action=np.random.default_rng(0).normal(0, 2, (400, 7)).astype(np.float32),
        state=np.zeros((400, 8), np.float32),
        cameras={name: np.repeat(one[:1], 400, 0) for name, one in demonstrations.episodes[0].cameras.items()},
    )
    clean = replace(demonstrations, episodes=(longer,) * 3)
    noisy = with_noise(clean, 0.2, 4, 1)
    change = np.concatenate([a.action - b.action for a, b in zip(noisy.episodes, clean.episodes, strict=True)])
    moved = (change != 0).any(1).reshape(-1, 4)
    assert (moved.all(1) == moved.any(1)).all()
    assert moved[:, 0].mean() == pytest.approx(0.2, abs=0.07)
    assert change[(change != 0).any(1)].std() == pytest.approx(2, rel=0.1)
    again = with_noise(clean, 0.2, 4, 1)
    assert all(np.array_equal(a.action, b.action) for a, b in zip(noisy.episodes, again.episodes, strict=True))
    with pytest.raises(InputError, match="share"):
        with_noise(clean, 0.0, 4, 1)


def test_half_an_adapter_is_halfway_between_the_weights(policy_folder, demonstrations, tmp_path):
    policy = load_policy(str(policy_folder))
    store = Store(tmp_path / "store")
    recorded = store.save("demonstrations", demonstrations)
    settings = FinetuneSettings(steps=3, batch_size=2, rank=2, alpha=2.0, warmup_steps=1, learning_rate=1e-2)
    with store.new_folder("adapter") as folder:
        result = finetune(policy, demonstrations, "lora", settings, None, folder / "adapter")
        adapter = store.save("adapter", result, parents=(recorded,), params={"method": "lora"}, folder=folder)
    half = weakened(store, adapter, 0.5)
    assert half != adapter and weakened(store, adapter, 0.5) == half
    name = policy.layout["vlm"].name(0, policy.layout["vlm"].query)
    weights = [
        load_policy(str(policy_folder), one).model.get_submodule(name).weight
        for one in (None, store.load(adapter).folder, store.load(half).folder)
    ]
    assert (weights[1] - weights[0]).abs().max() > 1e-4
    torch.testing.assert_close(weights[2], (weights[0] + weights[1]) / 2, atol=1e-6, rtol=1e-5)
