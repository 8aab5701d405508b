"""What a score is measured on: keyframes and weights counted by hand, and the sentence that says them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from steering import pipeline
from steering.relevance import keyframes, targets
from steering.store import Store
from steering.types import ACTION_NAMES, Demonstrations, Episode, Spread, spread_words

FRAMES = 40


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Store, str, Demonstrations]:
    """Two episodes: the gripper closes at a quarter and a half; x varies with a tenth of its size, all else rests."""
    rng = np.random.default_rng(0)
    episodes = []
    for i in range(2):
        action = np.zeros((FRAMES, 7), np.float32)
        action[:, 0] = np.where(np.arange(FRAMES) % 2, 0.1, -0.1)
        action[:, 6] = np.where(np.arange(FRAMES) < FRAMES // (4 - 2 * i), -1, 1)
        state = np.cumsum(rng.normal(0.05, 0.01, (FRAMES, 8)), 0).astype(np.float32)
        phase = (np.arange(FRAMES) >= 20).astype(np.int8)
        images = np.zeros((FRAMES, 8, 8, 3), np.uint8)
        episodes.append(Episode(f"{i}", "do it", 20.0, {"exterior": images}, state, action, phase=phase))
    value = Demonstrations("two", "", (), tuple(episodes))
    store = Store(tmp_path)
    return store, store.save("demonstrations", value), value


def test_weights_are_shares_of_the_variance_over_the_frames_that_count(
    stored: tuple[Store, str, Demonstrations],
) -> None:
    store, one, value = stored
    whole = pipeline.spread(store, demonstrations_id=one, preset="paper")
    action = np.concatenate([episode.action for episode in value.episodes]).astype(float)
    assert whole.names == ACTION_NAMES and whole.apart == ()
    np.testing.assert_allclose(whole.shares, action.var(0) / action.var(0).sum(), rtol=1e-6)
    assert (whole.frames, whole.counted) == (2 * FRAMES, 2 * FRAMES)
    assert whole.keyframes == sum(int(marked.sum()) for marked in keyframes.of_demonstrations(value))
    late = pipeline.spread(store, demonstrations_id=one, preset="paper", phase="grasp")
    assert late.counted == FRAMES
    np.testing.assert_allclose(late.shares, [1, 0, 0, 0, 0, 0, 0], atol=1e-9)  # the gripper is closed throughout
    marked = np.concatenate(keyframes.of_demonstrations(value))
    only = pipeline.spread(store, demonstrations_id=one, preset="paper", keyframes=True)
    assert only.counted == only.keyframes == marked.sum()
    np.testing.assert_allclose(only.shares, action[marked].var(0) / action[marked].var(0).sum(), rtol=1e-6)


def test_other_targets_have_their_own_dimensions(stored: tuple[Store, str, Demonstrations]) -> None:
    store, one, _ = stored
    strict = pipeline.spread(store, demonstrations_id=one)
    assert strict.names == ACTION_NAMES[:-1] and strict.apart == ("gripper",)
    np.testing.assert_allclose(strict.shares, [1, 0, 0, 0, 0, 0])  # constants have no variance to explain
    chunk = pipeline.spread(store, demonstrations_id=one, target="chunk", steps=3)
    assert chunk.names == strict.names and chunk.apart == ("gripper",), "the steps of a chunk are one dimension"
    state = pipeline.spread(store, demonstrations_id=one, target="state")
    np.testing.assert_allclose(state.shares, np.full(8, 1 / 8))
    assert pipeline.spread(store, demonstrations_id=one, target="gripper").names == ("closed",)
    nothing = targets.Target("", np.zeros((4, 2)), ("a", "b"), (0, 1))
    assert targets.shares(nothing, np.ones(4, bool))[1].tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            (1961, 80, 1961, False, "whole", ("a", "b", "c", "d", "gripper"), (0.1, 0.06, 0.04, 0.01, 0.79)),
            "All 1,961 frames count, 80 of them keyframes (4 %); of the variance to explain, gripper is 79 %, a 10 %, "
            "b 6 % and the other 2 together 5 %.",
        ),
        (
            (100, 20, 20, True, "whole", ("delta_x", "gripper"), (0.003, 0.997)),
            "Of 100 frames the 20 keyframes count (20 %); of the variance to explain, gripper is 100 % and delta x "
            "under 1 %.",
        ),
        (
            (100, 20, 7, True, "grasp", ("closed",), (1.0,)),
            "Of 100 frames the 7 keyframes of the grasp count, of 20 in all (20 %); the target is a single number.",
        ),
        (
            (100, 20, 30, False, "grasp", ("a", "b"), (0.5, 0.5)),
            "Of 100 frames, 20 of them keyframes (20 %), the 30 of the grasp count; the 2 dimensions weigh alike, 50 % "
            "of the variance each.",
        ),
    ],
    ids=("whole", "keyframes", "keyframes of a phase", "phase"),
)
def test_the_sentence(given: tuple[object, ...], words: str) -> None:
    *rest, shares = given
    assert spread_words(Spread(*rest, np.array(shares))).replace("\u00a0", " ") == words  # type: ignore[arg-type]


def test_what_is_left_out_is_said() -> None:
    said = spread_words(Spread(4, 1, 4, False, "whole", ("a", "b"), np.array([0.5, 0.5]), ("gripper",)))
    assert said.endswith("each; gripper is not part of it.")
