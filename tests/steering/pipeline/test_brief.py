"""Which jobs may run beside a long one."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from steering import pipeline
from steering.pipeline.brief import LONG, WITHOUT_WEIGHTS, is_brief


def checkpoint(folder: Path, elements: int) -> str:
    save_file({"weight": np.zeros(elements, np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"type": "pi0"}')
    return str(folder)


def test_what_trains_or_runs_scenes_is_long() -> None:
    assert set(pipeline.RUNNABLE) >= LONG | WITHOUT_WEIGHTS
    assert {"find_heads"} == pipeline.RESUMABLE - LONG  # a minute of parts, of which none is lost
    assert not any(is_brief(function, {}) for function in LONG)
    assert is_brief("record", {"count": 20}) and not is_brief("record", {"count": 21})
    assert not is_brief("record", {"count": 2, "policy": "embedded"}), "it runs scenes"
    assert is_brief("score", {"activations_id": "activations-0"}) and is_brief("capture", {})


@pytest.mark.parametrize("function", ["capture", "open_policy", "inspect_upload"])
def test_a_large_policy_is_loaded_once(function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steering.pipeline.brief.SMALL_POLICY_BYTES", 4000)
    (tmp_path / "small").mkdir()
    (tmp_path / "large").mkdir()
    small, large = checkpoint(tmp_path / "small", 1000), checkpoint(tmp_path / "large", 1001)
    reads_weights = function != "inspect_upload"
    assert is_brief(function, {"policy": small})
    assert is_brief(function, {"policy": large}) is not reads_weights
    assert is_brief(function, {"policy": "lerobot/pi0_base"}) is not reads_weights  # may have to be fetched first
    assert is_brief(function, {"policy": str(tmp_path)})  # no policy: says so at once
