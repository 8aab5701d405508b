"""What a machine has and lacks for the workbench, each as one line that names what to do. Takes a few seconds.

`examine` looks at Python and torch, memory, disk, the index of jobs, the renderer, GPUs, the policy and samples, and
the hub. Nothing is changed, but for a file that is written and removed to see that the store can be kept.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from steering.child import environment
from steering.disk import LITTLE_BYTES, check_writable, free_bytes
from steering.errors import SteeringError
from steering.public import is_public

OK, WARNING, ERROR = "ok", "warning", "error"
LITTLE_MEMORY_BYTES = 3 << 30
"""Free memory below which a finetune beside the page may not fit."""
RENDER_S = 60.0
_RENDER = """
import steering.simulation, mujoco
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><light pos='0 0 2'/><geom size='.1'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 16, 16) as renderer:
    renderer.update_scene(data)
    assert renderer.render().any()
"""


@dataclass(frozen=True)
class Finding:
    """What was looked at. state: OK, WARNING (some of it will not work) or ERROR (nothing will)."""

    subject: str
    state: str
    words: str


def examine(store: Path) -> list[Finding]:
    """Every finding about this machine and the store at `store`."""
    found: list[Finding] = []
    for subject, look in _LOOKS.items():
        try:
            found += [Finding(subject, state, words) for state, words in look(store)]
        except SteeringError as error:
            found.append(Finding(subject, ERROR, str(error)))
    return found


def renders() -> bool:
    """Whether the simulator draws here, tried in a process of its own: a driver may crash."""
    command = [sys.executable, "-c", _RENDER]
    with tempfile.TemporaryDirectory() as elsewhere:  # MuJoCo writes a log where it stands
        try:
            return not subprocess.run(
                command, cwd=elsewhere, env=environment(), capture_output=True, timeout=RENDER_S
            ).returncode
        except subprocess.TimeoutExpired:
            return False


_Found = Iterator[tuple[str, str]]


def _python(_: Path) -> _Found:
    versions = []
    for name in ("torch", "transformers", "gradio", "mujoco"):
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            yield ERROR, f"{name} is not installed. `make app` installs what is missing."
    suits = (3, 11) <= sys.version_info[:2] <= (3, 12)
    words = f"Python {platform.python_version()} on {platform.machine()} {platform.system()}, {', '.join(versions)}."
    yield (OK, words) if suits else (ERROR, f"{words} Python 3.11 or 3.12 is needed: make app PYTHON=python3.12.")


def _memory(_: Path) -> _Found:
    from steering.models.free_memory import system_bytes

    free = system_bytes()
    words = f"{free / 1e9:.1f} GB of memory are free, {os.cpu_count()} cores."
    little = " A finetune of the embedded policy takes 2 GB: close other programs before you start one."
    yield (OK, words) if free >= LITTLE_MEMORY_BYTES else (WARNING, words + little)


def _disk(store: Path) -> _Found:
    check_writable(store)
    free = free_bytes(store)
    words = f"{store} can be written, {free / 1e9:.1f} GB are free."
    little = " Delete what you no longer need, or set STEERING_STORE to a larger disk."
    yield (OK, words) if free >= LITTLE_BYTES else (WARNING, words + little)


def _index(store: Path) -> _Found:
    from steering.jobs.index import is_whole

    if not is_whole(store / "jobs.sqlite"):
        yield WARNING, "The list of jobs is damaged. The next start sets it aside and begins a new one; results stay."
    else:
        yield OK, "The list of jobs is whole." if (store / "jobs.sqlite").is_file() else "There were no jobs yet."
    for path in sorted(store.glob("jobs.sqlite.damaged-*")):
        if not path.name.endswith(("-wal", "-shm")):
            yield WARNING, f"A damaged list of jobs was set aside as {path.name}. Delete it when you no longer want it."


def _renderer(_: Path) -> _Found:
    packages = "libegl1, libegl-mesa0, libgl1, libgl1-mesa-dri and libopengl0"
    words = f"The simulator cannot draw: recording and rollouts will fail. Install {packages}; all else works."
    yield (OK, "The simulator draws without a screen.") if renders() else (WARNING, words)


def _gpu(_: Path) -> _Found:
    import torch

    if not torch.cuda.is_available():
        yield OK, "No GPU: the embedded policy needs none; π0 itself runs, and is slow."
        return
    for number in range(torch.cuda.device_count()):
        free, _total = torch.cuda.mem_get_info(number)
        yield OK, f"{torch.cuda.get_device_name(number)}, {free / 1e9:.0f} GB free."


def _assets(_: Path) -> _Found:
    from steering.models.checkpoint import EMBEDDED, open_checkpoint
    from steering.samples import SAMPLES

    open_checkpoint(EMBEDDED)
    yield OK, "The embedded policy is there."
    if not SAMPLES.is_dir():
        yield WARNING, "The samples are not there, so the first screen is empty. Fetch the repository's assets."


def _hub(_: Path) -> _Found:
    from huggingface_hub import constants, get_token

    cache = f"Its cache is {constants.HF_HUB_CACHE}."
    if constants.HF_HUB_OFFLINE:
        yield OK, f"The hub is not asked (HF_HUB_OFFLINE); what was downloaded before opens. {cache}"
    else:
        yield OK, f"The command line may fetch from the hub; the page does so with HF_HUB_OFFLINE=0. {cache}"
    if is_public() and get_token():
        yield OK, "You are logged in to the hub; visitors' fetches go without your token."


_LOOKS: dict[str, Callable[[Path], _Found]] = {
    "python": _python,
    "memory": _memory,
    "disk": _disk,
    "jobs": _index,
    "renderer": _renderer,
    "gpu": _gpu,
    "assets": _assets,
    "hub": _hub,
}
