"""A process that is killed, or a disk that fills, at any write of a stage: nothing is lost, and work goes on alike."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from steering.disk import disk_words
from steering.jobs import worker
from steering.jobs.queue import MAIN, Queue
from steering.manifest import MANIFEST
from steering.store import Store
from steering.types import CAMERAS, Demonstrations, Episode

from . import every_kind, faults

HERE = Path(__file__).parent


def demonstrations() -> Demonstrations:
    rng, made = np.random.default_rng(5), []
    for i in range(4):
        cameras = {name: rng.integers(0, 256, (8, 32, 32, 3), dtype=np.uint8) for name in CAMERAS}
        state, action = rng.normal(size=(8, 8)).astype(np.float32), rng.uniform(-1, 1, (8, 7)).astype(np.float32)
        made.append(Episode(f"{i}", "press the button", 20.0, cameras, state, action))
    return Demonstrations("noise", "press_button", (), tuple(made))


def in_fork(work: Callable[[], object]) -> tuple[int | None, object]:
    """Exit status and answer of work in a fork; the answer None where it did not come so far."""
    context = multiprocessing.get_context("fork")
    reader, writer = context.Pipe(duplex=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork among threads
        process = context.Process(target=lambda: writer.send(work()))
        process.start()
    writer.close()
    try:
        answer = reader.recv()
    except EOFError:
        answer = None
    reader.close()
    process.join()
    code = process.exitcode
    process.close()
    return code, answer


def in_process(root: Path, stage: str, kind: str, at: int) -> tuple[int | None, object]:
    """The same in a process of its own, for what loads torch."""
    command = [sys.executable, str(HERE / "faults.py"), str(root), stage, kind, str(at)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    if ran.returncode == -signal.SIGKILL:
        return ran.returncode, None
    assert ran.returncode == 0, ran.stderr
    count, _, made = ran.stdout.splitlines()[-1].partition(" ")
    return ran.returncode, (int(count), made)


MEASURED = re.compile(rb'"(train_s|wall_s|peak_memory_mb)": *[0-9.e-]+|(?<=adapter-|ollouts-)[0-9a-f]{16}')
"""How long work took and what memory, which are other numbers each time; and what has them in its id."""


def content(root: Path) -> dict[str, object]:
    """Every file of every artefact without what was MEASURED, by the key of its work; of manifests what was asked for.
    A comparison's key has the ids of its rollouts in it, and there is one.
    """
    found: dict[str, object] = {}
    for folder in sorted((root / "artefacts").iterdir()):
        manifest = json.loads((folder / MANIFEST).read_text())
        name = manifest["kind"] if manifest["kind"] == "comparison" else f"{manifest['kind']} {manifest['key']}"
        found[name] = MEASURED.sub(b"", json.dumps(manifest["params"]).encode())
        for path in sorted(one for one in folder.rglob("*") if one.is_file() and one.name != MANIFEST):
            found[f"{name}/{path.relative_to(folder).as_posix()}"] = MEASURED.sub(b"", path.read_bytes())
    return found


def check_whole(root: Path, before: dict[str, object]) -> None:
    """What was there before is as it was, and nothing is damaged."""
    store = Store(root)
    assert before.items() <= content(root).items() and not store.damaged()
    for artefact_id in store.ids():
        store.check(artefact_id)


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the head outputs of some noise."""
    root = tmp_path_factory.mktemp("captured")
    store = Store(root)
    parent = store.save("demonstrations", demonstrations())
    rng, one = np.random.default_rng(0), every_kind.activations()
    rows = {name: array for name, array in vars(one).items() if isinstance(array, np.ndarray)}
    made = {name: rng.normal(size=(32, *array.shape[1:])).astype(array.dtype) for name, array in rows.items()}
    made |= {"episode": np.repeat(np.arange(4), 8).astype(np.int32), "frame": np.tile(np.arange(8), 4).astype(np.int32)}
    value = replace(one, **{name: made[name] for name in rows if len(rows[name]) == every_kind.FRAMES})
    store.save("activations", value, parents=[parent])
    return root


@pytest.fixture
def copy(captured: Path, tmp_path: Path) -> Iterator[Callable[[], Path]]:
    made = 0

    def again() -> Path:
        nonlocal made
        made += 1
        return Path(shutil.copytree(captured, tmp_path / str(made)))

    yield again


def test_scoring_killed_at_any_write_goes_on_to_the_same_bytes(copy: Callable[[], Path]) -> None:
    undisturbed = copy()
    before = content(undisturbed)
    _, answer = in_fork(lambda: faults.run(undisturbed, "score", "kill", faults.NEVER))
    assert isinstance(answer, tuple)
    writes, made = answer
    whole = content(undisturbed)
    assert writes > 5 and made.startswith("relevance-")
    for at in range(writes):
        root = copy()
        code, _ = in_fork(lambda root=root, at=at: faults.run(root, "score", "kill", at))  # type: ignore[misc]
        assert code == -signal.SIGKILL
        check_whole(root, before)
        assert faults.score(Store(root)) == made and content(root) == whole, f"killed at write {at}"


def test_a_disk_that_fills_at_any_write_costs_that_job_alone(copy: Callable[[], Path]) -> None:
    undisturbed = copy()
    before, made = content(undisturbed), faults.score(Store(undisturbed))
    whole = content(undisturbed)
    counted = copy()
    _, answer = in_fork(lambda: faults.run(counted, "score", "full", faults.NEVER))
    assert isinstance(answer, tuple)
    for at in range(answer[0]):
        root = copy()
        queue = Queue(root)
        activations = Store(root).find("activations")[0].id
        queue.add("score", {"activations_id": activations}, owner="a" * 16, resumable=False)
        job = queue.claim(MAIN)
        assert job is not None

        def fill(root: Path = root, at: int = at, queue: Queue = queue, job: object = job) -> None:
            faults.watch(root, "full", at)
            worker.run_job(Store(root), queue, job, worker.Until(float("inf")))  # type: ignore[arg-type]

        assert in_fork(fill)[0] == 0, "the worker lives on"
        status = queue.status(job.id)
        if status.state == "failed":
            assert str(status.error).startswith("The disk is full") and "Delete what you no longer need" in status.error
        check_whole(root, before)
        assert faults.score(Store(root)) == made and content(root) == whole, f"full at write {at}"


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["record", "capture", "find_heads", "finetune", "evaluate"])
def test_any_stage_killed_goes_on_to_the_same_bytes(tmp_path: Path, stage: str) -> None:
    """Half a minute a process: each is killed in its middle and at its last write, where it comes so far: how many
    checkpoints a finetune leaves goes by the clock.
    """
    roots = [tmp_path / name for name in ("undisturbed", "middle", "end")]
    for root in roots:
        Store(root).save("demonstrations", demonstrations())
    before = content(roots[0])
    _, answer = in_process(roots[0], stage, "kill", faults.NEVER)
    assert isinstance(answer, tuple)
    writes, made = answer
    codes = []
    for root, at in zip(roots[1:], (writes // 2, writes - 1), strict=True):
        codes.append(in_process(root, stage, "kill", at)[0])
        check_whole(root, before)
        again = in_process(root, stage, "kill", faults.NEVER)[1]
        assert isinstance(again, tuple) and again[1].partition("-")[0] == made.partition("-")[0]
        ours, theirs = content(root), content(roots[0])
        assert ours.keys() == theirs.keys()
        assert not [name for name in theirs if ours[name] != theirs[name]]
    assert -signal.SIGKILL in codes and {*codes} <= {0, -signal.SIGKILL}


@pytest.mark.slow
def test_a_small_disk_that_is_full(tmp_path: Path, captured: Path) -> None:
    """A real one, of 3 MB, mounted in a namespace of its own where that is allowed."""
    script = f"""
set -e
mount -t tmpfs -o size=3m none {tmp_path}
cp -r {captured} {tmp_path}/store
dd if=/dev/zero of={tmp_path}/rest bs=1024 2>/dev/null || true
{sys.executable} {HERE / "faults.py"} {tmp_path}/store score none 0
rm {tmp_path}/rest
{sys.executable} {HERE / "faults.py"} {tmp_path}/store score none 0
"""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    except FileNotFoundError:
        pytest.skip("no unshare here; it is part of util-linux")
    if "unshare" in ran.stderr or "mount:" in ran.stderr:
        pytest.skip("no namespaces for an ordinary user here, as in some containers")
    assert ran.returncode == 0, ran.stderr
    full, after = ran.stdout.splitlines()
    assert (
        "No space left" in full
        and disk_words(OSError(28, "No space left"))
        and after.split()[1].startswith("relevance-")
    )
