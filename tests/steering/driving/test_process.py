"""Driven sets: scenes in turn, what is kept, and the artefact; the process itself in tests/app/test_driving.py."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from steering.demonstrations.recording import driven_seed
from steering.driving import process as driving
from steering.driving.process import Drive, keep_driven
from steering.errors import InputError
from steering.simulation.experts import expert_action
from steering.simulation.tasks import TASKS
from steering.simulation.world import World
from steering.store import Store

FORWARD = [0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def drive(store: Store, tmp_path: Path) -> Iterator[Drive]:
    made = Drive(store, tmp_path, "press_button", 2, ("lighting",))
    yield made
    made.close()


def succeed(drive: Drive) -> None:
    while not drive._try.success:
        drive.answer({"do": "step", "action": expert_action(drive._try._world)[0].tolist()})


def test_a_set_is_driven_kept_and_stored_once(drive: Drive, store: Store) -> None:
    state, pictures = drive.answer({"do": "look"})
    assert (state["scene"], state["frames"], state["kept"]) == (1, 0, [])
    assert state["instruction"] == "press the button" and state["gripper"] == 1.0
    assert [one[:2] for one in pictures] == [b"\xff\xd8"] * 2, "JPEG"
    succeed(drive)
    state, _ = drive.answer({"do": "keep"})
    assert (state["scene"], state["frames"], state["kept"]) == (2, 0, [True])
    for _ in range(12):
        state, _ = drive.answer({"do": "step", "action": FORWARD})
    assert state["frames"] == 12
    with pytest.raises(InputError, match="not reached yet"):
        drive.answer({"do": "keep"})
    drive.answer({"do": "keep", "failure": True})
    saved = drive.answer({"do": "save"})[0]["saved"]
    value, params = store.load(saved), store.manifest(saved).params
    assert value.name == "press_button, 2 episodes by hand, lighting"
    assert (value.task, value.variations) == ("press_button", ("lighting",))
    assert [one.success for one in value.episodes] == [True, False]
    assert [one.seed for one in value.episodes] == [driven_seed(2, 0), driven_seed(2, 1)]
    assert [one.name for one in value.episodes] == ["episode_000", "episode_001"]
    np.testing.assert_array_equal(value.episodes[1].cameras["wrist"][3], drive.kept[1].cameras["wrist"][3])
    assert {"task": "press_button", "variations": ["lighting"], "by": "keyboard"}.items() <= params.items()
    assert drive.save() == saved, "the same driving is the same set"
    other = keep_driven(store, task="press_button", variations=["lighting"], episodes=drive.kept[:1])
    assert other != saved


@pytest.mark.parametrize("task", TASKS)
def test_every_task_s_state_is_plain_json(
    store: Store, tmp_path: Path, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(World, "render", lambda _, camera, px: np.zeros((px, px, 3), np.uint8))  # the expert is blind
    drive = Drive(store, tmp_path, task, 0, ())
    while not drive._try.ended:
        drive._try.step(expert_action(drive._try._world)[0])
    state = drive.answer({"do": "look"})[0]
    assert json.loads(json.dumps(state))["success"] is True and state["ended"] is True
    drive.close()


def test_a_try_is_made_again_or_left(drive: Drive) -> None:
    drive.answer({"do": "step", "action": FORWARD})
    first = drive.answer({"do": "look"})[1]
    again, pictures = drive.answer({"do": "again"})
    assert (again["scene"], again["frames"]) == (1, 0) and pictures != first
    assert drive.answer({"do": "next"})[0]["scene"] == 2


def test_what_is_too_much_or_nothing_is_refused(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="Keep an episode first"):
        drive.answer({"do": "save"})
    with pytest.raises(InputError, match="at least 10 frames, got 0"):
        drive.answer({"do": "keep", "failure": True})
    with pytest.raises(InputError, match="Expected step, look"):
        drive.answer({"do": "fly"})
    monkeypatch.setattr(driving, "MOST_FRAMES", 11)
    for _ in range(12):
        drive.answer({"do": "step", "action": FORWARD})
    with pytest.raises(InputError, match="at most 50 episodes and 11 frames"):
        drive.answer({"do": "keep", "failure": True})
    assert drive.answer({"do": "look"})[0]["frames"] == 12, "the try goes on"
