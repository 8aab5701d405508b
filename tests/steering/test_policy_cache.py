"""Which weights a folder holds, told by its bytes or, where it is large, by names, sizes and times."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from steering import policy_cache


def test_a_large_folder_whose_weights_were_written_again_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"1234")
    os.utime(weights, ns=(10**18, 10**18))
    in_full = policy_cache.fingerprint(str(tmp_path))
    monkeypatch.setattr(policy_cache, "_HASHED_IN_FULL_BYTES", 3)
    before = policy_cache.fingerprint(str(tmp_path))
    weights.write_bytes(b"4321")
    os.utime(weights, ns=(10**18 + 1, 10**18 + 1))
    after = policy_cache.fingerprint(str(tmp_path))
    assert len({in_full, before, after}) == 3
    os.utime(weights, ns=(10**18, 10**18))
    assert policy_cache.fingerprint(str(tmp_path)) == before
