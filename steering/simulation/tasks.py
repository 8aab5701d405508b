"""The bench: the paper's five tasks and one unseen, by name, with their three variations, reset and success test.

A task name and a seed give one Scene, whatever policy runs on it. Variations compose and change the scene that the
seed gives without moving its main things.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from steering.errors import unknown_name
from steering.simulation.objects import COLOURS, Thing
from steering.simulation.scene import WORKSPACE_HIGH_M, WORKSPACE_LOW_M, Goal, Look, Scene, View, WristMount
from steering.simulation.world import World

VARIATIONS = ("lighting", "form", "distractors")
LIFTED_M = 0.07
PUSH_GAP_M = 0.02
PRESSED_M = 0.007


@dataclass(frozen=True)
class Task:
    """A bench task. things: makes the task's things at free places; step_limit in control steps."""

    name: str
    instruction: str
    goal: Goal
    step_limit: int
    things: Callable[[np.random.Generator, bool], tuple[Thing, ...]]


def _rgb(colour: str, rng: np.random.Generator) -> tuple[float, float, float]:
    jitter = rng.uniform(-0.04, 0.04, 3)
    red, green, blue = np.clip(np.asarray(COLOURS[colour]) + jitter, 0, 1)
    return float(red), float(green), float(blue)


def make_thing(
    rng: np.random.Generator,
    name: str,
    kind: str,
    colour: str,
    radius_m: float,
    height_m: float,
    *,
    turn_rad: float = 0.5,
    fixed: bool = False,
) -> Thing:
    """A thing at the origin with a jittered colour and a random yaw within ±turn_rad; `place_apart` moves it."""
    yaw = float(rng.uniform(-turn_rad, turn_rad))
    return Thing(name, kind, colour, _rgb(colour, rng), radius_m, height_m, (0.0, 0.0), yaw, fixed)


def place_apart(
    rng: np.random.Generator, things: Sequence[Thing], taken: Sequence[Thing] = (), gap_m: float = 0.035
) -> tuple[Thing, ...]:
    """`things` at random places of the workspace, none within `gap_m` of another's footprint or of `taken`."""
    placed = list(taken)
    for thing in things:
        for attempt in range(400):
            gap = gap_m * (1 - attempt / 600)
            xy = rng.uniform(WORKSPACE_LOW_M, WORKSPACE_HIGH_M)
            if all(np.hypot(xy[0] - t.xy_m[0], xy[1] - t.xy_m[1]) > thing.radius_m + t.radius_m + gap for t in placed):
                break
        placed.append(replace(thing, xy_m=(float(xy[0]), float(xy[1]))))
    return tuple(placed[len(taken) :])


def _marker_in_mug(rng: np.random.Generator, form: bool) -> tuple[Thing, ...]:
    if form:
        marker = make_thing(rng, "marker", "marker", "red", 0.011, 0.10)
        mug = make_thing(rng, "mug", "mug", "yellow", 0.034, 0.075, turn_rad=0.6)
    else:
        marker = make_thing(rng, "marker", "marker", "green", 0.010, 0.11)
        mug = make_thing(rng, "mug", "mug", "blue", 0.032, 0.08, turn_rad=0.6)
    return marker, mug


def _button(rng: np.random.Generator, form: bool) -> tuple[Thing, ...]:
    radius, colour = (0.018, "blue") if form else (0.014, "red")
    return (make_thing(rng, "button", "button", colour, radius, 0.024, fixed=True),)


def _cube(rng: np.random.Generator, form: bool) -> tuple[Thing, ...]:
    colour, size = ("purple", 0.018) if form else ("red", 0.021)
    return (make_thing(rng, "cube", "cube", colour, size, size * 2),)


def _cube_and_bowl(rng: np.random.Generator, form: bool) -> tuple[Thing, ...]:
    bowl = ("green", 0.056, 0.05) if form else ("white", 0.066, 0.045)
    return (*_cube(rng, form), make_thing(rng, "bowl", "bowl", *bowl))


def _cup_and_bowl(rng: np.random.Generator, form: bool) -> tuple[Thing, ...]:
    cup = ("cyan", 0.030, 0.06) if form else ("orange", 0.033, 0.075)
    bowl = ("yellow", 0.056, 0.05) if form else ("white", 0.066, 0.045)
    return make_thing(rng, "cup", "cup", *cup), make_thing(rng, "bowl", "bowl", *bowl)


def _mug(rng: np.random.Generator, form: bool) -> tuple[Thing, ...]:
    mug = ("yellow", 0.029, 0.07) if form else ("blue", 0.032, 0.08)
    return (make_thing(rng, "mug", "mug", *mug, turn_rad=0.4),)


BENCH_TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task("place_marker_in_mug", "place the marker in the mug", Goal("place", "marker", "mug"), 200, _marker_in_mug),
        Task("press_button", "press the button", Goal("press", "button"), 140, _button),
        Task("pick_cube", "pick up the cube", Goal("pick", "cube"), 140, _cube),
        Task("place_cube_in_bowl", "place the cube in the bowl", Goal("place", "cube", "bowl"), 200, _cube_and_bowl),
        Task("push_cup_to_bowl", "push the cup to the bowl", Goal("push", "cup", "bowl"), 200, _cup_and_bowl),
    )
}
UNSEEN_TASK = "pick_mug"
TASKS: Mapping[str, Task] = {
    **BENCH_TASKS,
    UNSEEN_TASK: Task(UNSEEN_TASK, "pick up the mug", Goal("pick", "mug"), 140, _mug),
}
"""Every task by name: the five of the bench and the one that no finetune sees."""

_BENCH_VIEW = View(azimuth_deg=-32.0, elevation_deg=42.0, distance_m=1.1, fovy_deg=40.0)
_BENCH_LOOK = Look()
_BENCH_WRIST = WristMount(tilt_deg=23.0)  # mounted otherwise than in pretraining: what a finetune has to learn
_DISTRACTORS = (
    ("cylinder", "yellow", 0.020, 0.05),
    ("ball", "pink", 0.021, 0.042),
    ("block", "black", 0.016, 0.03),
    ("cube", "cyan", 0.019, 0.038),
    ("can", "purple", 0.027, 0.07),
)


def bench_scene(name: str, seed: int, variations: Sequence[str] = ()) -> Scene:
    """The scene of `seed` of a bench task, with `variations` (any of VARIATIONS). Raises NotFound."""
    if name not in TASKS:
        raise unknown_name("task", name, TASKS)
    for variation in variations:
        if variation not in VARIATIONS:
            raise unknown_name("variation", variation, VARIATIONS)
    task = TASKS[name]
    layout = np.random.default_rng([seed, 1])
    extra = np.random.default_rng([seed, 2])
    plain = task.things(np.random.default_rng([seed, 3]), False)
    things = place_apart(layout, plain, gap_m=0.07 if task.goal.skill == "push" else 0.035)
    if "form" in variations:  # other things at the same places
        formed = task.things(np.random.default_rng([seed, 3]), True)
        things = tuple(replace(new, xy_m=old.xy_m) for new, old in zip(formed, things, strict=True))
    look, view = _BENCH_LOOK, _BENCH_VIEW
    view = replace(
        view,
        azimuth_deg=view.azimuth_deg + float(layout.uniform(-2, 2)),
        elevation_deg=view.elevation_deg + float(layout.uniform(-1, 1)),
    )
    if "distractors" in variations:
        chosen = extra.permutation(len(_DISTRACTORS))[: extra.integers(2, 4)]
        clutter = [make_thing(extra, f"distractor_{i}", *_DISTRACTORS[i]) for i in chosen]
        things += place_apart(extra, clutter, taken=things, gap_m=0.05)
    if "lighting" in variations:
        tint = extra.uniform([0.55, 0.25, 0.15], [0.95, 0.6, 0.45])
        look = replace(
            look,
            light_rgb=(float(tint[0]), float(tint[1]), float(tint[2])),
            ambient=float(extra.uniform(0.08, 0.2)),
            light_xyz=(float(extra.uniform(-1, 1)), float(extra.uniform(-1, 1)), -0.7),
        )
    start, turn = random_start(layout)
    return Scene(things, task.goal, task.instruction, view, look, _BENCH_WRIST, start, turn)


def random_start(rng: np.random.Generator) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """A start of the arm above the workspace: position (m) and small turn (rotation vector, rad)."""
    x, y, z = rng.uniform([0.40, -0.08, 0.24], [0.48, 0.08, 0.31])
    roll, pitch, yaw = rng.uniform([-0.06, -0.06, -0.2], [0.06, 0.06, 0.2])
    return (float(x), float(y), float(z)), (float(roll), float(pitch), float(yaw))


def succeeded(world: World, goal: Goal | None = None) -> bool:
    """Whether `goal` is reached now; without one, that of the world's scene."""
    goal = goal or world.scene.goal
    if goal.skill == "press":
        return world.pressed_m(goal.thing) > PRESSED_M
    thing = world.scene.thing(goal.thing)
    at = world.thing_m(goal.thing)
    if goal.skill == "pick":
        return bool(at[2] > thing.rest_z_m + LIFTED_M and all(world.touched_by(goal.thing)))
    assert goal.target is not None
    target = world.scene.thing(goal.target)
    to = world.thing_m(goal.target)
    gap = float(np.hypot(*(at - to)[:2]))
    if goal.skill == "push":
        return gap < thing.radius_m + target.radius_m + PUSH_GAP_M and at[2] < thing.rest_z_m + 0.02
    return inside(world, goal.thing, goal.target) and not any(world.touched_by(goal.thing))


def inside(world: World, thing_name: str, container_name: str) -> bool:
    """Whether a thing's lower end is within the container's walls; long things must stand."""
    thing, container = world.scene.thing(thing_name), world.scene.thing(container_name)
    at, to = world.thing_m(thing_name), world.thing_m(container_name)
    axis = world.thing_rotation(thing_name)[:, 2]
    if thing.kind in ("stick", "marker"):
        if abs(axis[2]) < 0.7:
            return False
        at = at - np.sign(axis[2]) * axis * thing.height_m / 2
        return bool(np.hypot(*(at - to)[:2]) < container.radius_m and at[2] < to[2] + container.height_m * 0.5)
    low_enough = at[2] - to[2] < max(container.height_m, thing.radius_m + 0.02)
    return bool(np.hypot(*(at - to)[:2]) < container.radius_m and low_enough)
