"""Rollouts of scripted policies: outcomes, pairing by scene, films, and stopping."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from steering.errors import Cancelled, InputError, NotFound
from steering.progress import Progress, Report
from steering.rollout import episode
from steering.rollout.runner import (
    BATCH_SIZE,
    REPLAN_STEPS,
    default_processes,
    run_rollouts,
    run_scenes,
)
from steering.simulation.experts import expert_action
from steering.simulation.tasks import TASKS, bench_scene, succeeded
from steering.simulation.world import World
from steering.types import CAMERAS, HeadShape, Observation

TASK = "press_button"
SEEDS = (0, 1, 2, 3)
LIMIT = 65
"""Steps of a scene; the expert takes at most 55."""


class Replay:
    """Knows what the expert did in some scenes and recognises a moment by its proprioceptive state; else stands."""

    name = "replay"
    head_shape = HeadShape.pair(1, 1, 1)
    chunk_size, action_dim, noise_dim = 8, 7, 9

    def __init__(self, seeds: Sequence[int]) -> None:
        self.chunks: dict[bytes, np.ndarray] = {}
        self.steps: dict[int, int] = {}
        self.noise: dict[bytes, np.ndarray] = {}
        self.batches: list[int] = []
        for seed in seeds:
            self._watch(seed)

    def _watch(self, seed: int) -> None:
        world, states, actions = World(bench_scene(TASK, seed)), [], []
        while not succeeded(world) or len(actions) < self.steps[seed] + 20:
            states.append(world.state().tobytes())
            actions.append(expert_action(world)[0])
            world.step(actions[-1])
            if succeeded(world):
                self.steps.setdefault(seed, len(actions))
        for i in range(0, len(states) - self.chunk_size, REPLAN_STEPS):
            self.chunks[states[i]] = np.array(actions[i : i + self.chunk_size])

    def act(self, observation: Observation, noise: np.ndarray) -> np.ndarray:
        assert noise.shape == (len(observation.state), self.chunk_size, self.noise_dim) and noise.dtype == np.float32
        assert set(observation.instruction) == {TASKS[TASK].instruction}
        assert all(observation.cameras[c].dtype == np.uint8 for c in CAMERAS)
        self.batches.append(len(noise))
        for state, drawn in zip(observation.state, noise, strict=True):
            self.noise.setdefault(state.tobytes(), drawn)
        still = np.zeros((self.chunk_size, 7), np.float32)
        return np.stack([self.chunks.get(state.tobytes(), still) for state in observation.state])


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripted policy does not look, so small images save time."""
    monkeypatch.setattr(episode, "IMAGE_PX", 24)
    monkeypatch.setitem(TASKS, TASK, replace(TASKS[TASK], step_limit=LIMIT))


@pytest.fixture(scope="module")
def expert() -> Replay:
    """Knows every scene but that of seed 2."""
    return Replay([seed for seed in SEEDS if seed != 2])


def test_outcomes_are_those_of_the_actions(expert: Replay) -> None:
    rollouts = run_rollouts(expert, TASK, SEEDS, method="steering")
    assert rollouts.success.tolist() == [True, True, False, True]
    assert rollouts.steps.tolist() == [expert.steps[0], expert.steps[1], LIMIT, expert.steps[3]]
    assert (rollouts.method, rollouts.task, rollouts.seeds, rollouts.videos) == ("steering", TASK, SEEDS, ())
    assert rollouts.wall_s > 0


@pytest.mark.parametrize(("batch_size", "processes"), [(1, 1), (3, 1), (BATCH_SIZE, 2)])
def test_outcomes_and_noise_do_not_depend_on_batch_and_processes(
    expert: Replay, batch_size: int, processes: int
) -> None:
    scenes = [bench_scene(TASK, seed) for seed in SEEDS]
    together, apart = Replay([]), Replay([])
    together.chunks = apart.chunks = expert.chunks
    expected = run_scenes(together, scenes, SEEDS, LIMIT, processes=1)
    assert run_scenes(apart, scenes, SEEDS, LIMIT, batch_size=batch_size, processes=processes) == expected
    assert set(together.batches) == {BATCH_SIZE, 4, 2} and set(apart.batches) <= {batch_size, 2}
    assert together.noise.keys() == apart.noise.keys()
    assert all(np.array_equal(together.noise[moment], apart.noise[moment]) for moment in together.noise)


def test_noise_differs_between_scenes_and_moments() -> None:
    still = Replay([])
    run_scenes(still, [bench_scene(TASK, seed) for seed in (0, 1)], (0, 1), 4 * REPLAN_STEPS, processes=1)
    assert len({noise.tobytes() for noise in still.noise.values()}) == len(still.noise) >= 4


def test_a_filter_changes_what_the_policy_sees() -> None:
    class Watcher(Replay):
        seen = 0

        def act(self, observation: Observation, noise: np.ndarray) -> np.ndarray:
            self.seen += int(observation.cameras["wrist"].sum())
            return super().act(observation, noise)

    def blind(observation: Observation) -> Observation:
        dark = {name: np.zeros_like(image) for name, image in observation.cameras.items()}
        return Observation(dark, observation.state, observation.instruction)

    open_eyed, blinded = Watcher([]), Watcher([])
    scene = [bench_scene(TASK, 0)]
    run_scenes(open_eyed, scene, [0], 5)
    run_scenes(blinded, scene, [0], 5, see=blind)
    assert open_eyed.seen > 0 and blinded.seen == 0


def test_films_play_and_change_no_outcome(expert: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    px = 96
    monkeypatch.setattr(episode, "VIDEO_PX", px)
    seeds = (0, 1, 3)
    rollouts = run_rollouts(expert, TASK, seeds, method="lora", record_dir=tmp_path / "films", record_scenes=2)
    assert rollouts.success.tolist() == [True, True, True]
    assert rollouts.steps.tolist() == [expert.steps[seed] for seed in seeds]
    assert [path.name for path in rollouts.videos] == ["lora_0.mp4", "lora_1.mp4"]
    assert [path.name for path in rollouts.traces] == ["lora_0.json", "lora_1.json"]
    for path, frames in zip(rollouts.videos, (expert.steps[seed] + 10 + 1 for seed in seeds[:2]), strict=True):
        with av.open(str(path)) as film:
            stream = film.streams.video[0]
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert (stream.width, stream.height) == (2 * px, px)
            assert float(stream.average_rate) == rollouts.rate_hz == 20.0
            images = [frame.to_ndarray(format="rgb24") for frame in film.decode(stream)]
        assert len(images) == frames
    world = World(bench_scene(TASK, 1))
    real = np.concatenate([world.render(camera, px) for camera in CAMERAS], axis=1).astype(int)
    world.close()
    assert np.abs(images[0] - real).mean() < 5, "its first frame shows the scene's start"


def test_progress_goes_up_and_stopping_closes_every_world(expert: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    open_worlds = set()

    class Counted(World):
        def __init__(self, *args: object) -> None:
            super().__init__(*args)
            open_worlds.add(self)

        def close(self) -> None:
            super().close()
            open_worlds.discard(self)

    monkeypatch.setattr(episode, "World", Counted)
    reports: list[Report] = []
    run_rollouts(expert, TASK, SEEDS[:2], method="lora", processes=1, progress=Progress(reports.append))
    fractions = [report.fraction for report in reports]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert reports[-1].message == "2 of 2 scenes, 2 succeeded"
    assert not open_worlds

    for processes in (1, 2):
        reports.clear()
        stop = Progress(reports.append, should_cancel=lambda: len(reports) == 3)
        with pytest.raises(Cancelled):
            run_rollouts(expert, TASK, SEEDS, method="lora", processes=processes, progress=stop)
        assert len(reports) == 3 and not open_worlds


def test_few_scenes_start_no_process_and_many_no_more_than_half_the_cores() -> None:
    assert default_processes(1) == default_processes(7) == 1
    assert default_processes(1000) == max(2, (os.cpu_count() or 1) // 2) or os.cpu_count() == 1


def test_wrong_wishes_are_refused_in_words(expert: Replay) -> None:
    with pytest.raises(InputError, match="at least one scene"):
        run_rollouts(expert, TASK, (), method="lora")
    with pytest.raises(NotFound, match="Did you mean 'empty'"):
        run_rollouts(expert, TASK, SEEDS, method="lora", instruction="empt")
    with pytest.raises(NotFound, match="Did you mean 'press_button'"):
        run_rollouts(expert, "press_buttom", SEEDS, method="lora")
