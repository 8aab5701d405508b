"""Shares of a batch over several processes, without launching them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from steering.errors import InputError
from steering.finetune import processes
from steering.finetune.processes import Processes


def _of(monkeypatch: pytest.MonkeyPatch, index: int, count: int) -> tuple[Processes, list[Any]]:
    said: list[Any] = []
    state = SimpleNamespace(
        num_processes=count,
        process_index=index,
        is_main_process=index == 0,
        device=torch.device("cpu"),
        wait_for_everyone=lambda: said.append("waited"),
    )
    monkeypatch.setattr(processes, "PartialState", lambda cpu: said.append(cpu) or state)
    model = SimpleNamespace(to=said.append)
    return Processes(SimpleNamespace(device=torch.device("cpu"), model=model)), said  # type: ignore[arg-type]


def test_each_process_takes_every_nth_row(monkeypatch) -> None:
    shares = []
    for index in range(3):
        one, said = _of(monkeypatch, index, 3)
        shares.append(one.share(8).tolist())
        assert one.first == (index == 0) and said == [True, torch.device("cpu")]
        one.wait()
        assert said[-1] == "waited"
        one.check(3)
        with pytest.raises(InputError, match="at least 3 frames, one for each process; got 2"):
            one.check(2)
    assert shares == [[0, 3, 6], [1, 4, 7], [2, 5]]


def test_one_process_sums_nothing_and_waits_for_nobody(monkeypatch) -> None:
    one, said = _of(monkeypatch, 0, 1)
    monkeypatch.setattr(processes, "reduce", None)
    one.wait()
    assert one.sum([2.5, 3]) == [2.5, 3] and said == [True]
    assert one.share(3).tolist() == [0, 1, 2]


def test_sums_come_back_to_their_tensors(monkeypatch) -> None:
    one, _ = _of(monkeypatch, 1, 2)
    monkeypatch.setattr(processes, "reduce", lambda flat, how: flat * 10 if how == "sum" else None)
    gradients = [torch.tensor([[1.0, 2], [3, 4]]), torch.tensor([5.0, 6])]
    assert one.sum([0.5, 7], gradients) == [5, 70]
    assert gradients[0].tolist() == [[10, 20], [30, 40]] and gradients[1].tolist() == [50, 60]
