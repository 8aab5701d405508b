"""The health report finds what was broken on purpose, and only that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from steering.demonstrations.guessing import guess
from steering.demonstrations.health import HealthReport, examine, exit_code, report_text
from steering.demonstrations.mapping import Camera
from steering.demonstrations.offsets import action_offset
from steering.demonstrations.readers.registry import open_dataset
from steering.demonstrations.statistics import PolicyStatistics
from steering.types import Episode


def examined(files: ModuleType, tmp_path: Path, truth: list, policy: PolicyStatistics | None = None) -> HealthReport:
    path = files.npz(tmp_path / "set.npz", truth, compressed=False)
    with open_dataset(path) as dataset:
        return examine(dataset, guess(dataset), policy=policy)


def kinds(report: HealthReport) -> set[str]:
    return {problem.kind for problem in report.problems}


def changed(one: Any, **arrays: Any) -> Any:
    return replace(one, **arrays)


def test_a_sound_dataset_has_no_problems(files: ModuleType, tmp_path: Path) -> None:
    truth = files.episodes(6)
    report = examined(files, tmp_path, truth)
    assert report.problems == () and report.usable == "yes" and exit_code(report.document()) == 0
    assert (report.episodes, report.frames, report.rate_hz) == (6, sum(len(t.state) for t in truth), 20.0)
    assert report.cameras == {"exterior": (24, 32), "wrist": (24, 32)}
    assert (report.state_dims, report.action_dims, report.instructions) == (8, 7, (files.INSTRUCTION,))
    assert "no problems found" in report_text(report.document())


def nan(t: list) -> list:
    state = t[2].state.copy()
    state[4, 1] = np.nan
    return [*t[:2], changed(t[2], state=state), *t[3:]]


def frozen(t: list) -> list:
    action = t[1].action.copy()
    action[3:] = action[3]
    return [t[0], changed(t[1], action=action), *t[2:]]


def all_frozen(t: list) -> list:
    return [changed(one, action=np.ones_like(one.action)) for one in t]


def clipped(t: list) -> list:
    return [changed(one, action=np.clip(one.action, -0.2, 1)) for one in t]


def duplicated(t: list) -> list:
    return [*t, t[1]]


def one_upside_down(t: list) -> list:
    cameras = t[3].cameras | {"exterior": np.ascontiguousarray(t[3].cameras["exterior"][:, ::-1])}
    return [*t[:3], changed(t[3], cameras=cameras), *t[4:]]


def black(t: list) -> list:
    return [changed(one, cameras=one.cameras | {"wrist": np.zeros_like(one.cameras["wrist"])}) for one in t]


def frozen_camera(t: list) -> list:
    still = np.repeat(t[2].cameras["wrist"][:1], len(t[2].state), axis=0)
    return [*t[:2], changed(t[2], cameras=t[2].cameras | {"wrist": still}), *t[3:]]


def no_wrist(t: list) -> list:
    return [changed(one, cameras={"exterior": one.cameras["exterior"]}) for one in t]


def same_camera(t: list) -> list:
    return [changed(one, cameras=dict.fromkeys(one.cameras, one.cameras["exterior"])) for one in t]


def few(t: list) -> list:
    return t[:3]


def one_only(t: list) -> list:
    return t[:1]


def late(t: list) -> list:
    """The action of every frame is that of the frame before."""
    shifted = [np.concatenate([one.action[:1], one.action[:1], one.action[:-2]]) for one in t]
    return [changed(one, action=action) for one, action in zip(t, shifted, strict=True)]


def absolute(t: list) -> list:
    """Actions are the joint positions of the next frame."""
    found = []
    for one in t:
        target = np.concatenate([one.state[1:, :6], one.state[-1:, :6]])
        found.append(changed(one, action=np.column_stack([target, one.action[:, 6]]).astype(np.float32)))
    return found


def still_gripper(t: list) -> list:
    return [changed(one, action=np.column_stack([one.action[:, :6], np.ones(len(one.action))])) for one in t]


BROKEN: dict[Callable[[list], list], tuple[str, str, tuple[int, ...]]] = {
    nan: ("nan", "warning", (2,)),
    frozen: ("frozen_actions", "warning", (1,)),
    all_frozen: ("frozen_actions", "error", ()),
    clipped: ("clipped_actions", "warning", ()),
    duplicated: ("duplicates", "warning", (6,)),
    one_upside_down: ("rotation", "warning", (3,)),
    black: ("black_camera", "warning", (0, 1, 2, 3, 4, 5)),
    frozen_camera: ("frozen_camera", "warning", (2,)),
    no_wrist: ("missing_camera", "warning", ()),
    same_camera: ("same_camera", "warning", ()),
    few: ("few_episodes", "warning", ()),
    one_only: ("one_episode", "warning", ()),
    late: ("offset", "warning", ()),
    absolute: ("absolute_actions", "note", ()),
    still_gripper: ("still_gripper", "warning", ()),
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda function: function.__name__)
def test_what_was_broken_is_found(broken: Callable[[list], list], files: ModuleType, tmp_path: Path) -> None:
    kind, severity, episodes = BROKEN[broken]
    report = examined(files, tmp_path, broken(files.episodes(6)))
    found = [problem for problem in report.problems if problem.kind == kind]
    assert [(problem.severity, problem.episodes) for problem in found] == [(severity, episodes)], report.problems
    assert all(problem.words.endswith((".", "?")) and problem.meaning for problem in report.problems)
    expected = {"note": "yes", "warning": "with problems", "error": "no"}[severity]
    assert report.usable == expected
    others = kinds(report) - {kind, "still_dimensions", "frozen_actions"}
    assert not others, f"nothing else is wrong, but {others}"


def test_instructions_and_rates_that_are_missing_or_mixed(files: ModuleType, tmp_path: Path) -> None:
    truth = files.episodes(6)
    arrays: dict[str, np.ndarray] = {}
    for index, one in enumerate(truth):
        arrays |= {f"{index}/action": one.action, f"{index}/state": one.state}
        arrays |= {f"{index}/image.{camera}": images for camera, images in one.cameras.items()}
        arrays[f"{index}/rate_hz"] = np.array(10 if index == 2 else 20)
        if index:
            arrays[f"{index}/instruction"] = np.array("one thing" if index < 4 else "another thing")
    np.savez(tmp_path / "set.npz", **arrays)
    with open_dataset(tmp_path / "set.npz") as dataset:
        report = examine(dataset, guess(dataset))
    assert kinds(report) == {"instruction_gaps", "several_tasks", "mixed_rates"}
    assert report.rate_hz is None
    assert next(p for p in report.problems if p.kind == "instruction_gaps").episodes == (0,)


def test_libero_that_is_not_turned_is_suspected(files: ModuleType, tmp_path: Path) -> None:
    with open_dataset(files.libero(tmp_path / "set.hdf5", files.episodes(6))) as dataset:
        guessed = guess(dataset)
        assert "rotation" not in kinds(examine(dataset, guessed))
        upright = {role: Camera(camera.feature) for role, camera in guessed.mapping.cameras.items()}
        unturned = replace(guessed, mapping=replace(guessed.mapping, cameras=upright))
        assert "rotation" in kinds(examine(dataset, unturned))


def test_a_policy_s_normalisation_is_held_against_the_data(files: ModuleType, tmp_path: Path) -> None:
    truth = files.episodes(6)
    state, action = (np.concatenate([getattr(t, name) for t in truth]) for name in ("state", "action"))
    fitting = PolicyStatistics(state.mean(0), state.std(0), action.mean(0), action.std(0))
    assert examined(files, tmp_path, truth, fitting).problems == ()
    far = replace(fitting, state_mean=state.mean(0) + np.eye(8)[3] * 50)
    problem = next(p for p in examined(files, tmp_path, truth, far).problems if p.kind == "normalisation")
    assert "state dimension 3 lies far" in problem.words
    other = replace(fitting, actions_mean=np.zeros(4), actions_std=np.ones(4))
    assert "normalises 4 action dimensions" in examined(files, tmp_path, truth, other).problems[0].words


def test_a_damaged_episode_is_a_warning_and_the_rest_is_examined(files: ModuleType, tmp_path: Path) -> None:
    folder = files.lerobot_v2(tmp_path / "set", files.episodes(6))
    (folder / "data/chunk-000/episode_000004.parquet").write_bytes(b"PAR1")
    with open_dataset(folder) as dataset:
        report = examine(dataset, guess(dataset))
    assert [(p.kind, p.severity, p.episodes) for p in report.problems] == [("unreadable", "warning", (4,))]
    assert report.examined == 5


@pytest.mark.parametrize("delay", (-2, -1, 0, 1, 3))
def test_the_offset_between_action_and_motion_is_measured(delay: int) -> None:
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((5, 5))
    episodes = []
    for _ in range(4):
        command = rng.standard_normal((90, 5))
        motion = np.roll(command, delay, axis=0) @ mixing
        state = np.cumsum(np.concatenate([np.zeros((1, 5)), motion[:-1]]), axis=0)
        episodes.append(Episode("e", "", 20.0, {}, state[5:-5].astype(np.float32), command[5:-5].astype(np.float32)))
    found = action_offset(episodes)
    assert found is not None and found.frames == delay and found.explained > 0.99


def test_noise_has_no_offset() -> None:
    rng = np.random.default_rng(0)
    state, action = (rng.standard_normal((300, 6)).astype(np.float32) for _ in range(2))
    assert action_offset([Episode("e", "", 20.0, {}, state, action)]) is None


def test_too_few_frames_for_the_largest_k_are_said(files: ModuleType, tmp_path: Path) -> None:
    assert "few_frames" in kinds(examined(files, tmp_path, files.episodes(3, frames=15)))  # 15 + 16 are left
    assert "few_frames" not in kinds(examined(files, tmp_path, files.episodes(3, frames=20)))


def test_more_dimensions_than_the_policy_takes_are_said(files: ModuleType, tmp_path: Path) -> None:
    numbers = (np.zeros(8), np.ones(8), np.zeros(7), np.ones(7))
    fits, small = PolicyStatistics(*numbers, 8, 7), PolicyStatistics(*numbers, 7, 7)
    assert "too_many_dims" not in kinds(examined(files, tmp_path, files.episodes(6), fits))
    assert "too_many_dims" in kinds(examined(files, tmp_path, files.episodes(6), small))
