"""Peak memory: of the process by the kernel's own count, of a GPU by torch's."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import numpy as np
import pytest
import torch

from steering.finetune import peak
from steering.finetune.peak import PeakMemory

CPU = torch.device("cpu")


def _kernels_mb() -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6  # the kernel's kB are 1 024 bytes


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux; elsewhere the next test holds")
def test_the_peak_is_the_kernels_and_counts_from_the_start_of_the_watch() -> None:
    memory = PeakMemory(CPU)
    before = memory.mb()
    assert before == pytest.approx(_kernels_mb(), rel=1e-3)
    held = np.ones(100_000_000, np.uint8)  # 100 MB
    assert memory.mb() == pytest.approx(_kernels_mb(), rel=1e-3)
    if os.access("/proc/self/clear_refs", os.W_OK):
        assert 90 < memory.mb() - before < 110
    del held
    assert memory.mb() == pytest.approx(_kernels_mb(), rel=1e-3)


@pytest.mark.parametrize(("platform", "unit"), [("linux", 1024), ("darwin", 1)])
def test_without_the_kernels_count_it_is_that_of_resource(tmp_path: Path, monkeypatch, platform, unit) -> None:
    monkeypatch.setattr(peak, "_STATUS", tmp_path / "none")
    monkeypatch.setattr(peak, "_RESET", tmp_path / "none")
    monkeypatch.setattr(peak.sys, "platform", platform)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert PeakMemory(CPU).mb() == pytest.approx(most * unit / 1e6, rel=1e-2)
    (tmp_path / "status").write_text("Name: python\n")  # a kernel that does not count
    monkeypatch.setattr(peak, "_STATUS", tmp_path / "status")
    assert PeakMemory(CPU).mb() == pytest.approx(most * unit / 1e6, rel=1e-2)
    assert not (tmp_path / "none").exists()


def test_of_a_gpu_it_is_what_torch_took(monkeypatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", asked.append)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3_500_000)
    device = torch.device("cuda")
    assert PeakMemory(device).mb() == 3.5 and asked == [device]
