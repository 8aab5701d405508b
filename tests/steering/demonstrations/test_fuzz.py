"""Valid files, mutated: every one ends as a valid dataset or as one sentence, in bounded time, writing nothing.

`STEERING_FUZZ=500 pytest tests/steering/demonstrations/test_fuzz.py -s` tries 500 a format and prints the counts.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
PER_FORMAT = int(os.environ.get("STEERING_FUZZ", "12"))
LIMIT_S = 120.0
KINDS = ("lerobot_v3", "lerobot_v2", "libero", "robomimic", "authors", "droid", "npz", "zip")
SINGLE = ("libero", "robomimic", "authors", "npz", "zip")


class Reader:
    """The reading process; started again after a crash."""

    def __init__(self, scratch: Path) -> None:
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(scratch), "OMP_NUM_THREADS": "1"}
        self._start()

    def _start(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("fuzz_reader.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=self._environment,
        )

    def read(self, path: Path) -> dict:
        """How the reading of `path` ended; `crashed` and `timed out` besides what the child says."""
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.write(f"{path}\n")
        self._child.stdin.flush()
        ready, _, _ = select.select([self._child.stdout], [], [], LIMIT_S)
        line = self._child.stdout.readline() if ready else ""
        if line:
            found: dict = json.loads(line)
            return found
        self.close()
        self._start()
        return {"outcome": "crashed" if ready else "timed out", "words": "", "seconds": LIMIT_S}

    def close(self) -> None:
        self._child.kill()
        self._child.wait()
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.close()
        self._child.stdout.close()


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """One mutation: flipped bytes anywhere, in the head or in the tail, a cut, a gap, a repeat, or another number."""
    changed = bytearray(data)
    size = len(changed)
    if not size:
        return b"\x00"
    how = rng.integers(0, 8)
    if how in (0, 1, 2):
        start, end = ((0, size), (0, min(size, 512)), (max(0, size - 512), size))[how]
        for place in rng.integers(start, end, rng.integers(1, 9)):
            changed[place] = rng.integers(0, 256)
    elif how == 3:
        del changed[rng.integers(0, size) :]
    elif how == 4:
        start = int(rng.integers(0, size))
        changed[start : start + 64] = bytes(len(changed[start : start + 64]))
    elif how == 5:
        start = int(rng.integers(0, size))
        changed[start:start] = changed[start : start + int(rng.integers(1, 200))]
    elif how == 6:
        start = int(rng.integers(0, size))
        del changed[start : start + int(rng.integers(1, 64))]
    else:
        places = list(re.finditer(rb"\d+", bytes(changed)))
        if places:
            place = places[rng.integers(0, len(places))]
            new = (b"-1", b"0", b"999999999999", b"1e400", b"null", b'"x"')[rng.integers(0, 6)]
            changed[place.start() : place.end()] = new
    return bytes(changed)


@pytest.fixture(scope="module")
def valid(files: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small valid dataset of every kind."""
    place = tmp_path_factory.mktemp("valid")
    truth = files.episodes(2, frames=8)
    made = {}
    for kind in KINDS[:-1]:
        made[kind] = getattr(files, kind)(place / f"{kind}.npz" if kind == "npz" else place / kind, truth)
    made["zip"] = files.zipped(made["lerobot_v2"], place / "set.zip")
    return made


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the reader's temporary files lie."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def reader(scratch: Path) -> Iterator[Reader]:
    made = Reader(scratch)
    yield made
    made.close()


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_files_end_as_a_dataset_or_a_sentence(
    kind: str, valid: dict[str, Path], tmp_path: Path, reader: Reader, scratch: Path
) -> None:
    rng = np.random.default_rng([KINDS.index(kind), 1])
    place = tmp_path / "set"
    counts: Counter[str] = Counter()
    slowest, wrong = 0.0, []
    assert reader.read(valid[kind])["outcome"] == "valid", "unchanged it is read"
    for number in range(PER_FORMAT):
        if kind in SINGLE:
            place.write_bytes(mutate(valid[kind].read_bytes(), rng))
        else:
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(valid[kind], place)
            chosen = sorted(path for path in place.rglob("*") if path.is_file())
            for path in rng.choice(np.array(chosen, object), rng.integers(1, 3)):
                path.write_bytes(mutate(path.read_bytes(), rng))
        began_s = time.monotonic()
        ended = reader.read(place)
        slowest = max(slowest, time.monotonic() - began_s)
        counts[ended["outcome"]] += 1
        if ended["outcome"] not in ("valid", "refused"):
            wrong.append(f"{number}: {ended['outcome']} {ended['words'][:300]}")
        if ended["outcome"] == "refused":
            assert len(ended["words"]) < 1500 and "\n" not in ended["words"].strip(), ended["words"]
    print(f"\n{kind}: {dict(counts)}, slowest {slowest:.2f} s")
    assert not wrong, wrong[:10]
    assert sum(counts.values()) == PER_FORMAT and counts["refused"] > 0
    assert not list(scratch.iterdir()), "nothing is left of what was unpacked"
    assert {path.name for path in tmp_path.iterdir()} == {"set"}, "nothing was written beside it"
