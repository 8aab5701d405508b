"""A recording of rerun is read back: every frame, camera, column and head at its place in time."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import steering.cli.main  # noqa: F401  registers the commands
from steering import pipeline
from steering.cli.frame import app
from steering.errors import InputError, SteeringError
from steering.export.rrd import over_picture
from steering.store import Store
from steering.types import Demonstrations, Head


def _read(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Entity -> its rows, each the columns that are not empty."""
    from rerun.chunk import RrdReader

    found: dict[str, list[dict[str, Any]]] = {}
    for chunk in RrdReader(path).stream():
        for row in chunk.to_record_batch().to_pylist():
            kept = {name.split(":")[-1]: value for name, value in row.items() if value is not None}
            found.setdefault(str(chunk.entity_path), []).append(kept)
    return found


def test_an_episode_is_read_back_as_it_was(policy_folder: Path, demonstrations: Demonstrations, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    kept, episode = store.save("demonstrations", demonstrations), demonstrations.episodes[1]
    place = ["--store", str(store.root), "--policy", str(policy_folder), "--head", "vlm.1.2", "--episode", "1"]
    ran = CliRunner().invoke(app, ["export-rrd", kept, str(tmp_path / "one.rrd"), *place])
    assert ran.exit_code == 0, (ran.output, ran.exception)
    assert json.loads(ran.stdout.splitlines()[-1])["bytes"] == (tmp_path / "one.rrd").stat().st_size
    found = _read(tmp_path / "one.rrd")
    for name, values in (("/state", episode.state), ("/action", episode.action)):
        rows = sorted((row for row in found[name] if "scalars" in row), key=lambda row: row["frame"])
        np.testing.assert_allclose([row["scalars"] for row in rows], values, rtol=1e-6)
        seconds = [row["time"].total_seconds() for row in rows]
        np.testing.assert_allclose(seconds, np.arange(episode.frames) / episode.rate_hz)
    for role in episode.cameras:
        assert len([row for row in found[f"/camera/{role}"] if "blob" in row]) == episode.frames
        looked = [row for row in found[f"/camera/{role}/attention/vlm.1.2"] if "blob" in row]
        assert len(looked) == episode.frames
        png = Image.open(io.BytesIO(bytes(np.ravel(looked[0]["blob"][0]).tolist())))
        assert (png.mode, png.size) == ("RGBA", (64, 64))
    assert found["/instruction"][0]["text"] == [episode.instruction]


def test_without_heads_each_stack_looks_for_itself(
    policy_folder: Path, demonstrations: Demonstrations, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    kept = store.save("demonstrations", demonstrations)
    options = {"demonstrations_id": kept, "path": tmp_path / "one.rrd", "policy": str(policy_folder)}
    found = _read(pipeline.export_rrd(store, **options))
    assert {name.split("/")[-1] for name in found if "attention" in name} == {"vlm", "expert"}
    with pytest.raises(InputError, match="is there already"):
        pipeline.export_rrd(store, **options)
    with pytest.raises(InputError, match="There is no head 9.9"):
        pipeline.export_rrd(store, **options | {"path": tmp_path / "two.rrd", "heads": [Head("vlm", 9, 9)]})


def test_attention_lies_over_what_the_policy_saw() -> None:
    patches = np.arange(16, dtype=np.uint8)  # 4 × 4 of a square
    np.testing.assert_array_equal(over_picture(patches, 4, 4), patches.reshape(4, 4))
    np.testing.assert_array_equal(over_picture(patches, 2, 4), patches.reshape(4, 4)[1:3])  # black above and below
    np.testing.assert_array_equal(over_picture(patches, 2, 4, bar=1.0), patches.reshape(4, 4)[2:])
    np.testing.assert_array_equal(over_picture(patches, 4, 2, bar=0.0), patches.reshape(4, 4)[:, :2])


def test_without_rerun_its_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rerun", None)
    with pytest.raises(SteeringError, match="pip install 'rerun-sdk"):
        pipeline.export_rrd(Store(tmp_path), demonstrations_id="none", path=tmp_path / "one.rrd")
