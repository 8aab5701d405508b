"""`steering serve` as a process, and the bench as another one that asks it through openpi's client."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from steering.demonstrations import mapping as mappings
from steering.demonstrations.mapping import Camera, Columns, Mapping
from steering.models.loading import load_policy
from steering.pipeline.serving import served_policies
from steering.rollout.episode import Episode as Scene
from steering.rollout.episode import Start
from steering.rollout.runner import REPLAN_STEPS
from steering.samples import open_store
from steering.serving.observing import Wanted, observation
from steering.serving.server import generator
from steering.simulation.tasks import TASKS, bench_scene
from steering.store import Store
from steering.trials.book import create
from steering.types import Demonstrations, Episode, Robot, TrialPlan

ROOT = Path(__file__).parents[3]
OPENPI = ROOT / ".venv" / "openpi"
TASK, SEED, STEPS = "press_button", 100_000, 40


@contextmanager
def serving(*options: str) -> Iterator[dict]:
    """What the command says when it listens."""
    command = [sys.executable, "-m", "steering", "serve", "--port", "0", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


@pytest.mark.slow
@pytest.mark.skipif(not OPENPI.is_dir(), reason="`make test` installs openpi-client")
def test_the_bench_is_a_client_like_any_robot(tmp_path: Path) -> None:
    with serving("--store", str(tmp_path)) as said:
        told = client(said["url"], STEPS)
    assert told["metadata"]["method"] == "zero_shot" and told["metadata"]["policy"] == "embedded"
    expected, ended = by_bare_calls()
    assert np.allclose(told["first_actions"], expected, atol=1e-3)
    assert (told["success"], told["steps"]) == ended


@pytest.mark.slow
@pytest.mark.skipif(not OPENPI.is_dir(), reason="`make test` installs openpi-client")
def test_a_trial_book_switches_the_adapters_itself(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    adapters = {str(one.params["method"]): one.id for one in store.find("adapter")}
    plan = TrialPlan(("zero_shot", "steering"), blocks=1, adapters={"steering": adapters["steering"]})
    book, told = create(tmp_path / "book", plan), {}
    with serving("--store", str(tmp_path / "store"), "--trial", str(book.folder)) as said:
        assert said["methods"] == []
        for slot in book.slots:
            told[slot.method] = client(said["url"], 5)
            assert told[slot.method]["metadata"]["method"] == "blinded"
            book.record("failure")
    first = {method: np.array(one["first_actions"][0]) for method, one in told.items()}
    assert np.abs(first["zero_shot"] - first["steering"]).max() > 1e-3
    assert np.allclose(first["zero_shot"], by_bare_calls(5)[0][0], atol=1e-3)


def client(url: str, steps: int) -> dict:
    """What the bench's process says when it is over."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{OPENPI}"}
    command = [sys.executable, str(Path(__file__).with_name("bench_client.py")), url, TASK, str(SEED), str(steps)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads(ran.stdout.splitlines()[-1])


def by_bare_calls(steps: int = STEPS) -> tuple[np.ndarray, tuple[bool, int]]:
    """The same scene with the policy in this process."""
    policy, noise = load_policy("embedded"), generator(SEED)
    episode, first = Scene(Start(0, bench_scene(TASK, SEED), min(steps, TASKS[TASK].step_limit))), []
    while not episode.ended:
        seen = episode.see()
        message = {**{f"observation/{name}": image for name, image in seen.cameras.items()}, "prompt": seen.instruction}
        drawn = noise.standard_normal((1, policy.chunk_size, policy.noise_dim)).astype(np.float32)
        chunk = policy.act(observation({**message, "state": seen.state}, Wanted()), drawn)[0]
        first.append(chunk[0])
        episode.advance(chunk, REPLAN_STEPS)
    outcome = episode.finish()
    return np.array(first), (outcome.success, outcome.steps)


def test_another_host_without_a_key_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "steering", "serve", "--host", "0.0.0.0", "--store", str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 1 and "Expected a key" in ran.stderr


def test_adapters_are_served_by_their_methods_beside_the_untouched_policy(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    adapters = {store.manifest(one.id).params["method"]: one.id for one in store.find("adapter")}
    served = served_policies(store, adapters=[adapters["steering"], "zero_shot", adapters["lora"]])
    assert list(served) == ["steering", "zero_shot", "lora"]
    first = served["steering"]
    assert list(first.wanted.cameras) == ["exterior", "wrist"] and first.wanted.instruction
    assert first.rate_hz == 20.0 and served["zero_shot"].policy.name == "embedded"


def test_recordings_from_outside_bring_their_names_turns_and_gripper(tmp_path: Path) -> None:
    images, rows = np.zeros((2, 4, 6, 3), np.uint8), np.zeros((2, 7), np.float32)
    images[:, 0] = 255
    cameras = {"exterior": images, "wrist": images}
    episodes = tuple(Episode("e", "put it away", 10.0, cameras, rows, rows) for _ in range(3))
    robot = Robot("arm", action_roles=("joint",) * 6 + ("gripper",), turned=(0.0, 1.0))
    cameras_of = {"exterior": Camera("obs/agentview_rgb", rotate=180), "wrist": Camera("obs/eye_in_hand_rgb")}
    kept = Mapping(cameras_of, (Columns("obs/joints", (0, 1)),), (Columns("actions"),))
    store = Store(tmp_path)
    with store.new_folder("demonstrations") as folder:
        mappings.write(folder / "mapping.json", kept)
        value = Demonstrations("set", "", (), episodes, robot)
        made = store.save("demonstrations", value, params={"image_px": 4}, folder=folder)
    served = served_policies(store, demonstrations_id=made)["zero_shot"]
    assert served.robot == robot and served.rate_hz == 10.0
    assert (served.wanted.state, served.wanted.most_px) == ((("obs/joints", (0, 1)),), 4)
    message = {"obs/agentview_rgb": images[0], "obs/eye_in_hand_rgb": images[0], "obs/joints": np.arange(3.0)}
    seen = observation(message, served.wanted)
    assert seen.instruction == ("put it away",) and seen.state.tolist() == [[0, 1]]
    assert seen.cameras["exterior"].shape == (1, 3, 4, 3)
    assert seen.cameras["exterior"][0, -1].min() > 100 and seen.cameras["wrist"][0, 0].min() > 100
