"""Precision and memory: chosen and checked before anything is loaded, said in words."""

from __future__ import annotations

import pytest
import torch

from steering.errors import InputError, NotFound
from steering.models import free_memory, memory
from steering.models.checkpoint import Checkpoint, TensorHeader, open_checkpoint
from steering.models.loading import load_policy
from steering.models.memory import free_bytes, place

GB = 10**9


def _pi0(tmp_path):
    """Headers of the published size: 3.5 billion parameters, the largest tensor 257152 × 2048."""
    tensors = {f"rest.{i}": TensorHeader("F32", (29_747_249,)) for i in range(100)}
    tensors["embed"] = TensorHeader("F32", (257152, 2048))
    return Checkpoint("lerobot/pi0_base", tmp_path, {"type": "pi0"}, tensors, ("model.safetensors",))


@pytest.mark.parametrize(("free_gb", "dtype"), [(64, torch.float32), (17, torch.bfloat16), (10, torch.bfloat16)])
def test_precision_follows_the_free_memory(monkeypatch, tmp_path, free_gb, dtype):
    monkeypatch.setattr(memory, "free_bytes", lambda device: free_gb * GB)
    placement = place(_pi0(tmp_path), "cpu")
    assert placement.dtype == dtype
    assert placement.weight_bytes == pytest.approx(3.5 * GB * dtype.itemsize, rel=0.01)
    assert placement.need_bytes <= placement.free_bytes
    assert placement.words().startswith("3.50 billion parameters in ") and f"of {free_gb}.0 GB" in placement.words()


def test_too_little_memory_is_said_before_loading(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 5 * GB)
    with pytest.raises(InputError, match=r"Expected 9.6 GB of free memory on cpu for pi0_base \(3.50 billion.*5.0 GB"):
        place(_pi0(tmp_path), "cpu")
    with pytest.raises(InputError, match="load it in bfloat16"):
        place(_pi0(tmp_path), "cpu", "float32")


def test_a_small_policy_stays_in_single_precision(monkeypatch, policy_folder):
    monkeypatch.setattr(memory, "free_bytes", lambda device: GB // 10)
    assert place(open_checkpoint(policy_folder), "cpu").dtype == torch.float32
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1000)
    monkeypatch.setattr("steering.models.pi0_checkpoint.load_model", None)  # not reached
    with pytest.raises(InputError, match="free memory"):
        load_policy(policy_folder, device="cpu")


def test_unknown_precision(policy_folder):
    with pytest.raises(NotFound, match="Did you mean 'float32'"):
        place(open_checkpoint(policy_folder), "cpu", "float3")


def test_a_gpu_takes_half_precision_from_a_gigabyte_on(monkeypatch, tmp_path, policy_folder):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (24 * GB, 24 * GB))
    assert place(_pi0(tmp_path), "cuda").dtype == torch.bfloat16
    assert place(open_checkpoint(policy_folder), "cuda").dtype == torch.float32


def test_free_memory_obeys_a_containers_limit(monkeypatch, tmp_path):
    monkeypatch.setattr(free_memory, "CGROUP", tmp_path)
    unlimited = free_bytes()
    assert 10**7 < unlimited < 10**14
    for name, text in (("max", "3000000"), ("current", "1000000"), ("stat", "anon 5\ninactive_file 400000\n")):
        (tmp_path / f"memory.{name}").write_text(text)
    assert free_bytes() == 2_400_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes() > 10**7
