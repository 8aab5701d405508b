"""From the command line and the pipeline: inspect with its exit codes, import into the store, export again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from steering import pipeline
from steering.cli import main as cli
from steering.errors import InputError
from steering.pipeline import RUNNABLE
from steering.store import Store
from steering.types import Demonstrations

pytestmark = pytest.mark.usefixtures("read_here")


def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object
) -> tuple[int, str, dict]:
    """A command's exit code, what it printed, and the JSON of its last line."""
    monkeypatch.setattr(sys, "argv", ["steering", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    printed = capsys.readouterr().out
    return int(end.value.code or 0), printed, json.loads(printed.splitlines()[-1])


def test_inspect_says_what_is_there_and_exits_by_it(
    files: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    common = ("--store", tmp_path / "store")
    sound = files.lerobot_v3(tmp_path / "sound", files.episodes(6))
    out = tmp_path / "report.json"
    code, printed, summary = command(capsys, monkeypatch, "inspect", sound, "--json", out, *common)
    assert (code, summary["usable"], summary["episodes"], summary["rate_hz"]) == (0, "yes", 6, 20.0)
    for words in ("LeRobotDataset v3.0", "camera    exterior, 32 x 24 px", "-> state", "no problems found"):
        assert words in printed
    document = json.loads(out.read_text())
    assert document["frames"] == sum(len(one.state) for one in files.episodes(6)) and document["problems"] == []
    few = files.libero(tmp_path / "few.hdf5", files.episodes(3))
    code, _, summary = command(capsys, monkeypatch, "inspect", few, *common)
    assert (code, summary["problems"]) == (1, ["few_episodes"])
    (tmp_path / "broken.hdf5").write_bytes(few.read_bytes()[:1000])
    code, printed, summary = command(capsys, monkeypatch, "inspect", tmp_path / "broken.hdf5", "--json", out, *common)
    assert (code, summary["problems"]) == (2, ["unreadable"]) and "cannot be read as HDF5" in printed
    assert json.loads(out.read_text())["usable"] == "no"


def test_a_mapping_is_written_corrected_given_back_and_remembered(
    files: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    common = ("--store", tmp_path / "store")
    path = files.npz(tmp_path / "set.npz")
    command(capsys, monkeypatch, "inspect", path, "--mapping-out", tmp_path / "m.json", *common)
    mapping = json.loads((tmp_path / "m.json").read_text())
    mapping["cameras"]["exterior"]["feature"], mapping["cameras"]["wrist"]["feature"] = "image.wrist", "image.exterior"
    (tmp_path / "m.json").write_text(json.dumps(mapping | {"instruction": "swap"}))
    _, _, made = command(capsys, monkeypatch, "import", path, "--mapping", tmp_path / "m.json", *common)
    store = Store(tmp_path / "store")
    first = store.load(made["artefact"]).episodes[0]
    assert first.instruction == "swap"
    np.testing.assert_array_equal(first.cameras["wrist"], files.episodes()[0].cameras["exterior"])
    beside = json.loads((store.folder(made["artefact"]) / "mapping.json").read_text())
    assert beside["cameras"]["wrist"]["feature"] == "image.exterior"
    again = pipeline.import_demonstrations(store, path=files.npz(tmp_path / "other.npz", files.episodes(2, seed=5)))
    second = store.load(again).episodes[1]
    assert second.instruction == files.INSTRUCTION, "an instruction is of one import only"
    np.testing.assert_array_equal(second.cameras["wrist"], files.episodes(2, seed=5)[1].cameras["exterior"])
    report = pipeline.inspect_demonstrations(path, memory=pipeline.mappings(store))
    assert report["reasons"][0] == "As you mapped a dataset of the same layout before."


def test_import_keeps_the_episodes_asked_for_at_the_size_asked_for(files: ModuleType, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    path = files.zipped(files.lerobot_v2(tmp_path / "set"), tmp_path / "set.zip")
    options = {"path": path, "episodes": [2, 0], "image_px": 16}
    made = RUNNABLE["import_demonstrations"](store, **options)
    found = store.load(made)
    assert isinstance(found, Demonstrations) and (found.name, found.task) == ("set", "")
    assert [episode.name for episode in found.episodes] == ["episode_000002", "episode_000000"]
    assert found.episodes[0].cameras["wrist"].shape == (32, 12, 16, 3)
    np.testing.assert_array_equal(found.episodes[1].action, files.episodes()[0].action)
    assert str(tmp_path) not in json.dumps(dict(store.manifest(made).params)), "no path of the machine is kept"
    assert pipeline.import_demonstrations(store, **options) == made, "the same import is the same artefact"
    with pytest.raises(InputError, match="has the episodes 0 to 2; there is no 7"):
        pipeline.import_demonstrations(store, path=path, episodes=[7])


def test_pictures_can_be_looked_at_before(files: ModuleType, tmp_path: Path) -> None:
    path = files.libero(tmp_path / "set.hdf5")
    shown = pipeline.preview_demonstrations(path, episode=1, frames=[0, 5], image_px=64)
    np.testing.assert_array_equal(shown["exterior"], files.episodes()[1].cameras["exterior"][[0, 5]])
    turned = {"cameras": {"exterior": {"feature": "agentview_rgb"}}}
    shown = pipeline.preview_demonstrations(path, mapping=turned, episode=1)
    assert list(shown) == ["exterior"]
    upside_down = files.episodes()[1].cameras["exterior"][:1, ::-1, ::-1]
    np.testing.assert_array_equal(shown["exterior"], upside_down)


def test_export_and_import_give_the_same_demonstrations(
    files: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    made = pipeline.import_demonstrations(store, path=files.authors(tmp_path / "theirs"))
    common = ("--store", tmp_path / "store")
    code, _, written = command(capsys, monkeypatch, "export", made, tmp_path / "out", "--lossless", *common)
    assert (code, written["format"]) == (0, "LeRobotDataset v3.0")
    again = store.load(pipeline.import_demonstrations(store, path=tmp_path / "out"))
    assert again.fingerprint() == store.load(made).fingerprint()


def test_a_policy_s_statistics_are_read_without_its_weights(files: ModuleType, tmp_path: Path) -> None:
    path = files.npz(tmp_path / "set.npz", files.episodes(6))
    folder = tmp_path / "policy"
    folder.mkdir()
    numbers = {"state_mean": [0.0] * 8, "state_std": [1e-3] * 8, "actions_mean": [0.0] * 7, "actions_std": [1.0] * 7}
    (folder / "config.json").write_text(json.dumps({"model_type": "pi0"}))
    (folder / "processor_config.json").write_text(json.dumps(numbers))
    (folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    report = pipeline.inspect_demonstrations(path, policy=str(folder))
    assert [problem["kind"] for problem in report["problems"]] == ["normalisation"]
    assert "The state dimensions 0, 1, 2, 3, 4, 5, 6, 7 lie far" in report["problems"][0]["words"]
