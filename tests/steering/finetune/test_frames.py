"""What is computed once per frame changes no loss, stays within its limit, and holds what fits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from steering.finetune import frames as frames_module
from steering.finetune.frames import frame_set
from steering.finetune.training import finetune
from steering.progress import Progress
from steering.types import FinetuneSettings, Head, Selection

SETTINGS = FinetuneSettings(
    steps=12, batch_size=5, rank=2, alpha=4.0, learning_rate=1e-2, warmup_steps=2, precision="float32"
)


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_frames_come_out_the_same_with_and_without_cache(policy, demonstrations, monkeypatch, layers):
    cached = frame_set(policy, demonstrations, [0, 1, 2], Progress(), draws=100, frozen_layers=layers)
    monkeypatch.setattr(frames_module, "CACHE_LIMIT_BYTES", cached.kept_bytes // 2)
    some = frame_set(policy, demonstrations, [0, 1, 2], Progress(), draws=100, frozen_layers=layers)
    monkeypatch.setattr(frames_module, "CACHE_LIMIT_BYTES", 0)
    none = frame_set(policy, demonstrations, [0, 1, 2], Progress(), draws=100, frozen_layers=layers)
    assert (len(cached), cached.kept_frames, some.kept_frames, none.kept_frames) == (21, 21, 10, 0)
    assert some.kept_bytes <= cached.kept_bytes / 2
    rows = np.array([7, 0, 20, 9, 12])
    noise, timestep = torch.randn(5, 2, 4, 8), torch.rand(5, 2)
    losses = [float(policy.flow_loss(frames.batch(rows), noise, timestep)) for frames in (cached, some, none)]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-6)


def test_few_draws_keep_nothing(policy, demonstrations):
    assert frame_set(policy, demonstrations, [0], Progress(), draws=6, frozen_layers=1).kept is None
    assert frame_set(policy, demonstrations, [0], Progress(), draws=7, frozen_layers=1).frozen_layers == 0


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("heads", "frozen"),
    [((Head("vlm", 1, 0), Head("expert", 2, 1)), 1), ((Head("expert", 0, 1),), 3)],
    ids=["1", "all"],
)
def test_frozen_layers_give_the_same_losses(policy, demonstrations, monkeypatch, tmp_path, heads, frozen, precision):
    selection = Selection(heads, "hand")
    settings = dataclasses.replace(SETTINGS, precision=precision)
    cached = finetune(policy, demonstrations, "steering", settings, selection, tmp_path / "cached")
    monkeypatch.setattr(frames_module, "CACHE_LIMIT_BYTES", 0)
    monkeypatch.setattr(frames_module, "FREEZING_PASSES", 10**9)
    whole = finetune(policy, demonstrations, "steering", settings, selection, tmp_path / "whole")
    assert (cached.frozen_layers, whole.frozen_layers) == (frozen, 0)
    assert cached.cache_mb > 0 == whole.cache_mb and cached.loss[0] != cached.loss[-1]
    np.testing.assert_allclose(cached.loss, whole.loss, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        cached.heldout_error, whole.heldout_error, rtol=1e-3 if precision == "bfloat16" else 1e-5
    )
    assert len(policy.model.model.vlm.language_model.layers) == 3


def test_what_is_kept_depends_on_draws_and_on_half_of_the_free_memory(policy, demonstrations, monkeypatch):
    """Six frames: drawn more than once they are kept; twice over, the frozen layers with them."""
    made = [
        frame_set(policy, demonstrations, [0], Progress(), draws=draws, frozen_layers=1) for draws in (6, 7, 11, 12)
    ]
    assert [(one.kept_frames, one.frozen_layers) for one in made] == [(0, 0), (6, 0), (6, 0), (6, 1)]
    of_frame = made[1].kept_bytes // 6
    for free, kept in ((6 * of_frame, 3), (7 * of_frame, 3), (8 * of_frame, 4), (2 * of_frame - 1, 0), (10**12, 6)):
        monkeypatch.setattr(frames_module, "free_bytes", lambda _, free=free: free)
        assert frame_set(policy, demonstrations, [0], Progress(), draws=7).kept_frames == kept
    embedded = frame_set(policy, demonstrations, [0], Progress(), draws=99, frozen_layers=None)
    assert embedded.kept is None and embedded.frozen_layers is None and embedded.kept_bytes == 0


def test_a_limit_takes_frames_evenly_over_all_episodes(policy, demonstrations):
    frames = frame_set(policy, demonstrations, [1, 3], Progress(), draws=1, limit=4)  # 7 and 9 frames
    assert list(zip(frames.episode.tolist(), frames.frame.tolist(), strict=True)) == [(1, 0), (1, 5), (3, 3), (3, 8)]
    assert len(frame_set(policy, demonstrations, [1, 3], Progress(), draws=1, limit=16)) == 16
    assert frames.chunk.shape == (4, 4, 7)
    np.testing.assert_array_equal(frames.chunk[1, 0], demonstrations.episodes[1].action[5])
