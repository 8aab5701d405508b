"""Presets, head sets, planted signals, baselines, the ridge probe and keyframes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor

from steering.errors import InputError, NotFound
from steering.metrics import PRESETS
from steering.progress import Progress
from steering.relevance import knn
from steering.relevance.baselines import BASELINES, mean_errors
from steering.relevance.keyframes import keyframes, of_demonstrations, take
from steering.relevance.regression import frame_errors
from steering.relevance.ridge import PENALTY, ridge_frame_errors
from steering.relevance.scoring import prepare, rescore, score
from steering.relevance.targets import standardise
from steering.selection.rules import top_k
from steering.types import PAPER_SET_SIZE, Demonstrations, Episode, Head, HeadShape, Robot

KS = (3, 6, 10)


def planted(build):
    """A smooth action that is partly a function of the clock and partly of what only a camera shows.

    VLM head 1.2 carries the whole action, VLM head 0.3 and the state only the clock, the rest nothing.
    """
    generator = np.random.default_rng(3)
    lengths = (30,) * 8
    a = build(lengths, seed=4)
    clock = a.time_in_episode
    seen = np.repeat(generator.uniform(-1, 1, len(lengths)), lengths)  # the place of the thing: one per episode
    action = np.zeros((len(clock), 7), np.float32)
    action[:, 0] = 0.4 * seen * np.cos(3 * clock)
    action[:, 1] = 0.4 * seen * np.sin(3 * clock)
    action[:, 6] = np.where(clock > 0.5, 1, -1)  # the gripper, large and known to the clock
    outputs = a.outputs.copy()
    turn = np.stack([np.cos(3 * clock), np.sin(3 * clock)], 1)
    outputs[:, 0, 1, 2] = np.column_stack([5 * action[:, :2], action[:, 6:], np.ones(len(clock)), turn])
    outputs[:, 0, 0, 3] = np.column_stack([turn, turn * 0, turn * 0])
    state = np.zeros_like(a.state)
    state[:, 0] = clock
    return replace(a, outputs=outputs, action=action, state=state)


def test_the_head_that_carries_the_action_ranks_first_under_both_presets(build):
    a = planted(build)
    for preset in ("paper", "default"):
        best = np.unravel_index(score(a, preset, KS).score.argmax(), (2, 3, 4))
        assert tuple(best) == (0, 1, 2)


def test_a_head_that_only_knows_the_clock_is_demoted_by_the_default_preset(build):
    a = planted(build)
    paper, default = score(a, "paper", KS), score(a, "default", KS)
    clock = (0, 0, 3)
    assert paper.score[clock] > 0.6  # looks relevant beside the mean action
    assert np.sum(paper.score > paper.score[clock]) == 1  # second of all heads
    assert default.score[clock] < 0.05  # adds nothing beside state and time
    assert default.score[0, 1, 2] > 0.5


def test_scores_follow_from_error_and_baseline(build):
    a = planted(build)
    r = score(a, "paper", KS)
    for s, stack in enumerate(("vlm", "expert")):
        error = r.error[KS.index(r.best_k[stack]), s]
        np.testing.assert_allclose(r.score[s], 1 - error / r.baselines["mean_action"], rtol=1e-5)
    assert (r.metric, r.preset, r.ks, r.tokens) == ("knn", "paper", KS, a.tokens)
    assert r.error.shape == (3, 2, 3, 4) and set(r.baselines) == {"mean_action", "time", "state", "state_time"}
    with_image = replace(a, image=a.outputs[:, 0, 1, 2])
    assert set(score(with_image, "paper", KS).baselines) == set(BASELINES)


def test_best_k_and_its_error_against_scikit_learn_on_concatenated_heads(build):
    a = build((14, 15, 16, 15), outputs=np.random.default_rng(5).standard_normal((60, 2, 4, 8, 5)).astype(np.float32))
    inert = np.zeros((2, 4, 8), bool)
    inert[0, 3] = True  # 24 VLM heads can move the action
    r = score(replace(a, inert=inert), "paper", KS)
    for s, stack in enumerate(("vlm", "expert")):
        found = []
        for i, k in enumerate(KS):
            error = np.where(inert[s], np.inf, r.error[i, s]).ravel()
            best = np.argsort(error)[:PAPER_SET_SIZE]
            assert not inert[s].ravel()[best].any()
            x = a.outputs[:, s].reshape(60, 32, 5)[:, best].reshape(60, -1).astype(np.float64)
            squared = np.empty(60)
            for one in range(4):
                model = KNeighborsRegressor(k, weights=lambda d: 1 / (d + 1e-8), algorithm="brute", metric="cosine")
                model.fit(x[a.episode != one], a.action[a.episode != one].astype(np.float64))
                predicted = model.predict(x[a.episode == one])
                squared[a.episode == one] = ((predicted - a.action[a.episode == one]) ** 2).mean(1)
            found.append(squared.mean())
        assert r.best_k[stack] == KS[int(np.argmin(found))]
        assert r.cv_mse[stack] == pytest.approx(min(found), abs=1e-5)


def test_the_inert_heads_of_the_activations_are_never_chosen_unless_as_in_the_release(build):
    a = build(inert=HeadShape.pair(3, 4, 6).last_layer("vlm"))
    a.outputs[:, 0, 2, :, :3] += 5 * a.action[:, None, :3]  # the inert heads know the action best
    inert = {Head("vlm", 2, head) for head in range(4)}
    for preset in PRESETS:
        told, release = score(a, preset, KS), score(a, preset, KS, include_inert=True)
        np.testing.assert_array_equal(told.inert, a.inert)
        assert not release.inert.any()
        if told.fold_k.get("vlm") == release.fold_k.get("vlm"):  # k is chosen by the heads that may be chosen
            np.testing.assert_array_equal(told.score[~a.inert], release.score[~a.inert])
        one_k = (score(a, preset, KS[:1], include_inert=with_inert).score for with_inert in (False, True))
        np.testing.assert_array_equal(*(found[~a.inert] for found in one_k))
        assert not inert & set(top_k(told, 8).heads)
        assert set(top_k(release, 4).heads) == inert
        with pytest.raises(InputError, match="at most 8"):
            top_k(told, 9)
        assert release.cv_mse["vlm"] < told.cv_mse["vlm"]
    neighbours = prepare(a)
    assert not inert & set(top_k(rescore(a, neighbours, k=3), 8).heads)
    assert set(top_k(rescore(a, neighbours, k=3, include_inert=True), 4).heads) == inert


def test_default_preset_does_not_depend_on_the_units_of_an_action_dimension(build):
    a = planted(build)
    other = replace(a, action=a.action * np.array([100, 1, 1, 1, 1, 1, 0.1], np.float32) + 3)
    np.testing.assert_allclose(score(a, "default", KS).score, score(other, "default", KS).score, atol=1e-3)
    assert np.abs(score(a, "paper", KS).score - score(other, "paper", KS).score).max() > 0.1


def test_mean_action_and_time_baselines_by_hand(build):
    a = build()
    errors = score(a, "paper", (5,)).baselines
    mean, clock = [], []
    for row in range(len(a.episode)):
        memory = np.flatnonzero(a.episode != a.episode[row])
        mean.append(((a.action[memory].mean(0) - a.action[row]) ** 2).mean())
        distance = np.abs(
            standardise(a.time_in_episode[:, None])[memory, 0] - standardise(a.time_in_episode[:, None])[row]
        )
        near = np.argsort(distance, kind="stable")[:5]
        predicted = np.average(a.action[memory[near]], axis=0, weights=1 / (distance[near] + 1e-8))
        clock.append(((predicted - a.action[row]) ** 2).mean())
    assert errors["mean_action"] == pytest.approx(np.mean(mean), abs=1e-6)
    assert errors["time"] == pytest.approx(np.mean(clock), abs=1e-5)


def test_baselines_take_the_best_k(build):
    a = planted(build)
    each = [score(a, "paper", (k,)).baselines["state_time"] for k in KS]
    assert score(a, "paper", KS).baselines["state_time"] == pytest.approx(min(each))
    assert len(set(each)) == 3


def test_standardise_drops_constants_and_keeps_shape():
    x = np.array([[1, 0.1, 5], [1, 0.1, 7], [1, 0.1, 9]], np.float32)
    z = standardise(x)
    np.testing.assert_allclose(z[:, :2], 0)
    np.testing.assert_allclose(z[:, 2], [-np.sqrt(1.5), 0, np.sqrt(1.5)])


def test_nearest_frames_are_what_the_score_rests_on(build):
    a = build()
    head = Head("expert", 2, 1)
    [rows], [distance] = knn.nearest_frames(a, head, [17], 6)
    assert (a.episode[rows] != a.episode[17]).all() and (np.diff(distance) >= 0).all()
    predicted = np.average(a.action[rows], axis=0, weights=1 / (distance + 1e-8))
    error = knn.errors_of(a.outputs[:, 1, 2, 1][:, None], a.action, a.episode, a.frame, (6,))[0, 0, 17]
    assert ((predicted - a.action[17]) ** 2).mean() == pytest.approx(error, abs=1e-6)
    for bad in (lambda: knn.nearest_frames(a, head, [0, 54]), lambda: knn.nearest_frames(a, head, [0], 43)):
        with pytest.raises(InputError):
            bad()


@pytest.mark.parametrize("lengths", [(12, 15, 14, 13), (80,)])
def test_ridge_equals_scikit_learn(build, lengths):
    a = build(lengths)
    features = a.outputs.reshape(len(a.outputs), -1, 6) + 10
    ours = ridge_frame_errors(features, a.action, a.episode, a.frame)
    for head in (0, 17):
        x = features[:, head].astype(np.float64)
        for row in (0, 20, 33, len(x) - 1):
            single = len(lengths) == 1
            memory = np.abs(a.frame - a.frame[row]) > 30 if single else a.episode != a.episode[row]
            penalty = PENALTY * x[memory].var(0).mean() * memory.sum()
            model = Ridge(penalty).fit(x[memory], a.action[memory].astype(np.float64))
            expected = ((model.predict(x[row : row + 1])[0] - a.action[row]) ** 2).mean()
            assert ours[head, row].mean() == pytest.approx(expected, abs=1e-5)


def test_ridge_metric_finds_the_planted_head_and_has_no_k(build):
    r = score(planted(build), "default", KS, metric="ridge")
    assert np.unravel_index(r.score.argmax(), r.score.shape) == (0, 1, 2)
    assert r.ks == () and not r.best_k and r.error.shape == (1, 2, 3, 4) and set(r.cv_mse) == {"vlm", "expert"}


def test_progress_rises_to_one(build):
    seen = []
    score(build(), ks=KS, progress=Progress(sink=lambda report: seen.append(report.fraction)))
    assert seen == sorted(seen) and seen[-1] == 1


def test_the_strict_score_is_asked_where_it_can_be(build):
    a = build()
    without = replace(a, state=a.state[:, :0])
    two = build((12, 12))
    assert [score(one, ks=(2,)).preset for one in (a, without, two)] == ["default", "paper", "paper"]


def test_unknown_names_and_wrong_masks_are_errors(build):
    a = build()
    with pytest.raises(NotFound, match="Did you mean 'paper'"):
        score(a, "papr")
    with pytest.raises(NotFound, match="metric"):
        score(a, metric="kmn")
    with pytest.raises(InputError, match="inert"):
        score(replace(a, inert=np.zeros((2, 3), bool)), ks=KS)
    with pytest.raises(InputError, match="Every head is marked inert"):
        score(replace(a, inert=np.ones((2, 3, 4), bool)), ks=KS)
    with pytest.raises(InputError, match="constant"):
        score(replace(a, action=np.ones_like(a.action)), ks=KS)


def test_keyframes_mark_gripper_changes_still_frames_and_both_ends(build):
    a = build((8, 6))
    joints = np.zeros((14, 8), np.float32)
    joints[:, 0] = np.arange(14) * 0.1  # 0.1 rad a frame: 2 rad/s at 20 Hz
    joints[4, 0] = joints[3, 0] + 0.001  # 0.02 rad/s into frame 4
    action = np.zeros((14, 7), np.float32)
    action[10:, 6] = 1
    a = replace(a, state=joints, action=action)
    marked = keyframes(a, rate_hz=20)
    np.testing.assert_array_equal(np.flatnonzero(marked), [0, 4, 7, 8, 10, 13])
    kept = take(a, marked)
    np.testing.assert_array_equal(kept.frame, [0, 4, 7, 0, 2, 5])
    np.testing.assert_array_equal(kept.outputs, a.outputs[marked])
    assert keyframes(a, rate_hz=20, still_rad_s=5).all()


def test_keyframes_use_elapsed_frames(build):
    a = build((5,), frame=np.array([0, 2, 4, 6, 8], np.int32))
    state = np.zeros((5, 8), np.float32)
    state[:, 1] = np.arange(5) * 0.002  # 0.02 rad/s at 20 Hz over two frames, 0.04 over one
    a = replace(a, state=state, action=np.zeros((5, 7), np.float32))
    assert keyframes(a, rate_hz=20).all()
    assert not keyframes(a, rate_hz=60)[1:4].any()


def test_keyframes_of_two_arms_are_of_both(build):
    a = build((8, 6))
    state, action = np.zeros((14, 14), np.float32), np.zeros((14, 14), np.float32)
    state[:, 9] = np.arange(14) * 0.1  # the second arm moves, the first rests
    state[:, 13] = np.arange(14) % 2  # a gripper is no joint
    state[4, 9] = state[3, 9] + 0.001
    action[10:, 6], action[6:8, 13] = 1, 0.05  # of ranges of their own
    a = replace(a, state=state, action=action)
    np.testing.assert_array_equal(np.flatnonzero(keyframes(a, rate_hz=20)), [0, 4, 6, 7, 8, 10, 13])


def test_keyframes_of_recorded_and_of_captured_frames_are_the_same(build):
    a = build((8, 6))
    cameras = {"exterior": np.zeros((8, 4, 4, 3), np.uint8)}
    rows = [a.episode == e for e in range(2)]
    made = tuple(Episode("one", "wait", 20.0, cameras, a.state[one], a.action[one]) for one in rows)
    found = of_demonstrations(Demonstrations("set", "", (), made))
    np.testing.assert_array_equal(np.concatenate(found), keyframes(a, rate_hz=20))


def test_keyframes_of_sixteen_columns_are_of_two_arms_of_seven_joints(build):
    a = build((8, 6))
    state, action = np.zeros((14, 16), np.float32), np.zeros((14, 16), np.float32)
    state[:, 12] = np.arange(14) * 0.1  # the second arm moves, the first rests
    state[:, [7, 15]] = np.arange(14)[:, None] % 2  # grippers are no joints
    state[4, 12] = state[3, 12] + 0.001
    action[10:, 7] = 1
    a = replace(a, state=state, action=action)
    np.testing.assert_array_equal(np.flatnonzero(keyframes(a, rate_hz=20)), [0, 4, 7, 8, 10, 13])


def test_keyframes_go_by_the_roles_of_the_columns(build):
    a = build((8, 6))
    state, action = np.zeros((14, 3), np.float32), np.zeros((14, 4), np.float32)
    state[:, 1] = np.arange(14) * 0.1
    state[:, 0] = -state[:, 1] * 9  # no arm's
    action[3:, 0], action[:, 3] = 1, np.arange(14) % 2
    robot = Robot(state_roles=("other", "joint", "gripper"), action_roles=("gripper", "other", "other", "other"))
    a = replace(a, state=state, action=action, robot=robot)
    np.testing.assert_array_equal(np.flatnonzero(keyframes(a, rate_hz=20)), [0, 3, 7, 8, 13])


def test_poses_are_still_by_their_change_a_frame_whatever_the_rate(build):
    a = build((5,), frame=np.array([0, 1, 2, 4, 6], np.int32))
    state = np.zeros((5, 8), np.float32)
    state[:, 0] = [0, 0.04, 0.1, 0.19, 0.30]  # .04, .06 a frame, then .045 and .055 over two
    roles = ("pose",) * 6 + ("gripper",) * 2
    a = replace(a, state=state, action=np.zeros((5, 7), np.float32), robot=Robot(state_roles=roles))
    for rate_hz in (5, 20):
        np.testing.assert_array_equal(np.flatnonzero(keyframes(a, rate_hz=rate_hz)), [0, 1, 3, 4])


def test_joints_in_degrees_are_still_at_the_same_speed(build):
    a = build((6,))
    state = np.zeros((6, 6), np.float32)
    state[:, 0] = 90 + np.array([0, 1, 2, 2.05, 3, 4])  # 20 degrees a second; into frame 3 one
    a = replace(a, state=state, action=np.zeros((6, 6), np.float32))
    np.testing.assert_array_equal(np.flatnonzero(keyframes(a, rate_hz=20)), [0, 3, 5])
    np.testing.assert_array_equal(keyframes(replace(a, state=np.deg2rad(state)), rate_hz=20), keyframes(a, rate_hz=20))


def test_neighbours_of_other_activations_are_refused(build):
    a, other = build((12, 15, 14, 13)), build((15, 12, 14, 13))
    half = replace(a, outputs=a.outputs[:, :, :2], inert=a.inert[:, :2], stacks=())
    shifted = replace(a, frame=a.frame + 1)
    for one in (other, half, shifted):
        with pytest.raises(InputError, match="other activations"):
            score(a, "paper", (3,), neighbours=prepare(one))


def test_a_probes_error_is_over_the_frames_that_count(build):
    a = build((12, 15, 14))
    counted = np.random.default_rng(0).random(41) > 0.5
    found = score(a, "paper", (3,), metric="ridge", counted=counted)
    errors = ridge_frame_errors(a.outputs.reshape(41, -1, 6), a.action, a.episode, a.frame)
    np.testing.assert_allclose(found.error[0].ravel(), errors[:, counted].mean((1, 2)), rtol=1e-5)
    zero = found.baselines["mean_action"]
    np.testing.assert_allclose(found.score, 1 - found.error[0] / zero, rtol=1e-4)
    for dim in (0, 6):
        expected = 1 - errors[:, counted, dim].sum(1) / mean_errors(a.action, a.episode, a.frame, counted)[:, dim].sum()
        np.testing.assert_allclose(found.dimension_r2[dim].ravel(), expected, rtol=1e-4)


def test_baselines_are_over_the_frames_that_count(build):
    a = build((12, 15, 14))
    counted = np.random.default_rng(1).random(41) > 0.4
    found = score(a, "paper", (3, 5), counted=counted).baselines
    errors = frame_errors(prepare(a), a.action, (3, 5))[:, 24:, counted].mean(2)  # [k, time state state_time]
    assert found["time"] == pytest.approx(errors[:, 0].min(), rel=1e-5)
    assert found["state"] == pytest.approx(errors[:, 1].min(), rel=1e-5)
    assert found["state_time"] <= errors.min() * (1 + 1e-6)  # the best of the three, and of the smoothers
