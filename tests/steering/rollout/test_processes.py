"""A real (tiny, random) policy in simulation processes: the same actions and outcomes to the bit, and worded ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from steering.errors import SteeringError
from steering.models.pi0 import PI0Policy
from steering.rollout.episode import Start
from steering.rollout.runner import run_scenes
from steering.rollout.simulators import ProcessSimulator, Request
from steering.simulation.tasks import bench_scene
from steering.types import Observation

SEEDS = tuple(range(6))
LIMIT = 12


class Recording:
    """Passes on to a policy and keeps the first chunk of every draw of noise, which is the one that is used."""

    def __init__(self, policy: PI0Policy) -> None:
        self._policy = policy
        self.name, self.head_shape = policy.name, policy.head_shape
        self.chunk_size, self.action_dim, self.noise_dim = policy.chunk_size, policy.action_dim, policy.noise_dim
        self.chunks: dict[bytes, np.ndarray] = {}

    def act(self, observation: Observation, noise: np.ndarray) -> np.ndarray:
        chunks = self._policy.act(observation, noise)
        for drawn, chunk in zip(noise, chunks, strict=True):
            self.chunks.setdefault(drawn.tobytes(), chunk)
        return chunks


def test_actions_and_outcomes_are_the_same_in_any_number_of_processes(policy: PI0Policy) -> None:
    scenes = [bench_scene("pick_cube", seed) for seed in SEEDS]
    found = []
    for processes in (1, 2):
        recording = Recording(policy)
        found.append((run_scenes(recording, scenes, SEEDS, LIMIT, processes=processes), recording.chunks))
    (outcomes, chunks), *others = found
    assert len(chunks) == len(SEEDS) * LIMIT // policy.chunk_size, "one draw of noise a chunk"
    for other_outcomes, other_chunks in others:
        assert other_outcomes == outcomes
        assert other_chunks.keys() == chunks.keys()
        assert all(np.array_equal(chunks[noise], other_chunks[noise]) for noise in chunks)


def test_other_batch_sizes_give_the_same_first_actions_to_float_tolerance(policy: PI0Policy) -> None:
    """Only the first: physics then blows rounding up, which is why batches have a fixed size."""
    scenes = [bench_scene("pick_cube", seed) for seed in SEEDS[:3]]
    recordings = []
    for batch_size in (1, 2, 8):
        recordings.append(Recording(policy))
        run_scenes(recordings[-1], scenes, SEEDS[:3], policy.chunk_size, batch_size=batch_size, processes=1)
    for other in recordings[1:]:
        assert other.chunks.keys() == recordings[0].chunks.keys()
        for noise, chunk in other.chunks.items():
            np.testing.assert_allclose(chunk, recordings[0].chunks[noise], atol=1e-5)


def test_noise_and_outcomes_of_a_few_steps_are_the_same_for_any_batch_size(policy: PI0Policy) -> None:
    scenes = [bench_scene("pick_cube", seed) for seed in SEEDS[:3]]
    found = []
    for batch_size in (1, 2, 4):
        recording = Recording(policy)
        outcomes = run_scenes(recording, scenes, SEEDS[:3], LIMIT, batch_size=batch_size, processes=1)
        found.append((outcomes, recording.chunks.keys()))
    (outcomes, noise), *others = found
    for other_outcomes, other_noise in others:
        assert other_noise == noise
        for one, other in zip(outcomes, other_outcomes, strict=True):
            assert other.distance_m == pytest.approx(one.distance_m, abs=1e-4), "the last digits are rounding"
            assert replace(other, distance_m=one.distance_m) == one


def test_a_scene_that_is_run_again_alone_in_batches_of_the_same_size_ends_the_same_to_the_bit(
    policy: PI0Policy,
) -> None:
    scenes = [bench_scene("pick_cube", seed) for seed in SEEDS[:3]]
    together = run_scenes(policy, scenes, SEEDS[:3], LIMIT, batch_size=4, processes=1)
    for scene, seed, outcome in zip(scenes, SEEDS, together, strict=False):
        assert run_scenes(policy, [scene], [seed], LIMIT, batch_size=4, processes=1) == [outcome]


def test_a_process_that_dies_is_a_worded_error() -> None:
    simulator = ProcessSimulator(1)
    try:
        simulator.ask(Request(start=[Start(0, bench_scene("pick_cube", 0), 10)]))
        assert simulator.collect().seen is not None
        simulator._processes[0].end()
        with pytest.raises(SteeringError, match="simulation process ended before its scenes did"):
            simulator.collect()
    finally:
        simulator.close()


def test_an_error_in_a_process_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "disable")
    simulator = ProcessSimulator(1)
    try:
        simulator.ask(Request(start=[Start(0, bench_scene("pick_cube", 0), 10)]))
        with pytest.raises(SteeringError, match="EGL or OSMesa"):
            simulator.collect()
    finally:
        simulator.close()
