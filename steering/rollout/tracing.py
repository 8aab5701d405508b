"""Where the arm went and where every predicted chunk would have taken it: in metres and in the cameras' pictures.

The file is JSON, about 30 kB a scene:

    rate_hz, cameras            cameras stand side by side in the film, in this order
    path_m                      [step + 1][3], the tool centre point, base frame; step 0 is the start
    path_px.exterior            [step + 1][2]
    things                      [{name, phrase, radius_m, height_m, path_m: [step + 1][3]}]
    chunks                      [{step, path_m: [chunk + 1][3], path_px: {camera: [chunk + 1][2]}}], one an ask

Picture places are fractions of the picture's width and height from its top left; [-1, -1] is behind the camera. A
chunk's path adds up its commanded translations from where the tool is; its places in the wrist camera are those seen
when it was predicted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from steering.simulation.scene import CONTROL_HZ
from steering.simulation.world import STEP_M, World
from steering.types import CAMERAS

_BEHIND_M = 0.01


class Trace:
    """Collects one episode of a World; call `predicted` at every ask and `moved` after every control step."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._path_m = [world.position_m()]
        self._things_m = [self._things()]
        self._chunks: list[dict[str, Any]] = []

    def predicted(self, step: int, chunk: np.ndarray) -> None:
        """A chunk of actions [step, dim] that the policy predicted at control step `step`."""
        moves = np.clip(chunk[:, :3], -1, 1) * STEP_M
        path_m = self._world.position_m() + np.concatenate([np.zeros((1, 3)), np.cumsum(moves, axis=0)])
        pixels = {camera: _rounded(project(self._world, camera, path_m), 3) for camera in CAMERAS}
        self._chunks.append({"step": step, "path_m": _rounded(path_m), "path_px": pixels})

    def moved(self) -> None:
        """The arm made one control step."""
        self._path_m.append(self._world.position_m())
        self._things_m.append(self._things())

    def write(self, path: Path) -> None:
        """Write the JSON file."""
        route = np.array(self._path_m)
        things_m = np.array(self._things_m)  # [step + 1, thing, 3]
        document = {
            "rate_hz": CONTROL_HZ,
            "cameras": CAMERAS,
            "path_m": _rounded(route),
            "path_px": {"exterior": _rounded(project(self._world, "exterior", route), 3)},
            "things": [
                {
                    "name": thing.name,
                    "phrase": thing.phrase,
                    "radius_m": round(thing.radius_m, 4),
                    "height_m": round(thing.height_m, 4),
                    "path_m": _rounded(things_m[:, i]),
                }
                for i, thing in enumerate(self._world.scene.things)
            ],
            "chunks": self._chunks,
        }
        path.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")

    def _things(self) -> list[np.ndarray]:
        return [self._world.thing_m(thing.name) for thing in self._world.scene.things]


def project(world: World, camera: str, points_m: np.ndarray) -> np.ndarray:
    """Places [point, 2] in the camera's square picture (0..1 from the top left) of points [point, 3], base frame.

    Points behind the camera are (-1, -1). MuJoCo's convention: a camera looks along its -z, x right, y up.
    """
    number = world.model.camera(camera).id
    rotation = world.data.cam_xmat[number].reshape(3, 3)
    seen = (np.asarray(points_m) - world.data.cam_xpos[number]) @ rotation  # [point, 3], camera frame
    depth = -seen[:, 2]
    half = np.tan(np.deg2rad(world.model.cam_fovy[number]) / 2)
    ahead = depth > _BEHIND_M
    scale = 2 * half * np.where(ahead, depth, 1.0)
    places = np.stack([0.5 + seen[:, 0] / scale, 0.5 - seen[:, 1] / scale], axis=1)
    return np.where(ahead[:, None], places, -1.0)


def _rounded(points: np.ndarray, decimals: int = 4) -> list[list[float]]:
    """To a tenth of a millimetre; 3 decimals of a picture are a third of a pixel of the film."""
    return np.round(points, decimals).tolist()
