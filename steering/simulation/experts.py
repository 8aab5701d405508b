"""Scripted experts: one reactive controller per skill, a pure function of the simulator's state.

Being memoryless they recover from any disturbance, and label any state that a policy reaches. They move at
CRUISE of the speed limit, which gives demonstrations of 60 to 120 frames.
"""

from __future__ import annotations

import numpy as np

from steering.simulation.objects import Thing
from steering.simulation.robot import DOWN, FINGER_OPEN_M, rotation_error_rad, rotation_matrix
from steering.simulation.scene import Goal
from steering.simulation.tasks import LIFTED_M, PUSH_GAP_M, inside
from steering.simulation.world import STEP_M, TURN_RAD, World

CRUISE = 0.6
OPEN, CLOSED = -1.0, 1.0
_HOVER_M = 0.10
_CLEARANCE_M = 0.035


def expert_action(world: World, goal: Goal | None = None) -> tuple[np.ndarray, str]:
    """The expert's action, float32 [7], and the phase (types.PHASES) in the world's present state.

    `goal` stands in for the scene's own, to ask what the expert would do under another instruction.
    """
    goal = goal or world.scene.goal
    return _SKILLS[goal.skill](world, goal)


class Disturbance:
    """Knocks on the arm: always a little noise on the command, and now and then a shove of several steps.

    `strength` scales both, 1 as in pretraining; 0 does nothing. Deterministic given `rng`.
    """

    def __init__(self, rng: np.random.Generator, strength: float = 1.0) -> None:
        self._rng, self._strength = rng, strength
        self._shove, self._left = np.zeros(7), 0

    def __call__(self, action: np.ndarray) -> np.ndarray:
        """The command that the arm really gets, float [7]."""
        rng, strength = self._rng, self._strength
        disturbed = action.copy()
        disturbed[:6] += strength * rng.normal(0, [0.12] * 3 + [0.04] * 3)
        if self._left == 0 and rng.random() < 0.035 * strength:
            self._left = int(rng.integers(3, 12))
            self._shove = np.append(rng.normal(0, [0.8, 0.8, 0.6, 0.15, 0.15, 0.3]) * strength, 0.0)
            if rng.random() < 0.15 * strength:
                self._shove[6] = -2 * np.sign(action[6])
        if self._left > 0:
            self._left -= 1
            disturbed += self._shove
        return disturbed


def _move(world: World, target_m: np.ndarray, yaw_rad: float, gripper: float, speed: float = CRUISE) -> np.ndarray:
    """A straight step towards `target_m` that slows down near it, hand down and turned by `yaw_rad`."""
    offset = (target_m - world.position_m()) / STEP_M
    distance = np.linalg.norm(offset)
    pace = min(speed, 0.55 * distance)
    velocity = offset / max(distance, 1e-9) * pace
    rotation = rotation_matrix(np.array([0.0, 0.0, yaw_rad])) @ DOWN
    turn = rotation_error_rad(rotation, world.rotation()) / TURN_RAD
    return np.clip([*velocity, *np.clip(0.4 * turn, -0.4, 0.4), gripper], -1, 1).astype(np.float32)


def _cone(position_m: np.ndarray, goal_m: np.ndarray, slope: float = 3.0, top_m: float = _HOVER_M) -> np.ndarray:
    """Where to head for so that `goal_m` is reached from above, inside a cone."""
    off = float(np.hypot(*(position_m - goal_m)[:2]))
    lift = min(max(slope * (off - 0.006), 0.0), top_m)
    target = goal_m + [0, 0, lift]
    if position_m[2] < target[2] - 0.02 and off > 0.02:  # too low to go sideways: rise first
        target[:2] = position_m[:2] + 0.3 * (goal_m - position_m)[:2]
    return target


def _yaw_rad(world: World, thing: Thing) -> float:
    """The hand's yaw for a grasp: across the faces of boxes, beside the handle of mugs, else straight."""
    if thing.kind not in ("cube", "block", "mug"):
        return 0.0
    rotation = world.thing_rotation(thing.name)
    yaw = float(np.arctan2(rotation[1, 0], rotation[0, 0]))
    period = np.pi / 2 if thing.kind == "cube" else np.pi
    return (yaw + period / 2) % period - period / 2


def _held(world: World, name: str) -> bool:
    return all(world.touched_by(name))


def _grasp(world: World, name: str) -> tuple[np.ndarray, str]:
    thing = world.scene.thing(name)
    grasp = world.thing_m(name) + [0, 0, thing.grasp_z_m]
    grasp[2] = max(grasp[2], 0.012)
    position, yaw = world.position_m(), _yaw_rad(world, thing)
    off = float(np.hypot(*(position - grasp)[:2]))
    if off < 0.010 and abs(position[2] - grasp[2]) < 0.009:
        return _move(world, grasp, yaw, CLOSED, 0.2), "grasp"
    phase = "grasp" if off < 0.02 and position[2] - grasp[2] < 0.03 else "approach"
    if world.opening_m() < 2 * FINGER_OPEN_M * 0.8 and position[2] - grasp[2] < thing.height_m:
        grasp = np.array([*position[:2], grasp[2] + thing.height_m])  # closed on nothing: rise and open first
        return _move(world, grasp, yaw, OPEN), phase
    return _move(world, _cone(position, grasp), yaw, OPEN), phase


def _pick(world: World, goal: Goal) -> tuple[np.ndarray, str]:
    if not _held(world, goal.thing):
        return _grasp(world, goal.thing)
    position = world.position_m()
    height = world.scene.thing(goal.thing).grasp_z_m + world.scene.thing(goal.thing).rest_z_m + LIFTED_M + 0.03
    return _move(world, np.array([*position[:2], height]), _current_yaw(world), CLOSED), "transport"


def _current_yaw(world: World) -> float:
    rotation = world.rotation()
    return float(np.arctan2(rotation[1, 0], rotation[0, 0]))


def _place(world: World, goal: Goal) -> tuple[np.ndarray, str]:
    assert goal.target is not None
    thing, container = world.scene.thing(goal.thing), world.scene.thing(goal.target)
    position, at, to = world.position_m(), world.thing_m(goal.thing), world.thing_m(goal.target)
    held = _held(world, goal.thing)
    if inside(world, goal.thing, goal.target) and (not held or at[2] - to[2] < thing.rest_z_m + 0.03):
        return _move(world, np.array([*position[:2], max(position[2], 0.2)]), 0.0, OPEN, 0.5), "release"
    off = (to - at)[:2]
    distance = float(np.hypot(*off))
    if not held:
        above = distance < container.radius_m and at[2] - to[2] > container.height_m * 0.5
        if above:  # let go, and falling
            return _move(world, position, 0.0, OPEN), "release"
        return _grasp(world, goal.thing)
    bottom = at[2] - (thing.rest_z_m if thing.rest_z_m else 0.0)
    rim = to[2] + container.height_m
    carry = position[2] + (rim + _CLEARANCE_M - bottom)
    if distance > 0.012:
        target = np.array([*(position[:2] + off), carry])
        if bottom < rim + 0.012 and distance > 0.02:  # too low to cross the rim: mostly up
            far = distance > container.radius_m + thing.radius_m + 0.03
            target[:2] = position[:2] + off * (0.35 if far else 0.0)
        return _move(world, target, 0.0, CLOSED), "transport"
    drop = rim - 0.015 if thing.kind in ("stick", "marker") else rim - 0.005
    if bottom > drop + 0.006:
        return _move(world, np.array([*(position[:2] + off), position[2] + drop - bottom]), 0.0, CLOSED, 0.4), "release"
    return _move(world, position, 0.0, OPEN), "release"


def _push(world: World, goal: Goal) -> tuple[np.ndarray, str]:
    assert goal.target is not None
    thing, target = world.scene.thing(goal.thing), world.scene.thing(goal.target)
    position, at, to = world.position_m(), world.thing_m(goal.thing), world.thing_m(goal.target)
    way = (to - at)[:2]
    distance = float(np.hypot(*way))
    way = way / max(distance, 1e-9)
    side = np.array([-way[1], way[0]])
    # The closed fingers are 2.2 cm along x and about 2.6 cm along y.
    reach = thing.radius_m + 0.011 * abs(way[0]) + 0.014 * abs(way[1])
    low = 0.025
    if distance < thing.radius_m + target.radius_m + PUSH_GAP_M - 0.006:
        back = np.array([*(position[:2] - 0.03 * way), position[2] + 0.05])
        return _move(world, back, 0.0, CLOSED, 0.4), "release"
    relative = (position - at)[:2]
    along, across = float(relative @ way), float(relative @ side)
    if position[2] < thing.height_m * 0.7 and along < -reach * 0.6 and abs(across) < 0.016:
        ahead = position[:2] + way * max(0.014 - abs(across), 0.004)
        aim = np.array([*(ahead - side * across), low])
        return _move(world, aim, 0.0, CLOSED, 0.6), "transport"
    behind = np.array([*(at[:2] - way * (reach + 0.022)), low])
    top = max(_HOVER_M, thing.height_m + 0.04)
    return _move(world, _cone(position, behind, slope=4.0, top_m=top), 0.0, CLOSED), "approach"


def _press(world: World, goal: Goal) -> tuple[np.ndarray, str]:
    button = world.scene.thing(goal.thing)
    top = world.thing_m(goal.thing) + [0, 0, button.height_m * 0.6 + 0.016]
    position = world.position_m()
    off = float(np.hypot(*(position - top)[:2]))
    if off < 0.008 and position[2] < top[2] + 0.03:
        return _move(world, top - [0, 0, 0.03], 0.0, CLOSED, 0.4), "grasp"
    return _move(world, _cone(position, top + [0, 0, 0.015]), 0.0, CLOSED), "approach"


_SKILLS = {"pick": _pick, "place": _place, "push": _push, "press": _press}
