"""A run killed by SIGKILL goes on to the same bytes; several processes give the numbers of one."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from steering.finetune.training import finetune
from steering.types import FinetuneSettings, Head, Selection

SELECTION = Selection((Head("vlm", 0, 1), Head("expert", 1, 2)), "hand")
SETTINGS = FinetuneSettings(
    steps=7, batch_size=5, rank=2, alpha=4.0, learning_rate=1e-2, warmup_steps=2, precision="float32", keep_best=True
)
PROGRAM = """
import os, pickle, signal, sys
from pathlib import Path
from steering.finetune import training
from steering.models.loading import load_policy
from steering.progress import Progress

arguments, folder, die_at = pickle.loads(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2]), int(sys.argv[3])
training.CHECKPOINT_S, training.CHECKPOINT_SHARE = 0.0, 1e9

def sink(report):
    if report.metrics.get("step") == die_at:
        os.kill(os.getpid(), signal.SIGKILL)

policy, *others = arguments
training.finetune(load_policy(policy), *others, folder, progress=Progress(sink))
"""


def _start(tmp_path: Path, folder: Path, arguments: object, die_at: int, **environment: str) -> subprocess.Popen[str]:
    given = tmp_path / "arguments.pickle"
    given.write_bytes(pickle.dumps(arguments))
    command = [sys.executable, "-c", PROGRAM, str(given), str(folder), str(die_at)]
    root = Path(__file__).parents[3]
    return subprocess.Popen(command, cwd=root, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bytes(policy, policy_folder, demonstrations, tmp_path):
    whole = finetune(policy, demonstrations, "steering", SETTINGS, SELECTION, tmp_path / "whole")
    folder = tmp_path / "killed"
    process = _start(tmp_path, folder, (policy_folder, demonstrations, "steering", SETTINGS, SELECTION), 4)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, errors
    assert [path.name for path in folder.iterdir()] == ["checkpoint.pt"]
    (folder / "checkpoint.pt.partial").write_bytes(b"cut off while it was written")
    resumed = finetune(policy, demonstrations, "steering", SETTINGS, SELECTION, folder)
    name = "adapter_model.safetensors"
    assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    np.testing.assert_array_equal(resumed.loss, whole.loss)
    np.testing.assert_array_equal(resumed.heldout_error, whole.heldout_error)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_two_processes_train_the_adapter_of_one(policy, policy_folder, demonstrations, tmp_path):
    finetune(policy, demonstrations, "steering", SETTINGS, SELECTION, tmp_path / "one")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    arguments = (policy_folder, demonstrations, "steering", SETTINGS, SELECTION)
    launched = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    launched |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    processes = [
        _start(tmp_path, tmp_path / "two", arguments, -1, **launched, RANK=str(rank), LOCAL_RANK=str(rank))
        for rank in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    one, two = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "two"))
    assert set(one) == set(two)
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-3, atol=1e-5)
