"""The finetuning loop: it learns, repeats, resumes to the same bytes, stops, and holds out what it says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from steering.errors import Cancelled, InputError, NotFound, SteeringError
from steering.finetune.attaching import attached
from steering.finetune.evaluation import heldout_error
from steering.finetune.frames import frame_set
from steering.finetune.peak import PeakMemory
from steering.finetune.processes import Processes
from steering.finetune.schedule import batch_rows, learning_rate
from steering.finetune.training import TrainingRun, finetune
from steering.models.chunks import action_chunks
from steering.models.preprocessing import observe
from steering.progress import Progress
from steering.types import FinetuneSettings, Head, Selection

SELECTION = Selection((Head("vlm", 0, 1), Head("expert", 1, 2)), "hand")
SETTINGS = FinetuneSettings(steps=6, batch_size=5, rank=2, alpha=4.0, learning_rate=1e-2, warmup_steps=2)


class StopAt:
    """A progress sink that cancels after a number of reported steps."""

    def __init__(self, step):
        self.step, self.seen = step, 0

    def sink(self, report):
        self.seen = int(report.metrics.get("step", 0))

    def progress(self):
        return Progress(self.sink, lambda: self.seen >= self.step)


def _bytes(folder):
    return (folder / "adapter_model.safetensors").read_bytes()


def test_result_says_what_happened(policy, demonstrations, tmp_path):
    reports = []
    result = finetune(
        policy, demonstrations, "steering", SETTINGS, SELECTION, tmp_path, progress=Progress(reports.append)
    )
    assert result.loss.shape == (6,) and np.isfinite(result.loss).all()
    assert result.heldout_step.tolist() == [0, 5, 6]
    assert result.train_s > 0 and result.trainable_parameters == sum(result.parameters.values()) > 0
    assert [r.metrics["step"] for r in reports if "loss" in r.metrics] == [1, 2, 3, 4, 5, 6]
    assert all(r.metrics["samples_per_s"] > 0 for r in reports if "loss" in r.metrics)
    assert [r.fraction for r in reports] == sorted(r.fraction for r in reports) and reports[-1].fraction == 1


def test_training_lowers_the_loss(policy, demonstrations, tmp_path):
    settings = dataclasses.replace(SETTINGS, steps=30, batch_size=10, rank=8, alpha=8.0)
    result = finetune(policy, demonstrations, "lora", settings, None, tmp_path)
    assert result.loss[-8:].mean() < 0.8 * result.loss[:8].mean()


def test_same_seed_same_bytes(policy, demonstrations, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        settings = dataclasses.replace(SETTINGS, seed=seed)
        finetune(policy, demonstrations, "steering", settings, SELECTION, tmp_path / name)
    assert _bytes(tmp_path / "a") == _bytes(tmp_path / "b") != _bytes(tmp_path / "c")


@pytest.mark.parametrize("keep_best", [False, True])
def test_stopped_run_resumes_to_the_same_bytes(policy, demonstrations, tmp_path, keep_best):
    settings, run = dataclasses.replace(SETTINGS, keep_best=keep_best), tmp_path / "stopped"
    whole = finetune(policy, demonstrations, "steering", settings, SELECTION, tmp_path / "whole")
    with pytest.raises(Cancelled):
        finetune(policy, demonstrations, "steering", settings, SELECTION, run, progress=StopAt(3).progress())
    assert [p.name for p in run.iterdir()] == ["checkpoint.pt"]
    reports = []
    progress = Progress(reports.append)
    resumed = finetune(policy, demonstrations, "steering", settings, SELECTION, run, progress=progress)
    assert [r.metrics["step"] for r in reports if "loss" in r.metrics] == [5, 6]
    assert _bytes(run) == _bytes(tmp_path / "whole")
    np.testing.assert_array_equal(resumed.loss, whole.loss)
    np.testing.assert_array_equal(resumed.heldout_error, whole.heldout_error)
    assert resumed.best_step == whole.best_step and not (run / "checkpoint.pt").exists()


def test_a_checkpoint_of_another_run_is_refused(policy, demonstrations, tmp_path):
    with pytest.raises(Cancelled):
        finetune(policy, demonstrations, "steering", SETTINGS, SELECTION, tmp_path, progress=StopAt(1).progress())
    with pytest.raises(InputError, match="other settings"):
        finetune(policy, demonstrations, "lora", SETTINGS, None, tmp_path)


def test_keep_best_saves_the_adapter_of_the_lowest_heldout_error(policy, demonstrations, tmp_path, monkeypatch):
    errors, adapters = iter([3.0, 1.0, 2.0]), []

    def scripted(policy, frames, seed):
        weights = policy.model.named_parameters()
        adapters.append({n.replace(".default", ""): p.detach().clone() for n, p in weights if "lora" in n})
        return next(errors)

    monkeypatch.setattr("steering.finetune.training.heldout_error", scripted)
    settings = dataclasses.replace(SETTINGS, steps=10, keep_best=True)
    result = finetune(policy, demonstrations, "steering", settings, SELECTION, tmp_path)
    assert result.best_step == 5
    assert result.heldout_step.tolist() == [0, 5, 10]
    saved = load_file(tmp_path / "adapter_model.safetensors")
    equal = [all(torch.equal(saved[f"base_model.model.{n}"], p) for n, p in a.items()) for a in adapters]
    assert len(saved) == len(adapters[0]) and equal == [False, True, False]


def test_accumulated_parts_give_the_gradient_of_the_whole_batch(policy, demonstrations, tmp_path):
    settings = dataclasses.replace(SETTINGS, precision="float32")
    whole = finetune(policy, demonstrations, "steering", settings, SELECTION, tmp_path / "whole")
    parts = dataclasses.replace(settings, accumulation=3)
    result = finetune(policy, demonstrations, "steering", parts, SELECTION, tmp_path / "parts")
    np.testing.assert_allclose(result.loss, whole.loss, atol=1e-5)


@pytest.mark.parametrize("scale", [1e4, 1e-3])
def test_gradients_are_clipped_at_norm_1_and_smaller_ones_left_alone(
    policy, demonstrations, tmp_path, scale, monkeypatch
):
    """Plain gradient descent moves by rate × gradient, so how far the weights move says what came of the gradient."""
    settings = dataclasses.replace(SETTINGS, precision="float32", learning_rate=1e-3, warmup_steps=0)
    loss_of = policy.flow_loss
    monkeypatch.setattr(policy, "flow_loss", lambda *given: scale * loss_of(*given))
    with attached(policy, "steering", settings, SELECTION):
        frames = frame_set(policy, demonstrations, [0, 1], Progress(), draws=0)
        trained = [p for p in policy.model.parameters() if p.requires_grad]
        before = [p.detach().clone() for p in trained]
        run = TrainingRun(policy, frames, None, settings, Processes(policy), PeakMemory(policy.device), tmp_path, "")
        run.step(0, torch.optim.SGD(trained, lr=1.0))
        moved = float(torch.cat([(p.detach() - old).flatten() for p, old in zip(trained, before, strict=True)]).norm())
        assert all(p.grad is None for p in trained)
    moved /= settings.learning_rate
    assert moved == pytest.approx(1.0, rel=1e-3) if scale > 1 else 0 < moved < 0.5


def test_patience_stops_early_and_the_best_is_kept(policy, demonstrations, tmp_path, monkeypatch):
    errors = iter([3.0, 1.0, 2.0, 1.5, 0.1])
    monkeypatch.setattr("steering.finetune.training.heldout_error", lambda *_: next(errors))
    settings = dataclasses.replace(SETTINGS, steps=100, evaluations=20, patience=2, keep_best=True)
    result = finetune(policy, demonstrations, "steering", settings, SELECTION, tmp_path)
    assert result.heldout_step.tolist() == [0, 5, 10, 15] and len(result.loss) == 15 and result.best_step == 5
    assert result.notices == ("Stopped after step 15: the held-out error did not fall in 2 evaluations after step 5.",)


def test_progress_says_speed_time_left_and_memory(policy, demonstrations, tmp_path):
    reports = []
    finetune(policy, demonstrations, "lora", SETTINGS, None, tmp_path, progress=Progress(reports.append))
    last = reports[-1].metrics
    assert {"loss", "learning_rate", "samples_per_s", "left_s", "peak_memory_mb", "heldout_error"} <= set(last)
    assert last["left_s"] == 0 < reports[-3].metrics["left_s"] and 100 < last["peak_memory_mb"] < 100_000
    assert last["learning_rate"] == pytest.approx(0.1 * SETTINGS.learning_rate)


def test_settings_that_cannot_work_are_said(policy, demonstrations, tmp_path):
    for options, error, match in (
        ({"precision": "float16"}, NotFound, "bfloat16"),
        ({"accumulation": 6}, InputError, "frames in a batch"),
        ({"steps": 0}, InputError, "steps of at least 1"),
    ):
        with pytest.raises(error, match=match):
            finetune(policy, demonstrations, "lora", dataclasses.replace(SETTINGS, **options), None, tmp_path)


def test_a_batch_needs_a_frame_for_every_process(policy, demonstrations, tmp_path, monkeypatch):
    class Eight(Processes):
        def __init__(self, policy):
            super().__init__(policy)
            self.count = 8

    monkeypatch.setattr("steering.finetune.training.Processes", Eight)
    with pytest.raises(InputError, match=r"at least 8 frames, one for each process; got 5.* at most 5 processes"):
        finetune(policy, demonstrations, "lora", SETTINGS, None, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_zero_shot_only_measures(policy, demonstrations, tmp_path):
    result = finetune(policy, demonstrations, "zero_shot", SETTINGS, None, tmp_path / "none")
    trained = finetune(policy, demonstrations, "lora", SETTINGS, None, tmp_path / "lora")
    assert result.trainable_parameters == 0 and result.loss.size == 0 and not (tmp_path / "none").exists()
    assert result.heldout_error.tolist() == [trained.heldout_error[0]]


def test_heldout_error_is_that_of_act(policy, demonstrations):
    frames = frame_set(policy, demonstrations, [3], Progress(), draws=1)
    noise = np.random.default_rng((7, 1)).standard_normal((9, 4, 8), np.float32)
    batch = policy.prepare(observe(demonstrations, np.full(9, 3), np.arange(9)))
    actions = policy.model.sample_actions(**batch, noise=torch.from_numpy(noise))[..., :7].numpy()
    statistics = policy.preprocessor.statistics
    chunk = (action_chunks(demonstrations.episodes[3].action, 4) - statistics.actions_mean) / statistics.actions_std
    assert heldout_error(policy, frames, 7) == pytest.approx(np.square(actions - chunk).mean(), rel=1e-4)


def test_every_frame_once_a_pass():
    rows = np.concatenate([batch_rows(step, 10, SETTINGS) for step in range(4)])
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    assert rows[:10].tolist() != rows[10:].tolist()


def test_learning_rate_warms_up_and_decays_to_a_tenth():
    settings = FinetuneSettings(steps=101, warmup_steps=20, learning_rate=1.0)
    rates = [learning_rate(step, settings) for step in range(101)]
    assert rates[0] == pytest.approx(0.05) and rates[19] == rates[20] == 1.0
    assert rates[60] == pytest.approx(0.55) and rates[100] == pytest.approx(0.1)


def test_heldout_episodes(demonstrations):
    assert demonstrations.split() == ([0, 1, 2], [3])
    assert demonstrations.split(()) == ([0, 1, 2, 3], [])
    assert demonstrations.split((2, 0)) == ([1, 3], [0, 2])
    assert demonstrations.without((2, 0)).episodes == (demonstrations.episodes[1], demonstrations.episodes[3])
    for wrong in ((0, 1, 2, 3), (4,)):
        with pytest.raises(InputError, match="0 to 3"):
            demonstrations.split(wrong)


def test_divergence_and_wrong_names_are_said(policy, demonstrations, tmp_path):
    settings = dataclasses.replace(SETTINGS, learning_rate=1e30, warmup_steps=0)
    with pytest.raises(SteeringError, match="learning rate"):
        finetune(policy, demonstrations, "lora", settings, None, tmp_path, heldout_episodes=())
    with pytest.raises(NotFound, match="steering"):
        finetune(policy, demonstrations, "steer", SETTINGS, SELECTION, tmp_path)
    assert not any("lora" in name for name, _ in policy.model.named_parameters())


def test_frames_are_trained_with_their_own_instructions(policy, demonstrations):
    first, other = demonstrations.episodes[0], demonstrations.episodes[1]
    told = (np.arange(first.frames) >= 3).astype(np.int16)
    changing = dataclasses.replace(first, instructions=(first.instruction, other.instruction), told=told)
    chosen = dataclasses.replace(demonstrations, episodes=(changing, *demonstrations.episodes[1:]))
    frames = frame_set(policy, chosen, [0], Progress(), draws=1)
    expected = [first.instruction] * 3 + [other.instruction] * (first.frames - 3)
    batch = frames.batch(np.arange(first.frames))
    tokens = policy.preprocessor.tokens(expected, len(first.cameras))
    assert (batch["attention_mask"].sum(1) == tokens["attention_mask"].sum(1)).all()
    assert len(set(batch["attention_mask"].sum(1).tolist())) == 2
    assert chosen.fingerprint() != demonstrations.fingerprint()
    swapped = dataclasses.replace(changing, told=1 - told)
    assert dataclasses.replace(chosen, episodes=(swapped,)).fingerprint() != chosen.without([1, 2, 3]).fingerprint()
