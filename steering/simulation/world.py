"""A running scene: stepping by actions, reading poses and contacts, rendering. One World per episode.

Action, 7 numbers in [−1, 1]: translation of the tool centre point (x, y, z; ±1 = ±STEP_M a control step), rotation
vector in the base frame (±1 = ±TURN_RAD a step), gripper (≤ −1 open … ≥ 1 closed). State, 8 numbers: joint angles
(rad), gripper opening (0 closed … 1 open). Control runs at CONTROL_HZ.
"""

from __future__ import annotations

import mujoco
import numpy as np

from steering.simulation.renderer import Renderer
from steering.simulation.robot import (
    DOWN,
    FINGER_OPEN_M,
    FINGERS,
    HOME_RAD,
    JOINTS,
    TCP_SITE,
    InverseKinematics,
    rotation_error_rad,
    rotation_matrix,
)
from steering.simulation.scene import SUBSTEPS, Scene

STEP_M = 0.012
TURN_RAD = 0.1
LEASH_M = 0.015
"""How far the commanded position may run ahead of the measured one (it limits the force of a push)."""
ACTION_DIM = 7

_REACH_LOW_M = np.array([0.25, -0.40, 0.004])
_REACH_HIGH_M = np.array([0.75, 0.40, 0.50])


class World:
    """The physics of one Scene. Deterministic: the same scene and actions give the same bytes."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.model = scene.compile()
        self.data = mujoco.MjData(self.model)
        self._ik = InverseKinematics(self.model)
        self._site = self.model.site(TCP_SITE).id
        self._bodies = {thing.name: self.model.body(thing.name).id for thing in scene.things}
        self._fingers = tuple(self.model.geom(name).id for name in FINGERS)
        self._renderers: dict[int, Renderer] = {}
        start = np.asarray(scene.start_m)
        rotation = rotation_matrix(np.asarray(scene.start_turn_rad)) @ DOWN
        joints = self._ik.solve(HOME_RAD, start, rotation, iterations=60)
        opening = 0.0 if scene.goal.skill in ("push", "press") else FINGER_OPEN_M
        self.data.qpos[:JOINTS] = joints
        self.data.qpos[JOINTS : JOINTS + 2] = opening
        self.data.ctrl[:JOINTS] = joints
        self.data.ctrl[JOINTS:] = opening
        mujoco.mj_forward(self.model, self.data)
        self._target_m, self._target_rotation = self.position_m(), self.rotation()
        for _ in range(4 * SUBSTEPS):  # things settle on the table
            mujoco.mj_step(self.model, self.data)
        mujoco.mj_forward(self.model, self.data)

    def close(self) -> None:
        """Free the renderers."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    def position_m(self) -> np.ndarray:
        """Tool centre point [3], base frame."""
        return self.data.site_xpos[self._site].copy()

    def rotation(self) -> np.ndarray:
        """Orientation of the hand [3, 3]."""
        return self.data.site_xmat[self._site].reshape(3, 3).copy()

    def opening_m(self) -> float:
        """Distance between the fingers."""
        return float(self.data.qpos[JOINTS : JOINTS + 2].sum())

    def state(self) -> np.ndarray:
        """Proprioceptive state, float32 [8] (types.STATE_NAMES)."""
        opening = self.opening_m() / (2 * FINGER_OPEN_M)
        return np.append(self.data.qpos[:JOINTS], np.clip(opening, 0, 1)).astype(np.float32)

    def thing_m(self, name: str) -> np.ndarray:
        """Position [3] of a thing's body frame."""
        return self.data.xpos[self._bodies[name]].copy()

    def thing_rotation(self, name: str) -> np.ndarray:
        """Orientation [3, 3] of a thing."""
        return self.data.xmat[self._bodies[name]].reshape(3, 3).copy()

    def pressed_m(self, name: str) -> float:
        """How far the button `name` is pressed."""
        return float(self.data.joint(f"{name}_cap").qpos[0])

    def touched_by(self, name: str) -> tuple[bool, bool]:
        """Whether the (left, right) finger touches the thing."""
        body, touching = self._bodies[name], [False, False]
        contacts = self.data.contact.geom[: self.data.ncon]
        bodies = self.model.geom_bodyid
        for first, second in contacts:
            for i, finger in enumerate(self._fingers):
                if (first == finger and bodies[second] == body) or (second == finger and bodies[first] == body):
                    touching[i] = True
        return touching[0], touching[1]

    def step(self, action: np.ndarray) -> None:
        """One control step. `action` is clipped to [−1, 1]."""
        action = np.clip(np.asarray(action, dtype=np.float64), -1, 1)
        position = self.position_m()
        lead = self._target_m - position
        target = position + np.clip(lead, -LEASH_M, LEASH_M) + action[:3] * STEP_M
        self._target_m = np.clip(target, _REACH_LOW_M, _REACH_HIGH_M)
        self._target_rotation = rotation_matrix(action[3:6] * TURN_RAD) @ self._target_rotation
        slip = rotation_error_rad(self._target_rotation, self.rotation())
        if np.linalg.norm(slip) > 0.4:
            self._target_rotation = self.rotation()
        joints = self._ik.solve(self.data.ctrl[:JOINTS], self._target_m, self._target_rotation)
        self.data.ctrl[:JOINTS] = joints
        self.data.ctrl[JOINTS:] = FINGER_OPEN_M * (1 - action[6]) / 2
        mujoco.mj_step(self.model, self.data, SUBSTEPS)
        mujoco.mj_forward(self.model, self.data)

    def render(self, camera: str, size_px: int = 192) -> np.ndarray:
        """RGB image, uint8 [size, size, 3], of the camera `exterior` or `wrist`."""
        return self._renderer(size_px).rgb(self.data, self.model.camera(camera).id)

    def segmentation(self, camera: str, size_px: int = 96) -> np.ndarray:
        """Per pixel int16 [size, size]: index into scene.things, −1 elsewhere, −2 the robot."""
        geoms = self._renderer(size_px).geoms(self.data, self.model.camera(camera).id)
        return self._geom_labels()[geoms]

    def _geom_labels(self) -> np.ndarray:
        """Label of each geom, with the label of `no geom` last (index −1)."""
        root_label = {self.model.body("base").id: -2}
        root_label.update({self._bodies[thing.name]: i for i, thing in enumerate(self.scene.things)})
        roots = self.model.body_rootid[self.model.geom_bodyid]
        return np.array([root_label.get(int(root), -1) for root in roots] + [-1], dtype=np.int16)

    def _renderer(self, size_px: int) -> Renderer:
        if size_px not in self._renderers:
            self._renderers[size_px] = Renderer(self.model, size_px)
        return self._renderers[size_px]

    def snapshot(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Everything that `restore` needs."""
        size = mujoco.mj_stateSize(self.model, mujoco.mjtState.mjSTATE_INTEGRATION)
        state = np.empty(size)
        mujoco.mj_getState(self.model, self.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        return state, self._target_m.copy(), self._target_rotation.copy()

    def restore(self, snapshot: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        """Back to `snapshot`, to the bit."""
        state, self._target_m, self._target_rotation = snapshot[0], snapshot[1].copy(), snapshot[2].copy()
        mujoco.mj_setState(self.model, self.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        mujoco.mj_forward(self.model, self.data)
