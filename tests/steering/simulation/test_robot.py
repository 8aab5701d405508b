"""The arm against the published Denavit-Hartenberg table, and its inverse kinematics."""

import mujoco
import numpy as np
import pytest

from steering.simulation.robot import (
    DOWN,
    HOME_RAD,
    JOINT_HIGH_RAD,
    JOINT_LOW_RAD,
    JOINTS,
    TCP_SITE,
    InverseKinematics,
    rotation_error_rad,
    rotation_matrix,
)
from steering.simulation.scene import WORKSPACE_HIGH_M, WORKSPACE_LOW_M
from steering.simulation.tasks import bench_scene

# Franka's documentation, modified convention: a (m), d (m), alpha (rad) of each joint.
DH = (
    (0.0, 0.333, 0.0),
    (0.0, 0.0, -np.pi / 2),
    (0.0, 0.316, np.pi / 2),
    (0.0825, 0.0, np.pi / 2),
    (-0.0825, 0.384, -np.pi / 2),
    (0.0, 0.0, np.pi / 2),
    (0.088, 0.0, np.pi / 2),
)
FLANGE_M, HAND_TURN_RAD, FINGERTIP_M = 0.107, -np.pi / 4, 0.1034


def link(a: float, d: float, alpha: float, theta: float) -> np.ndarray:
    """Craig's transform from one link's frame to the next: about and along x first, then about and along z."""
    ca, sa, ct, st = np.cos(alpha), np.sin(alpha), np.cos(theta), np.sin(theta)
    return np.array(
        [
            [ct, -st, 0, a],
            [st * ca, ct * ca, -sa, -d * sa],
            [st * sa, ct * sa, ca, d * ca],
            [0, 0, 0, 1],
        ]
    )


def published_tool(joints_rad: np.ndarray) -> np.ndarray:
    pose = np.eye(4)
    for (a, d, alpha), theta in zip(DH, joints_rad, strict=True):
        pose = pose @ link(a, d, alpha, theta)
    return pose @ link(0, FLANGE_M, 0, 0) @ link(0, FINGERTIP_M, 0, HAND_TURN_RAD)


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return bench_scene("press_button", 0).compile()


def tool(model: mujoco.MjModel, joints_rad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    data = mujoco.MjData(model)
    data.qpos[:JOINTS] = joints_rad
    mujoco.mj_kinematics(model, data)
    site = model.site(TCP_SITE).id
    return data.site_xpos[site].copy(), data.site_xmat[site].reshape(3, 3).copy()


def test_kinematics_are_the_published_ones(model: mujoco.MjModel) -> None:
    rng = np.random.default_rng(0)
    for joints in (HOME_RAD, *rng.uniform(JOINT_LOW_RAD, JOINT_HIGH_RAD, (50, JOINTS))):
        position, rotation = tool(model, joints)
        expected = published_tool(joints)
        np.testing.assert_allclose(position, expected[:3, 3], atol=1e-5)
        np.testing.assert_allclose(rotation, expected[:3, :3], atol=1e-5)


def test_inverse_kinematics_reach_the_workspace(model: mujoco.MjModel) -> None:
    rng = np.random.default_rng(1)
    solver = InverseKinematics(model)
    for _ in range(40):
        target = np.append(rng.uniform(WORKSPACE_LOW_M, WORKSPACE_HIGH_M), rng.uniform(0.01, 0.3))
        rotation = rotation_matrix(np.array([0, 0, rng.uniform(-0.7, 0.7)])) @ DOWN
        joints = solver.solve(HOME_RAD, target, rotation, iterations=60)
        assert ((joints > JOINT_LOW_RAD) & (joints < JOINT_HIGH_RAD)).all()
        pose = published_tool(joints)
        assert np.linalg.norm(pose[:3, 3] - target) < 1e-3
        assert np.linalg.norm(rotation_error_rad(rotation, pose[:3, :3])) < 5e-3


def test_rotation_vectors_go_there_and_back() -> None:
    vector = np.array([0.3, -0.5, 0.2])
    np.testing.assert_allclose(rotation_error_rad(rotation_matrix(vector) @ DOWN, DOWN), vector, atol=1e-9)
