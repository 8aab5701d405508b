"""A hub name that somebody else chose never becomes a path and goes out without a token, wherever one is taken."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from steering import hub, policy_cache
from steering.demonstrations.readers.registry import open_dataset
from steering.errors import InputError, NotFound, SteeringError
from steering.models.checkpoint import open_checkpoint
from steering.models.lerobot_layout import tokenizer
from steering.models.pi0_checkpoint import load_tokenizer
from steering.pipeline.importing import activation_tasks
from steering.pipeline.uploads import source_of
from steering.public import SWITCH, is_public

Asked = list[tuple[str, str, dict[str, Any]]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Asked:
    """What the hub's functions are asked for, in a working folder that holds `private/lab`; the hub has nothing."""
    seen: Asked = []

    def function(name: str) -> Any:
        def called(repository: str = "", *arguments: Any, **options: Any) -> Any:
            seen.append((name, repository, options))
            raise LocalEntryNotFoundError("nothing here")

        return called

    class Api:
        def __init__(self, token: Any = None) -> None:
            self.dataset_info = lambda name, **_: function("dataset_info")(name, token=token)

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    monkeypatch.setattr("huggingface_hub.snapshot_download", function("snapshot_download"))
    monkeypatch.setattr("steering.models.checkpoint.get_safetensors_metadata", function("metadata"))
    monkeypatch.chdir(tmp_path)
    return seen


def private(policy: Path, tmp_path: Path) -> None:
    """A policy and a dataset of the operator's, where a hub name would lead as a path."""
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "lab").symlink_to(policy)
    (tmp_path / "private" / "lab.npz").write_bytes(b"PK\x03\x04")


def test_a_marked_name_is_no_path(policy_folder: Path, tmp_path: Path, asked: Asked) -> None:
    private(policy_folder, tmp_path)
    assert open_checkpoint("private/lab").config, "the command line's own names may be folders"
    for opens in (open_checkpoint, open_dataset, load_tokenizer):
        asked.clear()
        with pytest.raises(SteeringError):
            opens("hub:private/lab")
        with pytest.raises(SteeringError):
            opens("hub:private/lab.npz")
        assert {name for _, name, _ in asked} == {"private/lab", "private/lab.npz"}
        assert all(options["token"] is False for _, _, options in asked), asked
    assert activation_tasks("hub:private/lab.npz") == []
    assert policy_cache.fingerprint("hub:private/lab") == "hub:private/lab"
    assert policy_cache.fingerprint("private/lab") != "private/lab"


def test_what_a_visitor_typed_stays_marked(tmp_path: Path) -> None:
    (tmp_path / "hub.json").write_text(json.dumps({"id": "private/lab.npz"}))
    assert source_of(tmp_path) == "hub:private/lab.npz"


def test_a_tokenizer_that_a_checkpoint_names_is_no_path(policy_folder: Path, tmp_path: Path, asked: Asked) -> None:
    private(policy_folder, tmp_path)
    folder = tmp_path / "theirs"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).symlink_to(policy_folder / name)
    for wish in ("private/lab", str(policy_folder), "../private/lab", ["private/lab"]):
        step = {"registry_name": "tokenizer_processor", "config": {"tokenizer_name": wish}}
        (folder / "policy_preprocessor.json").write_text(json.dumps({"steps": [step]}))
        with pytest.raises(NotFound):
            load_tokenizer(tokenizer(open_checkpoint(folder), "google/paligemma-3b-pt-224")[0])
    assert {name for _, name, _ in asked} == {"private/lab"}
    assert hub.beside("hub:a/b", "c/d").access["token"] is False, "a visitor's checkpoint asks as the visitor"
    assert hub.beside("a/b", "c/d").access["token"] is None


def test_an_index_names_files_of_its_own_folder_only(policy_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "config.json").symlink_to(policy_folder / "config.json")
    for wish in (str(policy_folder / "model.safetensors"), "../policy/model.safetensors", ".."):
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": wish}}))
        with pytest.raises(InputError, match="is refused"):
            open_checkpoint(folder)


def test_a_public_server_keeps_visitors_downloads_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    visitor, own = hub.Repository("a/b"), hub.Repository("a/b", chosen_here=True)
    monkeypatch.delenv(SWITCH, raising=False)
    assert not is_public() and visitor.access == {"token": False, "cache_dir": None}
    monkeypatch.setenv(SWITCH, "0")
    assert not is_public()
    monkeypatch.setenv(SWITCH, "1")
    assert visitor.access["cache_dir"] is not None and own.access == {"token": None, "cache_dir": None}


@pytest.mark.parametrize(
    "wrong", ["", "x", "a/b/c", "../x", "a/..", "/etc/passwd", "hub:", 3, ["a/b"], "a/" + "b" * 400]
)
def test_what_is_no_name_is_refused(wrong: object) -> None:
    with pytest.raises(InputError, match="an owner, a slash and a name"):
        hub.marked(wrong)


def test_a_push_goes_out_with_the_token_of_that_call_and_says_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[tuple[str, Any]] = []

    class Api:
        def __init__(self, token: object) -> None:
            seen.append(("token", token))
            self.token = token

        def create_repo(self, repository: str, *, private: bool, exist_ok: bool) -> str:
            if repository == "me/refused":
                raise OSError(f"401 for {self.token}\nmore")
            if repository == "me/away":
                raise RuntimeError("no route")
            seen.append((repository, private))
            return f"https://hub/{repository}"

        def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> None:
            seen.append((repo_id, sorted(path.name for path in Path(folder_path).iterdir())))

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    (tmp_path / "README.md").touch()
    assert hub.push(tmp_path, "me/policy", token="hf_secret") == "https://hub/me/policy"
    assert seen == [("token", "hf_secret"), ("me/policy", True), ("me/policy", ["README.md"])]
    hub.push(tmp_path, "me/policy", public=True)
    assert seen[3:5] == [("token", True), ("me/policy", False)]
    with pytest.raises(InputError) as refused:
        hub.push(tmp_path, "me/refused", token="hf_secret")
    assert "401 for …" in str(refused.value) and "may write" in str(refused.value)
    assert refused.value.__cause__ is None and refused.value.__suppress_context__ and "hf_secret" not in caplog.text
    with pytest.raises(InputError, match="no route"):
        hub.push(tmp_path, "me/away")
    for wrong in ("two words", "ünïcode", "x" * 201, "a\nb"):
        with pytest.raises(InputError, match="Expected a token"):
            hub.push(tmp_path, "me/policy", token=wrong)


ASKS = {"snapshot_download", "hf_hub_download", "get_safetensors_metadata", "HfApi", "from_pretrained", "load_dataset"}
HERE = Path(__file__).resolve().parents[2]


def test_whatever_asks_the_hub_says_with_whose_token() -> None:
    """Called without one, these functions take the operator's."""
    silent = []
    for file in [*(HERE / "steering").rglob("*.py"), *(HERE / "app").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            said = {keyword.arg for keyword in node.keywords}  # None: **access
            if name in ASKS and not said & {"token", "local_files_only", None}:
                silent.append(f"{file.relative_to(HERE)}: {ast.unparse(node)[:80]}")
    assert silent == []
