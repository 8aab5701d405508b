"""Camera images of a running scene: MuJoCo's own renderer without a screen, set up for many small images in software.

What saves time without being seen: no shadows, round shapes as coarse as the image allows, faces of boxes in one piece
(directional light is even on them), and a sky of one colour that is a box behind everything: MuJoCo's own, of many
triangles, costs also where it is hidden. Cost: see `tests/benchmarks/bench_simulation.py`.
"""

from __future__ import annotations

import math
import os

import mujoco
import numpy as np

from steering.errors import SteeringError

GL_PACKAGES = ("libegl1", "libegl-mesa0", "libgl1-mesa-dri")
"""Debian packages that rendering needs (of those in packages.txt)."""
CURVE_QUALITY = ((128, 16, 8), (256, 20, 10), (math.inf, 28, 16))
"""(largest image in px, slices, stacks) of round geoms: in small images finer curves cost half of the time unseen."""
_BACKDROP_GLOW = 1e4
"""How much more the backdrop shines than it reflects: no light changes its colour by a grey level."""


class Renderer:
    """Square images of one size of one model. All renderers of a process share one GL context.

    Raises SteeringError where nothing can draw.
    """

    _gl: mujoco.GLContext | None = None

    def __init__(self, model: mujoco.MjModel, size_px: int) -> None:
        if Renderer._gl is None:
            try:
                Renderer._gl = mujoco.GLContext(640, 640)
            except (AttributeError, ImportError, RuntimeError) as error:  # the first: MUJOCO_GL=disable
                raise _cannot_draw() from error
        Renderer._gl.make_current()
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
        """What the camera sees, uint8 [px, px, 3]."""
        self._draw(data, camera)
        return self._image[::-1].copy()

    def geoms(self, data: mujoco.MjData, camera: int) -> np.ndarray:
        """Geom id per pixel, −1 where there is none: [px, px]."""
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
        assert Renderer._gl is not None
        Renderer._gl.make_current()
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
        """Free the GL resources."""
        self._context.free()


def _cannot_draw() -> SteeringError:
    return SteeringError(
        "Expected EGL or OSMesa to draw camera images without a screen, found neither working "
        f"(MUJOCO_GL is {os.environ.get('MUJOCO_GL', 'not set')}). "
        f"On Debian or Ubuntu install {' '.join(GL_PACKAGES)}, then start again. "
        "Where they are installed, import steering.simulation before mujoco, which reads MUJOCO_GL only once."
    )
