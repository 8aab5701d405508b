"""Noise in demonstrations, how arms train and rates are chosen, and an adapter at half its strength."""

from dataclasses import replace

import numpy as np
import pytest

from steering.errors import InputError
from steering.evidence import trial_cells
from steering.evidence.trial import RATE_HELDOUT_SEED, RATE_SEEDS, SEEDS, TrialCell, TrialSettings
from steering.evidence.trial_cells import arm_settings, chosen_rate, make_cell, screen_winner, with_noise
from steering.finetune.presets import PRESETS
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
    assert steering == replace(plain, precision="float32"), "the same on every processor"
    longer = arm_settings("steering_steps_1500", 3, 1e-2, settings)
    assert longer == replace(steering, steps=1500, warmup_steps=20)
    wider = arm_settings("lora_rank_64", 3, 1e-2, settings)
    assert (wider.rank, wider.alpha, wider.expert_rank, wider.steps) == (64, 64.0, 128, 7)
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


@pytest.fixture
def recorded(demonstrations, monkeypatch):
    """Instead of recordings, the same demonstrations under the task that was asked for; and no scene is run."""

    def record(store, *, task, count, seed, progress=None):
        params = {"task": task, "seed": seed, "count": count}
        named = replace(demonstrations, name=f"{task}, {seed}", task=task)
        return store.find_made("demonstrations", (), params) or store.save("demonstrations", named, params=params)

    ran = []

    def conditions(training, arm, trained, adapter_id, settings, store, progress):
        ran.append((arm, trained))
        return []

    monkeypatch.setattr(trial_cells.pipeline, "record", record)
    monkeypatch.setattr(trial_cells, "_conditions", conditions)
    return ran


def test_arms_choose_by_their_rules_and_take_the_rate_of_the_arm_that_they_follow(
    policy_folder, recorded, tmp_path, monkeypatch
):
    settings = TrialSettings(steps=1, batch_size=2, rank=2, heads=2, rates=(1e-3, 1e-4), policy=str(policy_folder))
    asked = []

    def chosen(cell, *_):
        asked.append(cell.arm)
        return 1e-4

    monkeypatch.setattr(trial_cells, "chosen_rate", chosen)
    monkeypatch.setattr(trial_cells, "screen_rules", lambda: ("reach", "movers"))

    def made(training, arm):
        return make_cell(TrialCell(training, arm, 0), settings, Store(tmp_path))

    both, confirming = made("cube", "steering_both"), made("confirm_pick_cube", "worst_4")
    assert sorted({head[0] for head in both["heads"]}) == ["expert", "vlm"] and len(both["heads"]) == 2
    assert both["learning_rate"] == 1e-4 and confirming["learning_rate"] == 1e-3
    winner = made("few", "steering_winner")
    assert {head[0] for head in winner["heads"]} == {"vlm"} and winner["heads"] != []
    assert asked == ["steering", "steering_winner"]
    untouched = made("cube", "untouched")
    assert (untouched["learning_rate"], untouched["heads"], untouched["parameters"]) == (0.0, [], {})


def test_a_weaker_arm_is_the_adapter_of_another_and_trains_nothing_of_its_own(
    policy_folder, recorded, tmp_path, monkeypatch
):
    settings = TrialSettings(steps=1, batch_size=2, rank=2, heads=2, policy=str(policy_folder))
    asked = []
    monkeypatch.setattr(trial_cells, "chosen_rate", lambda cell, *_: asked.append(cell.arm) or 1e-3)
    store = Store(tmp_path)
    for arm in ("lora", "retain", "lora_strength_25"):
        make_cell(TrialCell("cube", arm, 0), settings, store)
    assert asked == ["lora"] * 3
    assert [arm.strength for arm, _ in recorded] == [1.0, 0.5, 0.25]
    assert len({str(trained.folder) for _, trained in recorded}) == 1


def test_without_a_finished_screen_there_is_no_best_rule(monkeypatch):
    monkeypatch.setattr(trial_cells, "read_results_in", lambda folder: [])
    with pytest.raises(InputError, match="no best rule yet"):
        screen_winner()
