"""The loop around the steps, with steps and a clock of its own: when it evaluates, writes, stops, and what it says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from steering.errors import InputError
from steering.finetune import training
from steering.finetune.checkpoint import TrainingState, read_checkpoint
from steering.finetune.plan import Part, Plan
from steering.finetune.schedule import learning_rate
from steering.finetune.training import TrainingRun
from steering.progress import Progress
from steering.types import FinetuneSettings

STEP_S, WRITE_S = 5.0, 2.0


class Loop(TrainingRun):
    """Steps that take STEP_S and add one to the weight; held-out errors as scripted."""

    def step(self, step: int, optimizer: torch.optim.Optimizer) -> float:
        now.s += STEP_S
        with torch.no_grad():
            self.policy.model.weight.add_(1)
        return 10.0 - step


now = SimpleNamespace(s=0.0)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """(settings, errors) -> a run and the steps at which it writes."""
    now.s = 100.0
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: now.s))
    written: list[int] = []

    def write(folder: Path, name: str, state: TrainingState, *_: object) -> None:
        written.append(state.step)
        now.s += WRITE_S

    monkeypatch.setattr(training, "write_checkpoint", write)

    def make(errors: list[float] | None = None, first: bool = True, count: int = 1, **options: Any) -> Any:
        left = iter(errors or [])
        monkeypatch.setattr(training, "heldout_error", lambda *_: next(left))
        processes = SimpleNamespace(first=first, count=count, sum=lambda values, *_: [count * v for v in values])
        model = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(model.weight)
        run = Loop(
            SimpleNamespace(model=model),  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            SimpleNamespace() if errors else None,  # type: ignore[arg-type]
            FinetuneSettings(**{"warmup_steps": 0, **options}),
            processes,  # type: ignore[arg-type]
            SimpleNamespace(mb=lambda: 7.0),  # type: ignore[arg-type]
            tmp_path,
            "run",
        )
        return run, written

    return make


@pytest.mark.parametrize(
    ("evaluations", "at"), [(2, [0, 10, 20]), (3, [0, 6, 12, 18, 20]), (4, [0, 5, 10, 15, 20]), (9, [0, 5, 10, 15, 20])]
)
def test_it_evaluates_so_many_times_but_not_more_often_than_every_five_steps(loop, evaluations, at) -> None:
    run, _ = loop([1.0] * 9, steps=20, evaluations=evaluations)
    state = TrainingState()
    assert run.train(state, Progress()) == ()
    assert [step for step, _ in state.heldout] == at
    assert state.step == 20 and state.loss == [10.0 - step for step in range(20)] and not state.best


def test_a_checkpoint_is_written_after_fifteen_seconds_and_costs_a_twentieth_of_the_time(loop) -> None:
    run, written = loop(steps=20)
    state = TrainingState()
    run.train(state, Progress())
    assert written == [3, 11, 19]  # 15 s; then 2 s of writing are paid by 40 s of steps
    assert state.train_s == 20 * STEP_S + 3 * WRITE_S
    run, written = loop(steps=20, first=False)
    run.train(TrainingState(), Progress())
    assert written == [3, 11, 19]  # another process writes nothing


def test_a_resumed_run_goes_on_counting(loop) -> None:
    run, _ = loop([5.0, 4.0, 3.0], steps=7, evaluations=1)
    state = TrainingState(step=4, loss=[1.0] * 4, heldout=[(0, 9.0)], train_s=50.0)
    run.train(state, Progress())
    assert state.train_s == 50 + 3 * STEP_S and state.step == 7 and len(state.loss) == 7
    assert state.heldout == [(0, 9.0), (7, 5.0)]


def test_the_best_weights_are_those_of_the_first_lowest_error(loop) -> None:
    run, _ = loop([3.0, 2.0, 2.0, 2.5, 4.0], steps=20, evaluations=4, keep_best=True)
    state = TrainingState()
    run.train(state, Progress())
    assert state.best["weight"].item() == 5 and training._best_step(state) == 5
    assert run.policy.model.weight.item() == 20
    run, _ = loop([6.0, 5.0], steps=5, evaluations=1, count=2)
    state = TrainingState()
    run.train(state, Progress())
    assert state.heldout == [(0, 6.0), (5, 5.0)]  # a mean over processes


def test_patience_counts_evaluations_after_the_best(loop) -> None:
    run, _ = loop([3.0, 2.0, 2.5, 2.0, 1.0], steps=50, evaluations=10, patience=2)
    state = TrainingState()
    (said,) = run.train(state, Progress())
    assert state.step == 15 and "in 2 evaluations after step 5" in said
    run, _ = loop([3.0, 2.0, 2.5], steps=10, evaluations=10, patience=2)
    assert run.train(TrainingState(), Progress()) == ()
    assert loop(steps=3, patience=1)[0].train(TrainingState(), Progress()) == ()  # nothing held out
    run, _ = loop([1.0, 2.0, 3.0], steps=10, evaluations=10)
    assert run.train(TrainingState(), Progress()) == ()  # no patience asked for


def test_what_it_reports_of_a_step(loop) -> None:
    run, _ = loop([1.0] * 3, steps=10, batch_size=4, learning_rate=0.5)
    assert run._metrics(TrainingState()) == {"step": 0, "peak_memory_mb": 7}
    assert set(run._metrics(TrainingState(step=1, loss=[1.0]))) == {"step", "peak_memory_mb"}  # no time has passed
    state = TrainingState(step=4, loss=[3.0, 2.5], train_s=2.0, heldout=[(0, 9.0), (4, 0.75)])
    rate = learning_rate(3, run.settings)
    assert run._metrics(state) == {
        **{"step": 4, "peak_memory_mb": 7, "loss": 2.5, "learning_rate": rate, "heldout_error": 0.75},
        **{"samples_per_s": 8, "left_s": 3},
    }
    assert "heldout_error" not in run._metrics(TrainingState(step=5, loss=[1.0], train_s=1.0, heldout=[(4, 0.5)]))
    seen: list[float] = []
    run.train(TrainingState(), Progress(sink=lambda one: seen.append(one.fraction)))
    np.testing.assert_allclose(seen, np.linspace(0, 1, 11))


@pytest.mark.parametrize("name", ["steps", "batch_size", "noise_samples", "accumulation", "evaluations"])
def test_counts_of_the_settings_are_at_least_one(name) -> None:
    training._check("lora", FinetuneSettings(**{name: 1}))
    with pytest.raises(InputError, match=f"Expected {name} of at least 1; got 0"):
        training._check("lora", FinetuneSettings(**{name: 0}))


def test_a_batch_has_at_most_as_many_parts_as_frames() -> None:
    training._check("lora", FinetuneSettings(batch_size=3, accumulation=3))
    with pytest.raises(InputError, match=r"in a batch \(3\); got 4"):
        training._check("lora", FinetuneSettings(batch_size=3, accumulation=4))


@pytest.mark.parametrize("in_expert", [True, False])
def test_where_the_state_enters_the_vlm_its_projection_thaws_all(in_expert) -> None:
    policy: Any = SimpleNamespace(expert_tokens=("state", "action") if in_expert else ("action",), layout=None)

    class Chosen(Plan):
        def frozen_layers(self, layout: object) -> int:
            return 2

    head, state = (Part(f"model.{name}", 1, None, 1, name) for name in ("q_proj", "state_proj"))
    assert training._frozen(policy, Chosen("steering", (head,), 1, 1.0)) == 2
    assert training._frozen(policy, Chosen("steering", (head, state), 1, 1.0)) == (2 if in_expert else None)
    assert training._frozen(policy, Chosen("full", (), None, 1.0)) is None


def test_a_checkpoint_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path, "run") is None
