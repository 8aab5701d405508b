"""Noise in demonstrations, how arms train and rates are chosen, and an adapter at half its strength."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from steering.errors import InputError
from steering.evidence import trial_cells
from steering.evidence.trial import RATE_HELDOUT_SEED, RATE_SEEDS, SEEDS, TrialCell, TrialSettings
from steering.evidence.trial_cells import arm_settings, chosen_rate, weakened, with_noise
from steering.finetune.presets import PRESETS
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


def test_arms_train_what_their_presets_say_at_the_trial_s_rank_and_steps():
    settings = TrialSettings(steps=7, rank=4)
    release, lora, steering = (arm_settings(arm, 3, 1e-2, settings) for arm in ("release", "lora", "steering"))
    assert (release.ffn, release.projections, release.time_mlp, release.head_factors) == ("all", True, True, True)
    assert release.expert_rank is None and (lora.rank, lora.expert_rank) == (4, 8), "twice the VLM's, as openpi"
    assert (lora.head_factors, lora.projections, lora.ffn) == (True, True, "none")
    plain = replace(FinetuneSettings(), steps=7, rank=4, alpha=4.0, learning_rate=1e-2, seed=3, warmup_steps=1)
    assert steering == plain
    same = ("steps", "batch_size", "learning_rate", "noise_samples", "seed", "rank", "alpha")
    assert all(getattr(release, name) == getattr(lora, name) == getattr(steering, name) for name in same)
    assert PRESETS["release"].noise_samples != release.noise_samples


@pytest.mark.slow
def test_a_rate_is_chosen_by_demonstrations_that_no_training_saw(policy_folder, demonstrations, tmp_path, monkeypatch):
    """The lowest error on them wins, whatever the trainings' own loss says; trainings see every demonstration."""
    store, asked, judged = Store(tmp_path), [], []

    def record(store, *, task, count, seed, progress=None):
        asked.append((seed, count))
        renamed = replace(demonstrations, name=f"{task}, {seed}")
        return store.find_made("demonstrations", (), {"seed": seed}) or store.save(
            "demonstrations", renamed, params={"seed": seed}
        )

    real = trial_cells._error

    def error(adapter_id, demonstrations_id, settings, store):
        trained = store.load(adapter_id)
        judged.append((trained.settings.learning_rate, store.manifest(demonstrations_id).params["seed"]))
        assert store.manifest(adapter_id).params["heldout_episodes"] == [] and not len(trained.heldout_error)
        found = real(adapter_id, demonstrations_id, settings, store)
        assert found > 0
        return found if trained.settings.learning_rate > 1e-5 else found / 1e3

    monkeypatch.setattr(trial_cells.pipeline, "record", record)
    monkeypatch.setattr(trial_cells, "_error", error)
    settings = TrialSettings(steps=1, batch_size=2, rank=2, rates=(1e-2, 1e-6), policy=str(policy_folder))
    assert chosen_rate(TrialCell("few", "lora", 0), settings, store, trial_cells.Progress()) == 1e-6
    assert {seed for _, seed in judged} == {RATE_HELDOUT_SEED} and len(judged) == 2 * len(RATE_SEEDS)
    assert {seed for seed, _ in asked} == {RATE_HELDOUT_SEED, *RATE_SEEDS}
    assert not {RATE_HELDOUT_SEED, *RATE_SEEDS} & set(SEEDS) and RATE_HELDOUT_SEED not in RATE_SEEDS
    assert (RATE_HELDOUT_SEED, settings.rate_heldout) in asked


@pytest.mark.parametrize("whole", [False, True])
def test_half_an_adapter_is_halfway_between_the_weights(policy_folder, demonstrations, tmp_path, whole):
    policy = load_policy(str(policy_folder))
    store = Store(tmp_path / "store")
    recorded = store.save("demonstrations", demonstrations)
    settings = FinetuneSettings(
        steps=3, batch_size=2, rank=2, alpha=2.0, warmup_steps=1, learning_rate=1e-2, projections=whole
    )
    with store.new_folder("adapter") as folder:
        result = finetune(policy, demonstrations, "lora", settings, None, folder / "adapter")
        params = {"method": "lora", "policy": str(policy_folder)}
        adapter = store.save("adapter", result, parents=(recorded,), params=params, folder=folder)
    half = weakened(store, adapter, 0.5)
    assert half != adapter and weakened(store, adapter, 0.5) == half
    names = [policy.layout["vlm"].name(0, policy.layout["vlm"].query)] + ["action_out_proj"] * whole
    for name in names:
        weights = [
            load_policy(str(policy_folder), one).model.get_submodule(name).weight
            for one in (None, store.load(adapter).folder, store.load(half).folder)
        ]
        assert (weights[1] - weights[0]).abs().max() > 1e-4
        torch.testing.assert_close(weights[2], (weights[0] + weights[1]) / 2, atol=1e-6, rtol=1e-5)
