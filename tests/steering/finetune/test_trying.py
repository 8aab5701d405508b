"""Trying heads is finetuning them without saving."""

from dataclasses import replace

import pytest
import torch

from steering.finetune import trying as trying_module
from steering.finetune.training import finetune
from steering.finetune.trying import Trying
from steering.types import FinetuneSettings, Head, Selection

SETTINGS = FinetuneSettings(
    steps=6, batch_size=4, rank=2, alpha=2.0, warmup_steps=2, evaluations=1, precision="float32"
)
CHOSEN = Selection((Head("vlm", 0, 1), Head("vlm", 1, 2)), rule="by hand")


def test_it_trains_as_finetune_does_and_leaves_the_policy_as_it_was(policy, demonstrations, tmp_path):
    weights = {name: value.clone() for name, value in policy.model.state_dict().items()}
    first, last = demonstrations.episodes[:3], demonstrations.episodes[3:]
    trying = Trying(
        policy, replace(demonstrations, episodes=first), replace(demonstrations, episodes=last), SETTINGS, 32
    )
    tried = trying.heads(CHOSEN, with_change=True)
    made = finetune(policy, demonstrations, "steering", SETTINGS, CHOSEN, tmp_path, heldout_episodes=[3])
    assert tried.loss == pytest.approx(made.loss.tolist(), rel=1e-5)
    assert (tried.before, tried.after) == pytest.approx(tuple(made.heldout_error.tolist()), rel=1e-5)
    assert tried.trained == made.trainable_parameters
    assert all(torch.equal(value, policy.model.state_dict()[name]) for name, value in weights.items())


def test_the_change_is_that_of_the_chosen_heads_alone(policy, demonstrations):
    tried = Trying(policy, demonstrations, demonstrations, SETTINGS, 4).heads(CHOSEN, with_change=True)
    sites = policy.layout["vlm"]
    query = tried.change[sites.name(0, sites.query)]
    assert query[sites.query_rows(1)].abs().max() > 0
    assert query[sites.query_rows(0)].abs().max() == 0


def test_frames_embedded_once_give_the_same_numbers_and_deeper_sets_their_own(policy, demonstrations, monkeypatch):
    made = []
    real = trying_module.frame_set
    monkeypatch.setattr(trying_module, "frame_set", lambda *a, **k: (made.append(k["frozen_layers"]), real(*a, **k))[1])
    trying = Trying(policy, demonstrations, demonstrations, SETTINGS, 4)
    deep = Selection((Head("vlm", 1, 2),), rule="by hand")
    found = [trying.heads(one) for one in (CHOSEN, deep, CHOSEN)]
    assert made == [0, 0, 1, 1] and found[0].loss == found[2].loss and found[0].after == found[2].after
    fresh = Trying(policy, demonstrations, demonstrations, SETTINGS, 4).heads(deep)
    assert (fresh.loss, fresh.after) == (found[1].loss, found[1].after) and found[1].loss != found[0].loss
