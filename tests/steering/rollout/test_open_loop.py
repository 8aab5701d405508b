"""Open-loop predictions: the right frames, paired noise, chunks cut at the end; and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from steering.errors import InputError
from steering.models.pi0 import PI0Policy
from steering.rollout.open_loop import predict_chunks
from steering.types import Demonstrations, HeadShape, Observation


class Parrot:
    """Predicts what it knows was done, found by state; the noise is added."""

    name, head_shape = "parrot", HeadShape.pair(1, 1, 1)
    chunk_size, action_dim, noise_dim = 4, 7, 7

    def __init__(self, demonstrations: Demonstrations) -> None:
        self._known = {
            e.state[f].tobytes(): np.pad(e.action[f : f + 4], ((0, max(0, f + 4 - e.frames)), (0, 0)))
            for e in demonstrations.episodes
            for f in range(e.frames)
        }
        self.rows = 0

    def act(self, observation: Observation, noise: np.ndarray) -> np.ndarray:
        self.rows += len(noise)
        return np.stack([self._known[s.tobytes()] for s in observation.state]) + noise


def test_frames_chunks_and_the_mean_of_samples(demonstrations: Demonstrations) -> None:
    parrot = Parrot(demonstrations)
    found = predict_chunks(parrot, demonstrations, [1, 3], method="lora", stride=2, samples=3, seed=5)
    rows = [(e, f) for e in (1, 3) for f in range(0, demonstrations.episodes[e].frames, 2)]
    assert list(zip(found.episode, found.frame, strict=True)) == rows and found.method == "lora"
    for i, (e, f) in enumerate(rows):
        action = demonstrations.episodes[e].action
        left = min(4, len(action) - f)
        assert found.valid[i].sum() == left and found.valid[i][:left].all()
        assert np.array_equal(found.demonstrated[i, :left], action[f : f + left])
        noise = [np.random.default_rng([5, 19, e, f, s]).standard_normal((4, 7)).astype(np.float32) for s in range(3)]
        assert np.allclose(found.predicted[i, :left], action[f : f + left] + np.mean(noise, axis=0)[:left], atol=1e-6)
    everything = np.concatenate([e.action for e in demonstrations.episodes])
    assert np.allclose(found.spread, everything.std(0)) and found.action_names[-1] == "gripper"


def test_the_noise_of_a_frame_does_not_depend_on_the_other_frames(
    policy: PI0Policy, demonstrations: Demonstrations
) -> None:
    all_frames = predict_chunks(policy, demonstrations, [0, 2], method="zero_shot", stride=1, samples=1)
    some = predict_chunks(policy, demonstrations, [2], method="zero_shot", stride=3, samples=1)
    rows = [np.flatnonzero((all_frames.episode == 2) & (all_frames.frame == f))[0] for f in some.frame]
    assert np.array_equal(all_frames.predicted[rows], some.predicted)


@pytest.mark.parametrize("options", [{"episodes": []}, {"episodes": [9]}, {"episodes": [0], "stride": 0}])
def test_wrong_wishes_are_refused(demonstrations: Demonstrations, options: dict) -> None:
    with pytest.raises(InputError, match="Expected"):
        predict_chunks(Parrot(demonstrations), demonstrations, **{"method": "lora", **options})
