"""A scene: which things stand where, under which light, seen from where; and its MJCF."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import mujoco
import numpy as np

from steering.simulation.objects import Thing
from steering.simulation.robot import actuator_xml, arm_xml

CONTROL_HZ = 20.0
TIMESTEP_S = 0.005
SUBSTEPS = round(1 / (CONTROL_HZ * TIMESTEP_S))

WORKSPACE_LOW_M = (0.40, -0.20)
WORKSPACE_HIGH_M = (0.64, 0.20)
"""Where things are placed: x away from the robot's base, y to its left."""


@dataclass(frozen=True)
class View:
    """The exterior camera: on a sphere about the workspace's middle, looking at it. fovy_deg is vertical."""

    azimuth_deg: float = 35.0
    elevation_deg: float = 38.0
    distance_m: float = 1.05
    fovy_deg: float = 42.0
    target_m: tuple[float, float, float] = (0.48, 0.0, 0.07)

    def xml(self) -> str:
        """MJCF of the camera."""
        azimuth, elevation = np.deg2rad(self.azimuth_deg), np.deg2rad(self.elevation_deg)
        back = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
        right = np.cross([0.0, 0.0, 1.0], back)
        right /= np.linalg.norm(right)
        up = np.cross(back, right)
        pos = np.asarray(self.target_m) + self.distance_m * back
        axes = " ".join(f"{v:.5f}" for v in (*right, *up))
        return (
            f'<camera name="exterior" pos="{pos[0]:.4f} {pos[1]:.4f} {pos[2]:.4f}" xyaxes="{axes}" '
            f'fovy="{self.fovy_deg:.2f}"/>'
        )


@dataclass(frozen=True)
class Look:
    """Table, floor and light. Colours are RGB 0..1; light_xyz is the direction that the main light shines."""

    table_rgb: tuple[float, float, float] = (0.72, 0.58, 0.44)
    table_rgb2: tuple[float, float, float] = (0.70, 0.56, 0.42)
    floor_rgb: tuple[float, float, float] = (0.45, 0.47, 0.50)
    light_rgb: tuple[float, float, float] = (0.7, 0.7, 0.7)
    ambient: float = 0.35
    light_xyz: tuple[float, float, float] = (-0.3, -0.2, -1.0)


@dataclass(frozen=True)
class WristMount:
    """How the wrist camera is mounted: its lean towards the fingertips and its vertical field of view."""

    tilt_deg: float = 15.0
    fovy_deg: float = 92.0


@dataclass(frozen=True)
class Goal:
    """What the robot is to do. skill: pick, place, push or press. target: the container or place to reach."""

    skill: str
    thing: str
    target: str | None = None


@dataclass(frozen=True)
class Scene:
    """One episode's start. start_m: tool centre point; start_turn_rad: rotation vector off straight down."""

    things: tuple[Thing, ...]
    goal: Goal
    instruction: str
    view: View = field(default_factory=View)
    look: Look = field(default_factory=Look)
    wrist: WristMount = field(default_factory=WristMount)
    start_m: tuple[float, float, float] = (0.42, 0.0, 0.28)
    start_turn_rad: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def thing(self, name: str) -> Thing:
        """The thing called `name`."""
        return self.by_name()[name]

    def by_name(self) -> Mapping[str, Thing]:
        """Things by name."""
        return {thing.name: thing for thing in self.things}

    def xml(self) -> str:
        """MJCF of the whole scene."""
        look = self.look

        def rgb(colour: tuple[float, float, float]) -> str:
            return " ".join(f"{c:.3f}" for c in colour)

        ambient = rgb((look.ambient,) * 3)
        return f"""
<mujoco>
  <compiler angle="radian" eulerseq="zyx" autolimits="true"/>
  <option timestep="{TIMESTEP_S}" integrator="implicitfast" cone="elliptic" impratio="10" iterations="20"/>
  <visual>
    <headlight ambient="{ambient}" diffuse="0.25 0.25 0.25" specular="0 0 0"/>
    <quality shadowsize="0" offsamples="4"/>
    <global offwidth="640" offheight="640"/>
    <map znear="0.01" zfar="20"/>
  </visual>
  <asset>
    <texture name="table" type="2d" builtin="checker" width="64" height="64" rgb1="{rgb(look.table_rgb)}"
      rgb2="{rgb(look.table_rgb2)}"/>
    <material name="table" texture="table" texrepeat="6 8" specular="0" shininess="0"/>
    <texture type="skybox" builtin="gradient" rgb1="{rgb(look.floor_rgb)}" rgb2="{rgb(look.floor_rgb)}" width="8"
      height="48"/>
  </asset>
  <worldbody>
    <light directional="true" castshadow="false" pos="0 0 3" dir="{" ".join(f"{c:.3f}" for c in look.light_xyz)}"
      diffuse="{rgb(look.light_rgb)}" specular="0.1 0.1 0.1"/>
    <geom name="table" type="box" size="0.55 0.75 0.02" pos="0.35 0 -0.02" material="table" friction="0.8 0.02 0.001"/>
    {self.view.xml()}
    {arm_xml(self.wrist.tilt_deg, self.wrist.fovy_deg)}
    {"".join(thing.xml() for thing in self.things)}
  </worldbody>
  {actuator_xml()}
</mujoco>"""

    def compile(self) -> mujoco.MjModel:
        """The compiled model (about 10 ms)."""
        return mujoco.MjModel.from_xml_string(self.xml())
