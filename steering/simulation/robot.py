"""The Franka Panda: published kinematics in primitive geoms, and differential inverse kinematics.

Kinematics: Franka's modified Denavit-Hartenberg table; hand turned by −45° about the flange, fingertips 0.1034 m
from the hand. Visual shapes are capsules; only the hand and the fingers collide. Bodies are gravity-compensated,
joints are position-actuated.
"""

from __future__ import annotations

import mujoco
import numpy as np

JOINTS = 7
JOINT_LOW_RAD = np.array([-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973])
JOINT_HIGH_RAD = np.array([2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973])
HOME_RAD = np.array([0.0, -0.35, 0.0, -2.45, 0.0, 2.1, 0.785])
FINGER_OPEN_M = 0.04
"""Travel of one finger; the opening between the fingers is twice that."""

ARM_JOINTS = tuple(f"joint_{i + 1}" for i in range(JOINTS))
TCP_SITE = "tcp"
FINGERS = ("finger_left", "finger_right")

_WHITE = "0.93 0.93 0.94 1"
_DARK = "0.20 0.21 0.24 1"
_BODY_GEOM = 'contype="0" conaffinity="0" group="1"'


def _capsule(size: float, start: str, end: str, colour: str) -> str:
    return f'<geom type="capsule" size="{size}" fromto="{start} {end}" rgba="{colour}" mass="0.5" {_BODY_GEOM}/>'


def arm_xml(wrist_tilt_deg: float, wrist_fovy_deg: float) -> str:
    """MJCF of the arm, base at the origin, table surface at z = 0. The wrist camera leans towards the fingertips."""
    finger = """
      <body name="finger_{side}" pos="0 0 0.0584" {quat} gravcomp="1">
        <joint name="finger_{side}" type="slide" axis="0 1 0" range="0 0.04" damping="10" armature="0.1"/>
        <geom type="box" size="0.009 0.006 0.012" pos="0 0.012 0.012" rgba="{dark}" mass="0.02" {body}/>
        <geom name="finger_{side}" type="box" size="0.011 0.0065 0.0135" pos="0 0.0065 0.0365" rgba="0.32 0.33 0.36 1"
          mass="0.03" friction="2 0.05 0.001" condim="4" solimp="0.95 0.99 0.001" solref="0.008 1"/>
      </body>"""
    left = finger.format(side="left", quat="", dark=_DARK, body=_BODY_GEOM)
    right = finger.format(side="right", quat='quat="0 0 0 1"', dark=_DARK, body=_BODY_GEOM)
    low, high = JOINT_LOW_RAD, JOINT_HIGH_RAD
    tilt = np.deg2rad(wrist_tilt_deg)
    wrist_up = f"{np.cos(tilt):.3f} 0 {np.sin(tilt):.3f}"
    joint = [
        f'<joint name="joint_{i + 1}" axis="0 0 1" range="{low[i]} {high[i]}" damping="30" armature="0.3"/>'
        for i in range(JOINTS)
    ]
    return f"""
    <body name="base" gravcomp="1">
      <geom type="cylinder" size="0.085 0.03" pos="0 0 0.03" rgba="{_DARK}" mass="3" {_BODY_GEOM}/>
      {_capsule(0.065, "0 0 0.06", "0 0 0.2", _WHITE)}
      <body name="link1" pos="0 0 0.333" gravcomp="1">{joint[0]}
        {_capsule(0.06, "0 0 -0.13", "0 0 -0.02", _WHITE)}
        {_capsule(0.06, "0 -0.05 0", "0 0.05 0", _DARK)}
        <body name="link2" quat="0.707107 -0.707107 0 0" gravcomp="1">{joint[1]}
          {_capsule(0.058, "0 -0.06 0", "0 -0.2 0", _WHITE)}
          <body name="link3" pos="0 -0.316 0" quat="0.707107 0.707107 0 0" gravcomp="1">{joint[2]}
            {_capsule(0.052, "0 0 -0.05", "0.06 0 0", _WHITE)}
            <body name="link4" pos="0.0825 0 0" quat="0.707107 0.707107 0 0" gravcomp="1">{joint[3]}
              {_capsule(0.055, "0 0 -0.05", "0 0 0.05", _DARK)}
              {_capsule(0.05, "-0.06 0.06 0", "-0.08 0.14 0", _WHITE)}
              <body name="link5" pos="-0.0825 0.384 0" quat="0.707107 -0.707107 0 0" gravcomp="1">{joint[4]}
                {_capsule(0.047, "0 0.02 -0.2", "0 0.05 -0.06", _WHITE)}
                {_capsule(0.045, "0 0 -0.03", "0 0 0", _DARK)}
                <body name="link6" quat="0.707107 0.707107 0 0" gravcomp="1">{joint[5]}
                  {_capsule(0.045, "0.02 0 0", "0.088 0 0", _WHITE)}
                  <body name="link7" pos="0.088 0 0" quat="0.707107 0.707107 0 0" gravcomp="1">{joint[6]}
                    <geom type="cylinder" size="0.04 0.03" pos="0 0 0.07" rgba="{_DARK}" mass="0.3" {_BODY_GEOM}/>
                    <body name="hand" pos="0 0 0.107" quat="0.9238795 0 0 -0.3826834" gravcomp="1">
                      <geom name="hand" type="box" size="0.024 0.1 0.026" pos="0 0 0.03" rgba="{_WHITE}" mass="0.6"/>
                      <geom type="box" size="0.014 0.03 0.012" pos="0.05 0 0.02" rgba="{_DARK}" mass="0.05"
                        {_BODY_GEOM}/>
                      <camera name="wrist" pos="0.065 0 0.035" xyaxes="0 1 0 {wrist_up}" fovy="{wrist_fovy_deg}"/>
                      <site name="{TCP_SITE}" pos="0 0 0.1034" size="0.002" rgba="0 0 0 0"/>{left}{right}
                    </body>
                  </body>
                </body>
              </body>
            </body>
          </body>
        </body>
      </body>
    </body>"""


def actuator_xml() -> str:
    """Position actuators of the joints and the fingers (control = radians and metres of one finger)."""
    gains = (2500, 2500, 2000, 2000, 1500, 1500, 1500)
    arm = "".join(
        f'<position joint="joint_{i + 1}" kp="{gain}" dampratio="1" forcerange="-87 87"/>'
        for i, gain in enumerate(gains)
    )
    fingers = "".join(f'<position joint="{name}" kp="400" kv="20" forcerange="-15 15"/>' for name in FINGERS)
    return f"<actuator>{arm}{fingers}</actuator>"


def rotation_error_rad(target: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Rotation vector (base frame) that turns the rotation matrix `current` into `target`."""
    quat, error = np.empty(4), np.empty(3)
    mujoco.mju_mat2Quat(quat, (target @ current.T).ravel())
    mujoco.mju_quat2Vel(error, quat, 1.0)
    return error


def rotation_matrix(rotation_vector_rad: np.ndarray) -> np.ndarray:
    """Rotation matrix [3, 3] of a rotation vector."""
    angle = float(np.linalg.norm(rotation_vector_rad))
    quat, matrix = np.empty(4), np.empty(9)
    axis = rotation_vector_rad / angle if angle > 1e-9 else np.array([1.0, 0.0, 0.0])
    mujoco.mju_axisAngle2Quat(quat, axis, angle)
    mujoco.mju_quat2Mat(matrix, quat)
    return matrix.reshape(3, 3)


DOWN = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]])
"""Orientation of the hand when it points straight down with the wrist camera ahead."""


class InverseKinematics:
    """Damped-least-squares inverse kinematics on a private copy of the simulator's state."""

    def __init__(self, model: mujoco.MjModel, damping: float = 0.03) -> None:
        self._model = model
        self._data = mujoco.MjData(model)
        self._site = model.site(TCP_SITE).id
        self._damping = damping
        self._jacobian = np.zeros((6, model.nv))

    def solve(
        self, joints_rad: np.ndarray, position_m: np.ndarray, rotation: np.ndarray, iterations: int = 3
    ) -> np.ndarray:
        """Joint angles [7] near `joints_rad` that bring the tool centre point to `position_m`, `rotation`."""
        joints = joints_rad.copy()
        data, model = self._data, self._model
        for _ in range(iterations):
            data.qpos[:JOINTS] = joints
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            error = np.concatenate(
                [
                    position_m - data.site_xpos[self._site],
                    rotation_error_rad(rotation, data.site_xmat[self._site].reshape(3, 3)),
                ]
            )
            if np.abs(error).max() < 1e-5:
                break
            mujoco.mj_jacSite(model, data, self._jacobian[:3], self._jacobian[3:], self._site)
            jacobian = self._jacobian[:, :JOINTS]
            gram = jacobian @ jacobian.T + self._damping**2 * np.eye(6)
            step = jacobian.T @ np.linalg.solve(gram, error)
            # A weak pull of the redundant elbow towards home, in the null space of the task.
            pull = 0.05 * (HOME_RAD - joints)
            step += pull - jacobian.T @ np.linalg.solve(gram, jacobian @ pull)
            joints = np.clip(joints + step, JOINT_LOW_RAD + 0.01, JOINT_HIGH_RAD - 0.01)
        return joints
