"""What is read of a checkpoint before its weights, and what is said of broken ones."""

from __future__ import annotations

import json
import shutil
import struct
from types import SimpleNamespace

import pytest
from safetensors import safe_open

from steering.errors import InputError, NotFound
from steering.models.checkpoint import MAX_HEADER_BYTES, open_checkpoint, read_header
from steering.models.loading import load_policy
from steering.progress import Progress


@pytest.fixture
def copied(policy_folder, tmp_path):
    return shutil.copytree(policy_folder, tmp_path / "copy")


def test_headers_are_those_of_safetensors(policy_folder):
    path = policy_folder / "model.safetensors"
    headers = read_header(path)
    with safe_open(path, "numpy") as file:
        assert headers.keys() == set(file.keys())
        for name, header in headers.items():
            assert list(header.shape) == file.get_slice(name).get_shape()
            assert header.bytes == file.get_tensor(name).nbytes
    checkpoint = open_checkpoint(policy_folder)
    assert checkpoint.family == "pi0" and checkpoint.elements == sum(h.elements for h in headers.values())


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_cut_off_file_is_refused(copied, keep):
    path = copied / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="cut off or damaged"):
        load_policy(copied)


@pytest.mark.parametrize("header", [b"[1, 2]", b"\xff{}", b'{"a": 3}', b'{"a": {"dtype": "F32", "shape": [1]}}'])
def test_a_damaged_header_is_refused(tmp_path, header):
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(InputError, match="cut off or damaged"):
        read_header(path)


def test_an_enormous_header_is_not_read(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", MAX_HEADER_BYTES + 1) + b"{}")
    with pytest.raises(InputError, match="cut off or damaged"):
        read_header(path)


def test_missing_files_are_named(copied):
    index = {"weight_map": {"a": "model-00001.safetensors", "b": "model-00002.safetensors"}}
    (copied / "model.safetensors").unlink()
    with pytest.raises(NotFound, match="model.safetensors missing"):
        open_checkpoint(copied)
    (copied / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(NotFound, match="model-00001.safetensors, model-00002.safetensors missing"):
        open_checkpoint(copied)
    (copied / "config.json").write_text("{")
    with pytest.raises(InputError, match="Expected JSON"):
        open_checkpoint(copied)
    (copied / "config.json").unlink()
    with pytest.raises(NotFound, match="no config.json"):
        open_checkpoint(copied)


def test_a_training_output_names_the_inner_folder(copied, tmp_path):
    outer = tmp_path / "last"
    shutil.copytree(copied, outer / "pretrained_model")
    with pytest.raises(NotFound, match="give that folder"):
        open_checkpoint(outer)
    assert open_checkpoint(outer / "pretrained_model").family == "pi0"


def test_a_missing_and_a_misshapen_parameter_are_named(copied):
    config = json.loads((copied / "config.json").read_text())
    config["vlm_config"]["text_config"]["num_hidden_layers"] = config["dit_config"]["num_hidden_layers"] = 4
    (copied / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="are missing, such as model.dit.layers.3"):
        load_policy(copied)
    config["vlm_config"]["text_config"]["num_hidden_layers"] = config["dit_config"]["num_hidden_layers"] = 3
    config["max_action_dim"] = 9
    (copied / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="of shape .*9.*as config.json says"):
        load_policy(copied)


def test_a_hub_id_loads_from_the_local_cache(policy_folder, monkeypatch, tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--someone--small"
    shutil.copytree(policy_folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert load_policy("someone/small").name == "small"
    with pytest.raises(NotFound, match="only downloaded ones load"):
        load_policy("someone/other")


def test_loading_reports_its_progress(policy_folder):
    reports = []
    load_policy(policy_folder, None, None, Progress(reports.append))
    fractions = [report.fraction for report in reports]
    assert fractions[0] == 0 and fractions[-1] == 1 and fractions == sorted(fractions) and 10 < len(fractions) < 110
    assert "parameters in float32 on cpu" in reports[0].message and "Loading tiny" in reports[-1].message


def test_weights_that_are_not_here_are_fetched_after_the_memory_is_checked(policy_folder, monkeypatch, tmp_path):
    """A hub whose small files come first: headers from afar, then memory and disk, then the weights."""
    here = tmp_path / "snapshot"
    here.mkdir()
    order = []

    def snapshot(source, *, allow_patterns, **_):
        for path in policy_folder.iterdir():
            if any(path.match(pattern) for pattern in allow_patterns):
                shutil.copy(path, here)
        order.append("weights" if allow_patterns == ["model.safetensors"] else "small files")
        return str(here)

    def metadata(source, token):
        order.append("headers")
        headers = read_header(policy_folder / "model.safetensors")
        return SimpleNamespace(files_metadata={"model.safetensors": SimpleNamespace(tensors=headers)})

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    monkeypatch.setattr("steering.models.checkpoint.get_safetensors_metadata", metadata)
    monkeypatch.setattr("steering.models.memory.free_bytes", lambda device: 1000)
    with pytest.raises(InputError, match="free memory"):
        load_policy("someone/small")
    assert order == ["small files", "headers"]
    monkeypatch.undo()
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    monkeypatch.setattr("steering.models.checkpoint.get_safetensors_metadata", metadata)
    with monkeypatch.context() as full:
        full.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
        with pytest.raises(InputError, match="free disk.*HF_HOME"):
            load_policy("someone/small")
    reports = []
    load_policy("someone/small", None, None, Progress(reports.append))
    assert order[-1] == "weights" and any("Downloading model.safetensors" in report.message for report in reports)
    fractions = [report.fraction for report in reports]
    assert fractions == sorted(fractions) and fractions[-1] == 1
