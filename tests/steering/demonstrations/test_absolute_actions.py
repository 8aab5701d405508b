"""Actions that are positions to reach: recognised, kept through import, and repeated past the end by every stage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from steering import pipeline
from steering.activations.capture import capture
from steering.attribution.probe import probe
from steering.demonstrations.guessing import guess
from steering.demonstrations.health import examine
from steering.demonstrations.mapping import Guess, corrected
from steering.demonstrations.readers.registry import open_dataset
from steering.errors import InputError
from steering.finetune.frames import frame_set
from steering.progress import Progress
from steering.store import Store
from steering.types import Demonstrations

pytestmark = pytest.mark.usefixtures("read_here")


def positions(files: ModuleType) -> list:
    """Episodes whose action is the state that follows, as joint targets are."""
    return [replace(one, action=np.concatenate([one.state[1:, :7], one.state[-1:, :7]])) for one in files.episodes(3)]


def test_motions_are_no_positions(files: ModuleType, tmp_path: Path) -> None:
    for path in (files.npz(tmp_path / "a.npz"), files.libero(tmp_path / "b"), files.lerobot_v3(tmp_path / "c")):
        with open_dataset(path) as dataset:
            assert not guess(dataset).mapping.absolute_actions


def test_aloha_s_layout_says_positions(files: ModuleType, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    made = pipeline.import_demonstrations(store, path=files.aloha(tmp_path / "episode.hdf5"))
    first = store.load(made).episodes[0]
    assert first.absolute_actions
    again = pipeline.import_demonstrations(store, path=store.folder(made))
    assert store.load(again).episodes[0].absolute_actions, "our own recordings say it themselves"


def test_positions_are_seen_in_the_numbers_and_can_be_corrected(files: ModuleType, tmp_path: Path) -> None:
    path = files.npz(tmp_path / "set.npz", positions(files))
    with open_dataset(path) as dataset:
        guessed = guess(dataset)
        assert guessed.mapping.absolute_actions
        assert any("positions to reach" in reason for reason in guessed.reasons)
        motions = corrected(guessed.mapping, {"absolute_actions": False})
        kinds = {problem.kind: problem.severity for problem in examine(dataset, Guess(motions, ())).problems}
        assert (kinds["absolute_actions"], kinds["action_kind"]) == ("note", "warning")
        assert not dataset.episode(0, motions, cameras=False).absolute_actions
    with pytest.raises(InputError, match="absolute_actions of the mapping should be true or false"):
        corrected(motions, {"absolute_actions": 1})


def test_every_stage_repeats_the_last_position(policy, demonstrations: Demonstrations) -> None:
    episodes = tuple(replace(episode, absolute_actions=True) for episode in demonstrations.episodes)
    held = replace(demonstrations, episodes=episodes)
    assert held.fingerprint() != demonstrations.fingerprint()
    last = episodes[1].action[-1]
    expected = np.stack([last] * policy.chunk_size)
    captured = capture(policy, held)
    row = np.flatnonzero((captured.episode == 1) & (captured.frame == episodes[1].frames - 1))[0]
    np.testing.assert_array_equal(captured.chunk[row], expected)
    np.testing.assert_array_equal(frame_set(policy, held, [1], Progress(), draws=1).chunk[-1], expected)
    measured = probe(policy, held, frames=len(captured.frame), samples=1)
    np.testing.assert_allclose(
        policy.preprocessor.raw_actions(measured.batch["actions"][row]), expected, atol=1e-5, err_msg="in the probe"
    )
    assert not (capture(policy, demonstrations).chunk[row][1:, :-1]).any(), "motions rest"
