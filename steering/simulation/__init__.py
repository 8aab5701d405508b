"""The bench: a Franka Panda at a table in MuJoCo, its tasks, variations, experts and gymnasium environment.

MuJoCo reads MUJOCO_GL at its first import, so it is chosen here: EGL where its library loads, else OSMesa; with
neither the physics still runs and rendering raises a SteeringError that names the packages. Where Mesa draws in
software, it draws in the calling thread: images are small, and scenes already step in processes of their own.
"""

import ctypes
import os
import sys

_OFFSCREEN = {"egl": "libEGL.so.1", "osmesa": "libOSMesa.so.8"}
"""Ways to render without a screen, the preferred first, and the library that each needs."""


def _offscreen_way() -> str:
    for way, library in _OFFSCREEN.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        return way
    return "disable"


if sys.platform == "linux":
    os.environ.setdefault("MUJOCO_GL", _offscreen_way())
    os.environ.setdefault("LP_NUM_THREADS", "0")

RESULTS = 1
"""The version of what this room computes: raised with every change of its numbers. See `steering.stages`."""
