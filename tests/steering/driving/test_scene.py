"""Driving by hand: recorded as the expert is, from the first motion on, and run again from its commands."""

import numpy as np
import pytest

from steering.demonstrations import recording
from steering.demonstrations.recording import MOST_EPISODES, driven_seed, record, replay
from steering.driving.scene import LIMIT_FACTOR, SHORTEST_FRAMES, DrivenScene
from steering.errors import InputError, NotFound
from steering.rollout.tracing import project
from steering.simulation.experts import expert_action
from steering.simulation.tape import IMAGE_PX
from steering.simulation.tasks import TASKS
from steering.simulation.world import World
from steering.types import CAMERAS, Demonstrations, Episode

SEED = driven_seed(0, 0)
DOWN = np.array([0, 0, -0.5, 0, 0, 0, -1], np.float32)


def driven_by_expert(task: str, seed: int) -> Episode:
    """A person who drives as the expert would."""
    drive = DrivenScene(task, seed)
    while not drive.ended:
        drive.step(expert_action(drive._world)[0])
    drive.close()
    return drive.episode("episode_000")


@pytest.fixture(scope="module")
def pick() -> Episode:
    return driven_by_expert("pick_cube", SEED)


def test_it_succeeds_and_has_the_form_of_a_demonstration(pick: Episode) -> None:
    assert pick.success is True and pick.phase is None and pick.seed == SEED and pick.rate_hz == 20.0
    n = pick.frames
    assert {name: one.shape for name, one in pick.cameras.items()} == dict.fromkeys(CAMERAS, (n, IMAGE_PX, IMAGE_PX, 3))
    assert pick.state.shape == (n, 8) and pick.action.shape == (n, 7)
    assert pick.state.dtype == pick.action.dtype == np.float32
    assert pick.ground_truth["cube"].shape == (n, 3) and pick.ground_truth["cube"].dtype == np.float32
    assert n < TASKS["pick_cube"].step_limit, "it ended by itself"


def test_the_same_commands_give_the_bytes_that_the_expert_s_recording_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "DISTURBANCE", 0.0)  # what it commands is what the arm gets
    expected = record("press_button", 1)
    seed = expected.episodes[0].seed
    assert seed is not None
    drive = DrivenScene("press_button", seed)
    for action in expected.episodes[0].action:
        assert drive.step(action)
    assert drive.ended, "as many frames after success as the expert keeps"
    found = Demonstrations("", "press_button", (), (drive.episode("episode_000"),))
    assert found.fingerprint() == expected.fingerprint()
    drive.close()


def test_standing_still_before_the_first_motion_is_not_recorded() -> None:
    drive = DrivenScene("pick_cube", SEED)
    still = np.array([0, 0, 0, 0, 0, 0, drive.gripper], np.float32)
    first = drive.look("wrist")
    assert not any(drive.step(still) for _ in range(5)) and drive.frames == 0
    assert drive.step(DOWN) and drive.step(still), "between motions it is"
    assert drive.frames == 2
    with pytest.raises(InputError, match=f"at least {SHORTEST_FRAMES} frames, got 2"):
        drive.episode("episode_000")
    for _ in range(SHORTEST_FRAMES):
        drive.step(DOWN)
    episode = drive.episode("episode_000")
    np.testing.assert_array_equal(episode.cameras["wrist"][0], first)
    assert episode.success is False and (episode.action[0] == DOWN).all()
    drive.close()


def test_it_ends_at_the_limit() -> None:
    drive = DrivenScene("press_button", SEED)
    assert drive.limit == LIMIT_FACTOR * TASKS["press_button"].step_limit and drive.gripper == 1.0
    drive.limit = 12
    assert sum(drive.step(DOWN) for _ in range(20)) == 12
    assert drive.ended and not drive.success
    drive.finish()
    assert drive.frames == 12
    drive.close()


@pytest.mark.parametrize("action", ([np.nan, 0, 0, 0, 0, 0, 1], [np.inf] * 7, [0.0] * 6, [[0.0] * 7]))
def test_what_is_no_command_is_refused(action: list[float]) -> None:
    drive = DrivenScene("pick_cube", SEED)
    with pytest.raises(InputError, match="a command of 7 finite numbers"):
        drive.step(np.array(action))
    assert drive.step(np.full(7, 9.0)) and drive.gripper == 1.0, "too much is clipped"
    drive.close()


def test_away_is_up_and_right_in_the_exterior_picture() -> None:
    drive = DrivenScene("pick_cube", SEED)
    (ax, ay), at = drive.away, np.array([0.5, 0.0, 0.1])
    points = np.stack([at, at + [0.1 * ax, 0.1 * ay, 0], at + [0.1 * ay, -0.1 * ax, 0]])
    middle, away, right = project(drive._world, "exterior", points)
    assert np.hypot(ax, ay) == pytest.approx(1)
    assert away[1] < middle[1] - 0.03 and abs(away[0] - middle[0]) < 0.005
    assert right[0] > middle[0] + 0.05 and abs(right[1] - middle[1]) < 0.005
    drive.close()


def test_it_runs_again_from_its_commands(pick: Episode) -> None:
    driven = Demonstrations("by hand", "pick_cube", (), (pick,))
    states: list[np.ndarray] = []

    def watch(world: World, action: np.ndarray) -> None:
        states.append(world.state())

    replay(driven, pick, watch)
    np.testing.assert_array_equal(np.stack(states), pick.state)


def test_the_expert_s_scenes_and_a_person_s_are_apart() -> None:
    last_tried = 2 * MOST_EPISODES + 10
    assert {driven_seed(0, scene) for scene in (0, 4_999)} == {1_005_000, 1_009_999}
    assert driven_seed(0, 5_000) == driven_seed(0, 0) > 1_000_000 + last_tried
    assert driven_seed(3, 2) == 1_035_002
    with pytest.raises(NotFound, match="Did you mean 'pick_cube'"):
        DrivenScene("pick_cub", SEED)
