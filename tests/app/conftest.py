"""A synthetic sample store, made once, and a workbench over it whose jobs only remember what was asked."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from app.service import Workbench
from steering.store import Store

HERE = Path(__file__).parent


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class RecordingJobs:
    """Stands in for the queue: remembers submissions."""

    def __init__(self) -> None:
        self.submitted: list[tuple[str, dict[str, Any]]] = []

    def submit(self, function_name: str, *, owner: str = "local", **arguments: Any) -> str:
        self.submitted.append((function_name, arguments))
        return f"job{len(self.submitted)}"

    def warm(self) -> None:
        """There is no worker to start."""


@pytest.fixture(scope="session")
def sample_store() -> ModuleType:
    return load(HERE / "sample_store.py")


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory, sample_store: ModuleType) -> tuple[Path, dict[str, str]]:
    root = tmp_path_factory.mktemp("samples")
    return root, sample_store.fill(root, episodes=3, count=14, size=48)


CONFIG = """{"vlm_config": {"text_config": {"num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 1,
"head_dim": 32, "hidden_size": 128, "intermediate_size": 256}}, "dit_config": {"num_hidden_layers": 8,
"num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 32, "hidden_size": 128, "intermediate_size": 256}}"""


@pytest.fixture
def make_bench(tmp_path: Path, samples: tuple[Path, dict[str, str]]) -> Callable[[bool], Workbench]:
    def make(with_samples: bool = True) -> Workbench:
        (tmp_path / "policy").mkdir()
        (tmp_path / "policy" / "config.json").write_text(CONFIG)
        store = Store(tmp_path / "store", readonly=[samples[0]] if with_samples else [])
        return Workbench(store, RecordingJobs(), str(tmp_path / "policy"))  # type: ignore[arg-type]

    return make


@pytest.fixture
def bench(make_bench: Callable[[bool], Workbench]) -> Workbench:
    return make_bench(True)


@pytest.fixture(scope="session")
def dataset_files() -> ModuleType:
    """Builders of small datasets in every format."""
    path = HERE.parent / "steering" / "demonstrations" / "dataset_files.py"
    spec = importlib.util.spec_from_file_location("dataset_files", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["dataset_files"] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module
