"""Which offscreen renderer is chosen, and what is said where there is none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import steering.simulation
from steering.simulation.renderer import GL_PACKAGES

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        ({"libEGL.so.1", "libOSMesa.so.8"}, "egl"),
        ({"libEGL.so.1"}, "egl"),
        ({"libOSMesa.so.8"}, "osmesa"),
        (set(), "disable"),
    ],
)
def test_the_first_library_that_loads_is_chosen(monkeypatch: pytest.MonkeyPatch, there: set[str], chosen: str) -> None:
    def load(name: str) -> None:
        if name not in there:
            raise OSError(name)

    monkeypatch.setattr(steering.simulation.ctypes, "CDLL", load)
    assert steering.simulation._offscreen_way() == chosen


def test_without_a_renderer_physics_runs_and_rendering_names_the_packages() -> None:
    code = """
import numpy as np
from steering.errors import SteeringError
from steering.simulation.tasks import bench_scene
from steering.simulation.world import World
world = World(bench_scene("pick_cube", 0))
world.step(np.zeros(7))
try:
    world.render("exterior", 32)
except SteeringError as error:
    print(error)
"""
    environment = {**os.environ, "MUJOCO_GL": "disable"}
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert output.returncode == 0, output.stderr
    assert all(package in output.stdout for package in GL_PACKAGES)


def test_the_packages_named_are_those_that_installation_takes() -> None:
    assert set(GL_PACKAGES) <= set((ROOT / "packages.txt").read_text(encoding="utf-8").split())
