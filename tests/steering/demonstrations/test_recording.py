"""Recording demonstrations: complete, successful, reproducible; wrong wishes are refused in words."""

import numpy as np
import pytest

from steering.demonstrations.recording import record
from steering.errors import Cancelled, InputError, NotFound
from steering.progress import Progress, Report
from steering.simulation.tape import IMAGE_PX
from steering.simulation.tasks import TASKS, bench_scene
from steering.simulation.world import World
from steering.types import ACTION_NAMES, CAMERAS, PHASES, STATE_NAMES, Demonstrations


@pytest.fixture(scope="module")
def recorded() -> Demonstrations:
    return record("pick_cube", 2, seed=3, variations=("distractors",))


def test_episodes_are_successful_and_complete(recorded: Demonstrations) -> None:
    assert (recorded.task, recorded.variations) == ("pick_cube", ("distractors",))
    assert [episode.name for episode in recorded.episodes] == ["episode_000", "episode_001"]
    for episode in recorded.episodes:
        n = episode.frames
        assert episode.success and episode.instruction == "pick up the cube"
        assert episode.rate_hz == 20.0 and 30 <= n <= TASKS["pick_cube"].step_limit
        assert {name: c.shape for name, c in episode.cameras.items()} == dict.fromkeys(
            CAMERAS, (n, IMAGE_PX, IMAGE_PX, 3)
        )
        assert all(c.dtype == np.uint8 for c in episode.cameras.values())
        assert episode.state.shape == (n, len(STATE_NAMES)) and episode.state.dtype == np.float32
        assert episode.action.shape == (n, len(ACTION_NAMES)) and episode.action.dtype == np.float32
        assert np.abs(episode.action).max() <= 1
        assert episode.ground_truth["cube"].shape == (n, 3)


def test_phases_tell_the_course_of_a_pick(recorded: Demonstrations) -> None:
    for episode in recorded.episodes:
        assert episode.phase is not None
        names = [PHASES[i] for i in episode.phase]
        assert names[0] == "approach" and names[-1] == "transport"
        assert "grasp" in names
        assert (episode.action[episode.phase == PHASES.index("transport"), 6] == 1).all(), "closed while carrying"
        height = episode.ground_truth["cube"][:, 2]
        assert height[-1] > height[0] + 0.07, "the cube is up at the end"


def test_frames_are_those_of_the_scene_with_the_episode_s_seed(recorded: Demonstrations) -> None:
    for episode in recorded.episodes:
        assert episode.seed is not None and episode.seed >= 1_000_000, "apart from the scenes of rollouts"
        world = World(bench_scene("pick_cube", episode.seed, ("distractors",)))
        np.testing.assert_array_equal(episode.cameras["wrist"][0], world.render("wrist", IMAGE_PX))
        np.testing.assert_array_equal(episode.state[0], world.state())
        world.close()


def test_the_same_seed_gives_the_same_bytes(recorded: Demonstrations) -> None:
    again = record("pick_cube", 2, seed=3, variations=("distractors",))
    assert again.fingerprint() == recorded.fingerprint()
    first, other = recorded.episodes[0], record("pick_cube", 1, seed=4).episodes[0]
    assert first.state[0].tobytes() != other.state[0].tobytes()


@pytest.mark.parametrize("count", (0, -1, 201))
def test_a_count_out_of_range_is_refused(count: int) -> None:
    with pytest.raises(InputError, match=f"1 to 200 episodes, got {count}"):
        record("pick_cube", count)


def test_unknown_names_suggest_the_closest() -> None:
    with pytest.raises(NotFound, match="Did you mean 'press_button'"):
        record("press_buton", 1)
    with pytest.raises(NotFound, match="Did you mean 'distractors'"):
        record("press_button", 1, variations=("distractor",))


def test_progress_is_reported_and_can_stop_it() -> None:
    reports: list[Report] = []
    record("press_button", 1, progress=Progress(reports.append))
    assert [report.fraction for report in reports] == [0.0, 1.0]
    stop = Progress(reports.append, should_cancel=lambda: len(reports) >= 3)
    with pytest.raises(Cancelled):
        record("press_button", 5, progress=stop)
    assert len(reports) == 3, "stopped after its first episode"
