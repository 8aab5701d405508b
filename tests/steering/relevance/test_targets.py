"""What is predicted, and the frames that count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from steering.errors import InputError, NotFound
from steering.relevance import phases, targets
from steering.relevance.scoring import prepare, rescore, score
from steering.types import PHASES, Demonstrations, Episode, Robot


def demonstrations_of(a, instructions, places=(), recorded=None):
    episodes = []
    for e in range(len(instructions)):
        rows = a.episode == e
        frames = int(rows.sum())
        truth = {name: np.full((frames, 3), value + e, np.float32) for name, value in places}
        phase = None if recorded is None or recorded[e] is None else np.full(frames, recorded[e], np.int8)
        state, action = a.state[rows], a.action[rows]
        episodes.append(Episode(f"e{e}", instructions[e], 20.0, {}, state, action, phase=phase, ground_truth=truth))
    return Demonstrations("made up", "", (), tuple(episodes))


def test_the_action_is_raw_under_the_paper_preset_and_normalised_else(build):
    a = build()
    paper, default = targets.named("action", a, preset="paper"), targets.named("action", a)
    np.testing.assert_array_equal(paper.values, a.action)
    assert paper.scored == tuple(range(7)) and paper.grippers == ()
    np.testing.assert_allclose(default.values.std(0), 1)
    assert default.scored == tuple(range(6)) and default.grippers == (6,) and default.names[6] == "gripper"


def test_the_chunk_leaves_every_gripper_out(build):
    a = build()
    chunk = np.stack([a.action, a.action * 2, a.action * 3], axis=1)
    target = targets.named("chunk", replace(a, chunk=chunk))
    assert target.values.shape == (54, 21) and len(target.scored) == 18
    assert not {6, 13, 20} & set(target.scored) and target.names[20] == "gripper@2"


def test_the_gripper_is_scored_apart_over_its_own_baseline(build):
    a = build()
    outputs = a.outputs.copy()
    outputs[:, 1, 2, 3] = np.column_stack([np.sign(a.action[:, 6])] * 3 + [np.ones(len(outputs))] * 3)
    a = replace(a, outputs=outputs)
    r = score(a, "default", (5,))
    assert np.unravel_index(r.gripper.argmax(), r.gripper.shape) == (1, 2, 3) and r.gripper.max() > 0.15
    assert r.score[1, 2, 3] < 0.2
    assert r.dimension_r2.shape == (7, 2, 3, 4) and r.dimension_names[-1] == "gripper"
    assert np.unravel_index(r.dimension_r2[6].argmax(), r.gripper.shape) == (1, 2, 3)


def test_per_dimension_r2_is_explained_variance_over_the_mean(build):
    a = build()
    r = score(a, "paper", (6,))
    errors = np.zeros(7)
    for row in range(54):
        memory = np.flatnonzero(a.episode != a.episode[row])
        errors += (a.action[memory].astype(float).mean(0) - a.action[row]) ** 2
    np.testing.assert_allclose(r.baselines["mean_action"], errors.mean() / 54, rtol=1e-6)
    total = ((1 - r.dimension_r2.astype(float)) * errors[:, None, None, None] / 54).mean(0)
    np.testing.assert_allclose(total, r.error[0], rtol=1e-5)


def test_state_is_judged_beside_the_clock_not_beside_itself(build):
    a = build()
    outputs = a.outputs.copy()
    outputs[:, 0, 1, 1] = a.state[:, :6]
    a = replace(a, outputs=outputs)
    r = rescore(a, prepare(a), k=5, target=targets.named("state", a))
    assert np.unravel_index(r.score.argmax(), r.score.shape) == (0, 1, 1) and r.score.max() > 0.1
    assert r.score[0, 1, 1] == pytest.approx(1 - r.error[0, 0, 1, 1] / r.baselines["time"], abs=1e-6)


def test_the_object_is_the_first_thing_that_the_instruction_names(build):
    a = build()
    told = ["Put the red cube in the bowl", "put the bowl on the red cube"] * 2
    target = targets.named("object", a, demonstrations=demonstrations_of(a, told, (("bowl", 10.0), ("red_cube", 0.0))))
    raw = np.array([0, 11, 2, 13])[a.episode]
    np.testing.assert_allclose(target.values[:, 0], (raw - raw.mean()) / raw.std(), atol=1e-6)
    with pytest.raises(InputError, match="do not say where"):
        targets.named("object", a, demonstrations=demonstrations_of(a, told))
    with pytest.raises(InputError, match="not at hand"):
        targets.named("object", a)


def test_the_instruction_is_told_by_the_votes_of_neighbours(build):
    a = build((12, 12, 12, 12))
    outputs = a.outputs.copy()
    outputs[:, 0, 2, 0] += 8 * np.where(a.episode % 2, 1, -1)[:, None]
    a = replace(a, outputs=outputs)
    target = targets.named("instruction", a, demonstrations=demonstrations_of(a, ["lift", "push"] * 2))
    r = rescore(a, prepare(a), k=5, preset="paper", target=target)
    assert np.unravel_index(r.score.argmax(), r.score.shape) == (0, 2, 0) and r.score.max() > 0.95
    with pytest.raises(InputError, match="one instruction"):
        targets.named("instruction", a, demonstrations=demonstrations_of(a, ["lift"] * 4))


def test_unknown_targets_and_phases_list_the_choices(build):
    a = build()
    with pytest.raises(NotFound, match="Did you mean 'action'"):
        targets.named("actoin", a)
    with pytest.raises(NotFound, match="whole"):
        phases.frames_of("wholly", np.zeros(3))
    with pytest.raises(InputError, match="No frame"):
        phases.frames_of("release", np.zeros(3))


def test_phases_are_read_off_gripper_and_speed(build):
    a = build((20, 6))
    speed = np.array([9, 9, 9, 9, 1, 1, 1, 1, 9, 9, 9, 9, 9, 1, 1, 1, 9, 9, 9, 9] + [9] * 6, float)
    state = np.zeros((26, 8), np.float32)
    state[:, 2] = np.concatenate([np.cumsum(speed[:20]), np.cumsum(speed[20:])])
    action = np.full((26, 7), -1, np.float32)
    action[6:15, 6] = 1  # closes at 6, opens at 15
    found = phases.infer(replace(a, state=state, action=action))
    expected = ["approach"] * 4 + ["grasp"] * 4 + ["transport"] * 5 + ["release"] * 7 + ["approach"] * 6
    assert [PHASES[p] for p in found] == expected


def test_phases_and_gripper_of_two_arms_are_of_both(build):
    a = build((20,))
    state, action = np.zeros((20, 16), np.float32), np.full((20, 16), -1, np.float32)
    speed = np.array([9, 9, 9, 9, 1, 1, 1, 1, 9, 9, 9, 9, 9, 1, 1, 1, 9, 9, 9, 9], float)
    state[:, 9], state[:, 7] = np.cumsum(speed), np.arange(20) * 100  # the second arm moves; a gripper is no joint
    action[6:15, 7] = 1  # the first arm's closes at 6 and opens at 15; the other's never does
    a = replace(a, state=state, action=action)
    expected = ["approach"] * 4 + ["grasp"] * 4 + ["transport"] * 5 + ["release"] * 7
    assert [PHASES[p] for p in phases.infer(a)] == expected
    target = targets.named("gripper", a)
    np.testing.assert_array_equal(target.values, action[:, [7, 15]] > 0)
    assert target.names == ("action_8 closed", "action_16 closed")
    apart = targets.named("action", a)
    assert apart.grippers == (7, 15) and set(apart.scored) == set(range(16)) - {7, 15}
    assert not {i % 16 for i in targets.named("chunk", replace(a, chunk=action[:, None])).scored} & {7, 15}


def test_recorded_phases_come_first(build):
    a = build()
    found = phases.phases_of(a, demonstrations_of(a, ["x"] * 4, recorded=[2, None, 3, None]))
    inferred = phases.infer(a)
    assert (found[a.episode == 0] == 2).all() and (found[a.episode == 2] == 3).all()
    np.testing.assert_array_equal(found[a.episode == 1], inferred[a.episode == 1])


def test_errors_of_the_phases_add_up_to_that_of_the_whole(build):
    a = build()
    neighbours, whole = prepare(a), score(a, "paper", (5,))
    labels = np.arange(54) % 4
    parts = [
        rescore(a, neighbours, k=5, preset="paper", counted=labels == p, phase=PHASES[p]).error * np.sum(labels == p)
        for p in range(4)
    ]
    np.testing.assert_allclose(np.sum(parts, axis=0) / 54, whole.error, rtol=1e-5)


def test_the_instruction_of_a_frame_is_what_a_head_may_tell(build):
    a = build()
    one = demonstrations_of(a, ["pick", "pick", "pick", "pick"])
    frames = int((a.episode == 0).sum())
    changing = replace(one.episodes[0], instructions=("pick", "place"), told=(np.arange(frames) >= 5).astype(np.int16))
    target = targets.named("instruction", a, demonstrations=replace(one, episodes=(changing, *one.episodes[1:])))
    assert target.names == ("pick", "place")
    expected = (a.episode == 0) & (a.frame >= 5)
    np.testing.assert_array_equal(target.values[:, 1], expected)


def test_standardised_features_and_what_counts_as_constant() -> None:
    wide = np.array([[1.0, 5, 0, 1e-9], [3, 5 + 2e-6, 0, 3e-9]])
    np.testing.assert_allclose(targets.standardise(wide), [[-1, 0, 0, -1], [1, 0, 0, 1]])


def test_shares_of_a_chunk_are_added_over_its_steps() -> None:
    values = np.array([[0, 0, 0, 0, 9.0], [2, 2, 4, 0, 9]])
    target = targets.Target("", values, ("x@0", "y@0", "x@1", "y@1", "g@0"), (0, 1, 2, 3))
    names, found, apart = targets.shares(target, np.ones(2, bool))
    assert names == ("x", "y") and apart == ("g",)
    np.testing.assert_allclose(found, [5 / 6, 1 / 6])


def test_a_robot_of_grippers_alone_is_scored_by_them(build) -> None:
    a = build((4, 5), action=np.random.default_rng(0).random((9, 2)).astype(np.float32))
    robot = Robot(state_roles=("other",) * 8, action_roles=("gripper", "gripper"))
    a = replace(a, robot=robot, chunk=np.stack([a.action, a.action], 1))
    found = targets.named("action", a)
    assert found.scored == (0, 1) and found.grippers == () and not found.text.endswith("apart")
    assert targets.named("chunk", a).scored == (0, 1, 2, 3)
