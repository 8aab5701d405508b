"""The builders of `dataset_files.py`, for all tests of this folder."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def load_builders() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dataset_files", Path(__file__).with_name("dataset_files.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["dataset_files"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def files() -> ModuleType:
    """Builders of small datasets in every format."""
    return load_builders()
