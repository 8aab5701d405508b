"""A running scene: stepping by actions, reading poses and contacts, rendering. One World per episode.

Action, 7 numbers in [−1, 1]: translation of the tool centre point (x, y, z; ±1 = ±STEP_M a control step), rotation
vector in the base frame (±1 = ±TURN_RAD a step), gripper (≤ −1 open … ≥ 1 closed). State, 8 numbers: joint angles
(rad), gripper opening (0 closed … 1 open). Control runs at CONTROL_HZ.

Cost on one core, in software: 0.6 ms a control step without rendering, 3.5 ms a 96-px and 6 ms a 192-px image, two
thirds of it fourfold antialiasing.
"""

from __future__ import annotations

import math
import os

import mujoco
import numpy as np

from steering.errors import SteeringError
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
STATE_DIM = 8
GL_PACKAGES = ("libegl1", "libegl-mesa0", "libgl1-mesa-dri")
"""Debian packages that rendering needs (of those in packages.txt)."""

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
        self._renderers: dict[int, _Renderer] = {}
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

    def _renderer(self, size_px: int) -> _Renderer:
        if size_px not in self._renderers:
            self._renderers[size_px] = _Renderer(self.model, size_px)
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


def _cannot_draw() -> SteeringError:
    return SteeringError(
        "Expected EGL or OSMesa to draw camera images without a screen, found neither working "
        f"(MUJOCO_GL is {os.environ.get('MUJOCO_GL', 'not set')}). "
        f"On Debian or Ubuntu install {' '.join(GL_PACKAGES)}, then start again. "
        "Where they are installed, import steering.simulation before mujoco, which reads MUJOCO_GL only once."
    )


CURVE_QUALITY = ((128, 16, 8), (256, 20, 10), (math.inf, 28, 16))
"""(largest image in px, slices, stacks) of round geoms: in small images finer curves cost half of the time unseen."""


_BACKDROP_GLOW = 1e4
"""How much more the backdrop shines than it reflects: no light changes its colour by a grey level."""


class _Renderer:
    """Offscreen rendering without shadows; all renderers of a process share one GL context.

    The sky has one colour, so a box behind everything stands for MuJoCo's sky, whose many triangles take a fifth of
    the time, also where they are hidden. Faces of boxes are drawn whole: under directional light they are even.
    """

    _gl: mujoco.GLContext | None = None

    def __init__(self, model: mujoco.MjModel, size_px: int) -> None:
        if _Renderer._gl is None:
            try:
                _Renderer._gl = mujoco.GLContext(640, 640)
            except (AttributeError, ImportError, RuntimeError) as error:  # the first: MUJOCO_GL=disable
                raise _cannot_draw() from error
        _Renderer._gl.make_current()
        buffer = model.vis.global_
        buffer.offwidth = buffer.offheight = size_px
        quality = model.vis.quality
        quality.numslices, quality.numstacks = next(fine for most, *fine in CURVE_QUALITY if size_px <= most)
        quality.numquads = 1
        self._model = model
        self._rect = mujoco.MjrRect(0, 0, size_px, size_px)
        self._scene = mujoco.MjvScene(model, maxgeom=200)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = False
        sky = model.tex_adr[list(model.tex_type).index(mujoco.mjtTexture.mjTEXTURE_SKYBOX)]
        sky_rgb = model.tex_data[sky : sky + 3] / 255
        self._backdrop_rgba = np.append(sky_rgb / _BACKDROP_GLOW, 1).astype(np.float32)
        self._far_m = model.vis.map.zfar * model.stat.extent / 2
        self._option = mujoco.MjvOption()
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        try:
            self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        except mujoco.FatalError as error:  # no GL functions: GLFW without a screen
            raise _cannot_draw() from error
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._image = np.empty((size_px, size_px, 3), np.uint8)

    def rgb(self, data: mujoco.MjData, camera: int) -> np.ndarray:
        self._draw(data, camera)
        return self._image[::-1].copy()

    def geoms(self, data: mujoco.MjData, camera: int) -> np.ndarray:
        """Geom id per pixel, −1 where there is none."""
        flags = self._scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = True
        try:
            self._draw(data, camera)
        finally:
            flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = False
        image = self._image[::-1].astype(np.int32)
        ids = image[..., 0] + (image[..., 1] << 8) + (image[..., 2] << 16)
        table = np.full(self._scene.ngeom + 1, -1)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM and geom.segid >= 0:
                table[geom.segid + 1] = geom.objid
        return table[np.minimum(ids, self._scene.ngeom)]

    def _draw(self, data: mujoco.MjData, camera: int) -> None:
        assert _Renderer._gl is not None
        _Renderer._gl.make_current()
        mujoco.mjr_restoreBuffer(self._context)  # the GL context is shared: bind this renderer's framebuffer
        self._camera.fixedcamid = camera
        mujoco.mjv_updateScene(
            self._model, data, self._option, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL.value, self._scene
        )
        self._hang_backdrop(data, camera)
        mujoco.mjr_render(self._rect, self._scene, self._context)
        mujoco.mjr_readPixels(self._image, None, self._rect, self._context)

    def _hang_backdrop(self, data: mujoco.MjData, camera: int) -> None:
        """Behind everything and drawn last, so that only what nothing hides is painted."""
        rotation = data.cam_xmat[camera]  # the camera looks along its -z
        centre = data.cam_xpos[camera] - self._far_m * rotation.reshape(3, 3)[:, 2]
        half_m = 1.1 * self._far_m * math.tan(math.radians(self._model.cam_fovy[camera]) / 2)
        backdrop = self._scene.geoms[self._scene.ngeom]
        size = np.array([half_m, half_m, 0.01])
        mujoco.mjv_initGeom(backdrop, mujoco.mjtGeom.mjGEOM_BOX, size, centre, rotation, self._backdrop_rgba)
        backdrop.emission = _BACKDROP_GLOW
        backdrop.specular = 0
        self._scene.ngeom += 1

    def close(self) -> None:
        self._context.free()
