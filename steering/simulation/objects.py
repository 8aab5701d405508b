"""Things on the table: their shapes in MJCF, and the numbers that experts and success tests need.

Containers (mug, cup, bowl, pot, tray) have real walls; everything else is one convex body. All sizes are half sizes
or radii in metres, as MuJoCo counts them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

COLOURS: Mapping[str, tuple[float, float, float]] = {
    "red": (0.85, 0.13, 0.12),
    "green": (0.16, 0.62, 0.22),
    "blue": (0.13, 0.30, 0.85),
    "yellow": (0.95, 0.82, 0.12),
    "orange": (0.95, 0.48, 0.08),
    "purple": (0.50, 0.20, 0.68),
    "white": (0.94, 0.94, 0.92),
    "black": (0.09, 0.09, 0.10),
    "pink": (0.95, 0.52, 0.70),
    "cyan": (0.20, 0.76, 0.80),
}
GRASPABLE = ("cube", "block", "cylinder", "ball", "stick", "marker", "mug")
PUSHABLE = ("cup", "can")
KINDS = (*GRASPABLE, "bowl", "pot", "tray", *PUSHABLE, "pad", "button")

_WALLS = 10
_SLIPPERY = 'priority="1" friction="0.4 0.01 0.001" condim="4" solref="0.01 1"'
_CONTACT = 'friction="1 0.02 0.001" condim="4" solref="0.01 1"'


@dataclass(frozen=True)
class Thing:
    """One object of a scene.

    radius_m: half width (footprint radius for round things). height_m: full height. xy_m: place on the table.
    yaw_rad: turn about the vertical. rgb: 0..1. fixed: welded to the table.
    """

    name: str
    kind: str
    colour: str
    rgb: tuple[float, float, float]
    radius_m: float
    height_m: float
    xy_m: tuple[float, float]
    yaw_rad: float = 0.0
    fixed: bool = False

    @property
    def phrase(self) -> str:
        """How an instruction names it, e.g. `red cube`."""
        return f"{self.colour} {self.kind}"

    @property
    def rest_z_m(self) -> float:
        """Height of the body's frame on the table: frames sit at the middle, those of containers at the floor."""
        return 0.0 if self.kind in ("bowl", "mug", "pot", "tray", "cup", "pad", "button") else self.height_m / 2

    @property
    def top_z_m(self) -> float:
        """Height of the top above the body's frame."""
        return self.height_m - self.rest_z_m

    @property
    def grasp_z_m(self) -> float:
        """Height of a top-down grasp above the body's frame."""
        if self.kind in ("stick", "marker"):
            return self.height_m / 2 - 0.025
        if self.kind == "mug":
            return self.height_m - 0.022
        return max(0.0, self.height_m / 2 - 0.02)

    def xml(self) -> str:
        """MJCF of the body."""
        joint = "" if self.fixed else f'<freejoint name="{self.name}"/>'
        x, y = self.xy_m
        half = self.yaw_rad / 2
        pose = f'pos="{x:.5f} {y:.5f} {self.rest_z_m + 0.0005:.5f}" quat="{np.cos(half):.6f} 0 0 {np.sin(half):.6f}"'
        return f'<body name="{self.name}" {pose}>{joint}{_SHAPES[self.kind](self)}</body>'


def _rgba(thing: Thing, shade: float = 1.0) -> str:
    return " ".join(f"{min(c * shade, 1):.3f}" for c in thing.rgb) + " 1"


def _geom(
    thing: Thing, kind: str, size: str, mass: float, pos: str = "0 0 0", extra: str = "", shade: float = 1
) -> str:
    contact = _SLIPPERY if thing.kind in PUSHABLE else _CONTACT
    return (
        f'<geom type="{kind}" size="{size}" pos="{pos}" mass="{mass}" rgba="{_rgba(thing, shade)}" {contact} {extra}/>'
    )


def _box(thing: Thing) -> str:
    long = 1.6 if thing.kind == "block" else 1.0
    return _geom(thing, "box", f"{thing.radius_m * long} {thing.radius_m} {thing.height_m / 2}", 0.04)


def _cylinder(thing: Thing) -> str:
    return _geom(thing, "cylinder", f"{thing.radius_m} {thing.height_m / 2}", 0.04)


def _ball(thing: Thing) -> str:
    return (
        f'<geom type="sphere" size="{thing.radius_m}" mass="0.04" rgba="{_rgba(thing)}" '
        'priority="1" friction="1.5 0.02 0.01" condim="6" solref="0.01 1"/>'
    )


def _stick(thing: Thing) -> str:
    """A rod that stands upright on a slightly wider foot; a marker's cap is dark."""
    cap = thing.height_m * 0.3
    shade = 0.35 if thing.kind == "marker" else 1.0
    body = _geom(thing, "cylinder", f"{thing.radius_m} {(thing.height_m - cap) / 2}", 0.012, f"0 0 {cap / 2:.5f}")
    foot = _geom(
        thing,
        "cylinder",
        f"{thing.radius_m * 1.25} {cap / 2}",
        0.02,
        f"0 0 {-(thing.height_m - cap) / 2:.5f}",
        shade=shade,
    )
    return body + foot


def _vessel(thing: Thing) -> str:
    """A round container: floor disc and a ring of walls; bowls lean outwards, mugs have a handle."""
    lean = {"bowl": 0.45, "cup": 0.08}.get(thing.kind, 0.0)
    wall = 0.004
    parts = [_geom(thing, "cylinder", f"{thing.radius_m * (1 - lean * 0.5):.5f} 0.003", 0.04, "0 0 0.003", shade=0.8)]
    length = thing.height_m / np.cos(lean)
    middle_radius = thing.radius_m - np.sin(lean) * length / 2 - wall / 2
    width = np.pi * thing.radius_m / _WALLS * 1.04
    for i in range(_WALLS):
        angle = 2 * np.pi * i / _WALLS
        x, y = middle_radius * np.cos(angle), middle_radius * np.sin(angle)
        turn = f'euler="{angle:.4f} {lean:.4f} 0"'
        parts.append(
            _geom(
                thing,
                "box",
                f"{wall} {width:.5f} {length / 2:.5f}",
                0.008,
                f"{x:.5f} {y:.5f} {thing.height_m / 2:.5f}",
                turn,
                1.0 if i % 2 else 0.94,
            )
        )
    if thing.kind == "mug":
        r, h = thing.radius_m, thing.height_m
        reach = r + 0.026
        for start, end in (
            ((r, h * 0.75), (reach, h * 0.7)),
            ((reach, h * 0.7), (reach, h * 0.32)),
            ((reach, h * 0.32), (r, h * 0.25)),
        ):
            parts.append(
                f'<geom type="capsule" size="0.0045" fromto="{start[0]:.5f} 0 {start[1]:.5f} '
                f'{end[0]:.5f} 0 {end[1]:.5f}" '
                f'mass="0.003" rgba="{_rgba(thing)}" {_CONTACT}/>'
            )
    return "".join(parts)


def _tray(thing: Thing) -> str:
    r, h = thing.radius_m, thing.height_m
    floor = _geom(thing, "box", f"{r} {r} 0.003", 0.1, "0 0 0.003", shade=0.8)
    walls = "".join(
        _geom(thing, "box", f"{sx} {sy} {h / 2}", 0.03, f"{x} {y} {h / 2}", shade=shade)
        for sx, sy, x, y, shade in (
            (r, 0.004, 0, r, 1),
            (r, 0.004, 0, -r, 1),
            (0.004, r, r, 0, 0.92),
            (0.004, r, -r, 0, 0.92),
        )
    )
    return floor + walls


def _pad(thing: Thing) -> str:
    return (
        f'<geom type="cylinder" size="{thing.radius_m} 0.001" pos="0 0 0.001" rgba="{_rgba(thing)}" '
        'contype="0" conaffinity="0" mass="0.1"/>'
    )


def _button(thing: Thing) -> str:
    """A sprung cap in a housing; the joint `<name>_cap` counts metres pressed."""
    r, h = thing.radius_m, thing.height_m
    housing = (
        f'<geom type="cylinder" size="{r * 1.7:.4f} {h * 0.3:.4f}" pos="0 0 {h * 0.3:.4f}" rgba="0.25 0.26 0.28 1" '
        'mass="0.5"/>'
    )
    cap = (
        f'<body name="{thing.name}_cap" pos="0 0 {h * 0.6 + 0.008:.4f}" gravcomp="1">'
        f'<joint name="{thing.name}_cap" type="slide" axis="0 0 -1" range="0 0.012" stiffness="120" damping="4" '
        'springref="0"/>'
        f'<geom type="cylinder" size="{r} 0.008" rgba="{_rgba(thing)}" mass="0.02"/></body>'
    )
    return housing + cap


_SHAPES = {
    "cube": _box,
    "block": _box,
    "cylinder": _cylinder,
    "can": _cylinder,
    "ball": _ball,
    "stick": _stick,
    "marker": _stick,
    "mug": _vessel,
    "cup": _vessel,
    "bowl": _vessel,
    "pot": _vessel,
    "tray": _tray,
    "pad": _pad,
    "button": _button,
}
