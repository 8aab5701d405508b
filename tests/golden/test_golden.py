"""Numbers move only with the version of their room: raise its RESULTS, then make the golden values again."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from steering import stages

MAKE = Path(__file__).with_name("make.py")


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_make", MAKE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = _script()


def test_every_room_has_golden_values() -> None:
    assert set(make.ROOMS) == set(stages.ROOMS)


@pytest.mark.parametrize("name", sorted(make.ROOMS))
def test_numbers_move_only_with_the_version(name: str) -> None:
    kept = json.loads(make.GOLDEN.read_text(encoding="utf-8"))[name]
    assert kept["version"] == stages.ROOMS[name].RESULTS, "run PYTHONPATH=. python tests/golden/make.py"
    assert not make.moved(name, make.ROOMS[name]()), f"raise RESULTS in steering/{name}/__init__.py"


def test_the_script_refuses_numbers_that_moved_under_the_same_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = tmp_path / "golden.json"
    monkeypatch.setattr(make, "GOLDEN", golden)
    monkeypatch.setattr(make, "ROOMS", {"relevance": lambda: [1.0]})
    assert make.main() == 0
    monkeypatch.setattr(make, "ROOMS", {"relevance": lambda: [1.5]})
    assert make.main() == 1 and json.loads(golden.read_text())["relevance"]["values"] == [1.0]
    monkeypatch.setattr(stages.ROOMS["relevance"], "RESULTS", stages.ROOMS["relevance"].RESULTS + 1)
    assert make.main() == 0 and json.loads(golden.read_text())["relevance"]["values"] == [1.5]
