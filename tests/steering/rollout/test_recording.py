"""What a policy does, kept as demonstrations: each episode as the runner saw it, failures too, the same bytes again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from steering.demonstrations.masks import named_masks
from steering.demonstrations.recording import record as record_expert
from steering.demonstrations.recording import recorded_set, scene_seed
from steering.errors import Cancelled, InputError, NotFound
from steering.models.pi0 import PI0Policy
from steering.progress import Progress, Report
from steering.rollout import episode as running
from steering.rollout.recording import record
from steering.rollout.runner import REPLAN_STEPS, run_rollouts
from steering.simulation.experts import expert_action
from steering.simulation.tape import IMAGE_PX
from steering.simulation.tasks import TASKS, bench_scene, succeeded
from steering.simulation.world import World
from steering.types import CAMERAS, Episode, HeadShape, Observation

TASK = "press_button"
SEEDS = tuple(scene_seed(3, attempt) for attempt in range(3))


class Scripted:
    """Does as the expert in some scenes, which it knows by the arm's state; else it trembles, more than the arm can."""

    name = "scripted"
    head_shape = HeadShape.pair(1, 1, 1)
    chunk_size, action_dim, noise_dim = 8, 7, 9

    def __init__(self, seeds: tuple[int, ...]) -> None:
        self.chunks: dict[bytes, np.ndarray] = {}
        self.seen: dict[bytes, dict[str, np.ndarray]] = {}
        for seed in seeds:
            world, states, actions = World(bench_scene(TASK, seed)), [], []
            after = 0
            while after < 20:
                states.append(world.state().tobytes())
                actions.append(expert_action(world)[0])
                world.step(actions[-1])
                after += after > 0 or bool(succeeded(world))
            world.close()
            for i in range(0, len(states) - self.chunk_size, REPLAN_STEPS):
                self.chunks[states[i]] = np.array(actions[i : i + self.chunk_size])

    def act(self, observation: Observation, noise: np.ndarray) -> np.ndarray:
        trembling = np.clip(2 * noise[:, :, :7], -3, 3)
        found = []
        for i, state in enumerate(observation.state):
            self.seen[state.tobytes()] = {name: images[i] for name, images in observation.cameras.items()}
            found.append(self.chunks.get(state.tobytes(), trembling[i]))
        return np.stack(found).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    """Scenes of 70 steps: the expert takes 40 to 52."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, TASK, replace(TASKS[TASK], step_limit=70))
        yield


@pytest.fixture(scope="module")
def scripted() -> Scripted:
    """Succeeds in the first and the last scene."""
    return Scripted((SEEDS[0], SEEDS[2]))


@pytest.fixture(scope="module")
def recorded(scripted: Scripted) -> tuple[Episode, ...]:
    return record(scripted, TASK, SEEDS, processes=1)


def test_episodes_end_as_rollouts_of_the_same_scenes_and_failures_are_kept(
    scripted: Scripted, recorded: tuple[Episode, ...]
) -> None:
    rollouts = run_rollouts(scripted, TASK, SEEDS, method="zero_shot", processes=1)
    assert [one.success for one in recorded] == rollouts.success.tolist() == [True, False, True]
    assert [one.frames for one in recorded] == rollouts.steps.tolist()
    assert recorded[1].frames == TASKS[TASK].step_limit
    assert [one.seed for one in recorded] == list(SEEDS) and recorded[2].name == "episode_002"


def test_an_episode_holds_what_the_policy_saw_and_what_was_done(
    scripted: Scripted, recorded: tuple[Episode, ...]
) -> None:
    expert = record_expert(TASK, 1, seed=3).episodes[0]
    for one in recorded:
        assert (one.instruction, one.rate_hz, one.phase) == (expert.instruction, expert.rate_hz, None)
        assert one.pictures_px == expert.pictures_px == dict.fromkeys(CAMERAS, (IMAGE_PX, IMAGE_PX))
        assert one.action.dtype == one.state.dtype == np.float32 and np.abs(one.action).max() <= 1
        assert one.state.shape == (one.frames, 8) and one.action.shape == (one.frames, 7)
        assert set(one.ground_truth) == {"button"} and one.ground_truth["button"].shape == (one.frames, 3)
        for frame in range(0, one.frames, REPLAN_STEPS):
            seen = scripted.seen[one.state[frame].tobytes()]
            assert all(np.array_equal(one.cameras[camera][frame], seen[camera]) for camera in CAMERAS)
    assert np.abs(recorded[1].action).max() == 1, "clipped, as the arm did it"
    np.testing.assert_array_equal(recorded[0].cameras["wrist"][0], expert.cameras["wrist"][0])  # the same scene


def test_the_scene_can_be_run_again_by_the_commands(recorded: tuple[Episode, ...]) -> None:
    """As it must be for masks and predicted paths; the expert's own scene of that seed goes otherwise."""
    some = recorded_set(TASK, (), recorded, policy="scripted")
    assert named_masks(some, [1], [recorded[1].frames - 1], size_px=48).shape == (1, 2, 48, 48)
    with pytest.raises(InputError, match="leaves the recording"):
        named_masks(recorded_set(TASK, (), recorded), [1], [recorded[1].frames - 1], size_px=48)


def test_the_same_scenes_give_the_same_bytes_in_other_processes(
    scripted: Scripted, recorded: tuple[Episode, ...]
) -> None:
    again = record(scripted, TASK, SEEDS, processes=2)
    assert recorded_set(TASK, (), again).fingerprint() == recorded_set(TASK, (), recorded).fingerprint()
    assert [one.success for one in again] == [one.success for one in recorded]


def test_it_stops_where_it_is_told_to(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "IMAGE_PX", 24)
    reports: list[Report] = []
    stop = Progress(reports.append, should_cancel=lambda: len(reports) == 3)
    with pytest.raises(Cancelled):
        record(scripted, TASK, SEEDS, processes=1, progress=stop)
    assert reports[-1].message.startswith("0 of 3 scenes")


def test_a_policy_of_another_robot_is_refused_in_words(scripted: Scripted, policy: PI0Policy) -> None:
    two_arms = Scripted(())
    two_arms.action_dim = 14
    with pytest.raises(InputError, match="7 action dimensions.*scripted has 14.*another robot"):
        record(two_arms, TASK, SEEDS)
    with pytest.raises(NotFound, match="Did you mean 'press_button'"):
        record(scripted, "press_buton", SEEDS)
    policy.preprocessor = replace(policy.preprocessor, cameras=("observation.images.top",))
    with pytest.raises(InputError, match="Expected 1 to 1 cameras.*got exterior, wrist"):
        record(policy, TASK, SEEDS[:1])
