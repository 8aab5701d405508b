"""Pretraining data: frames of noisy episodes, each labelled with what the expert would do from there.

The arm is driven by the expert with random pushes (or by a policy, for the correction stage); at sampled frames the
simulator is saved, the expert runs for one action chunk, and the simulator is restored. So labels are clean however
far the state is off the expert's path (DAgger, Ross et al. 2011; DART, Laskey et al. 2017), and a second instruction
is labelled on the same frame, so that only the words tell the two labels apart. Every frame also has dense labels:
kind, colour, centre offset and distance of the thing in each image patch, from the segmentation.

Cost: about 20 ms a frame on one core; a shard of 25 episodes has some 700 frames and 45 MB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from steering.models.policy import Policy
from steering.simulation.experts import Disturbance, expert_action
from steering.simulation.families import FAMILIES, STEP_LIMITS, family_scene, goals, instruct
from steering.simulation.objects import COLOURS, KINDS
from steering.simulation.scene import Goal
from steering.simulation.tasks import succeeded
from steering.simulation.world import ACTION_DIM, World
from steering.types import CAMERAS, Observation

IMAGE_PX = 96
PATCH_PX = 16
GRID = IMAGE_PX // PATCH_PX
CHUNK = 10
SHARD_EPISODES = 25
DRIVEN_STEPS = 5
"""Control steps between two questions to a driving policy."""
PLACES = 14
"""Numbers of the grounding target: per named thing (object, then destination) image place in each camera (2 × 2,
−1..1) and offset from the tool centre point (3, in units of 0.2 m)."""
_KIND_INDEX = {kind: i + 2 for i, kind in enumerate(KINDS)}  # 0 nothing, 1 robot
_COLOUR_INDEX = {colour: i + 1 for i, colour in enumerate(COLOURS)}
KIND_CLASSES, COLOUR_CLASSES = len(KINDS) + 2, len(COLOURS) + 1

Driver = Callable[[World], np.ndarray]


@dataclass(frozen=True)
class Shard:
    """Labelled frames. images: uint8 [frame, camera, 96, 96, 3]. state: float32 [frame, 8].

    instruction: str [frame, label]; chunk: float32 [frame, label, step, 7]; place: float32 [frame, label, PLACES]
    with has_target bool [frame, label]; patch_kind, patch_colour: uint8 [frame, camera, patch]; patch_offset:
    float16 [frame, camera, patch, 3] (columns, rows in patches, log metres), NaN where there is no thing.
    """

    images: np.ndarray
    state: np.ndarray
    instruction: np.ndarray
    chunk: np.ndarray
    place: np.ndarray
    has_target: np.ndarray
    patch_kind: np.ndarray
    patch_colour: np.ndarray
    patch_offset: np.ndarray


def load_shard(path: Path) -> Shard:
    """Read a shard written by `collect_shard`."""
    with np.load(path, allow_pickle=False) as arrays:
        return Shard(**{f.name: arrays[f.name] for f in fields(Shard)})


def collect_shard(
    path: Path,
    index: int,
    density: float = 0.4,
    driver: Callable[[World, np.random.Generator], Driver] | None = None,
) -> None:
    """Collect shard `index` into `path` unless it exists. `driver` moves the arm; default: expert with pushes.

    `density`: how many frames of an episode are kept; 1 keeps a third of them, twice that while grasping.
    """
    if path.exists():
        return
    rows: dict[str, list] = {f.name: [] for f in fields(Shard)}
    for episode in range(index * SHARD_EPISODES, (index + 1) * SHARD_EPISODES):
        _episode(rows, episode, density, driver)
    arrays: dict[str, Any] = {name: np.stack(values) for name, values in rows.items()}
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **arrays)
    partial.rename(path)


def _episode(rows: dict[str, list], seed: int, density: float, driver: Callable | None) -> None:
    rng = np.random.default_rng([seed, 11])
    family = FAMILIES[seed % len(FAMILIES)]
    world = World(family_scene(family, 1_000_000 + seed))
    try:
        drive = driver(world, rng) if driver is not None else None
        disturb = Disturbance(rng)
        after = 0
        for _ in range(int(STEP_LIMITS[family] * 1.1)):
            action, phase = expert_action(world)
            if rng.random() < density * (0.6 if phase == "grasp" else 0.3):
                _record(rows, world, phase, rng)
            world.step(drive(world) if drive is not None else disturb(action))
            if world.thing_m(world.scene.goal.thing)[2] < -0.1:  # fell off the table
                break
            after += succeeded(world)
            if after > 8:
                break
    finally:
        world.close()


def policy_driver(policy: Policy) -> Callable[[World, np.random.Generator], Driver]:
    """A driver for the correction stage: the policy drives, and the expert takes over for a while now and then."""

    def for_world(world: World, rng: np.random.Generator) -> Driver:
        actions: list[np.ndarray] = []
        expert_left = 0

        def drive(world: World) -> np.ndarray:
            nonlocal actions, expert_left
            if expert_left > 0:
                expert_left -= 1
                return expert_action(world)[0]
            if not actions:
                if rng.random() < 0.15:
                    expert_left = int(rng.integers(5, 25))
                observation = Observation(
                    {camera: world.render(camera)[None] for camera in CAMERAS},
                    world.state()[None],
                    (world.scene.instruction,),
                )
                noise = rng.standard_normal((1, policy.chunk_size, policy.noise_dim)).astype(np.float32)
                actions = list(policy.act(observation, noise)[0][:DRIVEN_STEPS])
            return actions.pop(0)

        return drive

    return for_world


def expert_chunk(world: World, goal: Goal) -> np.ndarray:
    """The expert's next CHUNK actions towards `goal`, float32 [step, 7]; the world is left as it was."""
    before = world.snapshot()
    actions = np.empty((CHUNK, ACTION_DIM), np.float32)
    for step in range(CHUNK):
        actions[step], _ = expert_action(world, goal)
        if step + 1 < CHUNK:
            world.step(actions[step])
    world.restore(before)
    return actions


def _record(rows: dict[str, list], world: World, phase: str, rng: np.random.Generator) -> None:
    scene = world.scene
    wanted = [scene.goal]
    others = [g for g in goals(scene.things) if g.thing != scene.goal.thing or g.skill != scene.goal.skill]
    free = phase == "approach" and not any(world.touched_by(scene.goal.thing))
    wanted.append(others[int(rng.integers(len(others)))] if others and free else scene.goal)
    views = {camera: _Projection(world, camera) for camera in CAMERAS}
    rows["images"].append(np.stack([box_reduce(world.render(camera)) for camera in CAMERAS]))
    rows["state"].append(world.state())
    rows["instruction"].append(np.array([instruct(rng, goal, scene.things) for goal in wanted], dtype="U64"))
    chunk = expert_chunk(world, wanted[0])
    same = wanted[1] is wanted[0]
    rows["chunk"].append(np.stack([chunk, chunk if same else expert_chunk(world, wanted[1])]))
    rows["place"].append(np.stack([_places(world, goal, views) for goal in wanted]))
    rows["has_target"].append(np.array([goal.target is not None for goal in wanted]))
    dense = [_dense(world, camera, views[camera]) for camera in CAMERAS]
    for i, name in enumerate(("patch_kind", "patch_colour", "patch_offset")):
        rows[name].append(np.stack([d[i] for d in dense]))


def box_reduce(image: np.ndarray) -> np.ndarray:
    """uint8 [192, 192, 3] to [96, 96, 3] by averaging 2 × 2 pixels, rounded as the policy's preprocessing does."""
    factor = image.shape[0] // IMAGE_PX
    blocks = image.reshape(IMAGE_PX, factor, IMAGE_PX, factor, 3).astype(np.float32).mean((1, 3))
    return np.floor(blocks + 0.5).astype(np.uint8)


class _Projection:
    """Image places of points: columns and rows in −1..1 across the image, and the distance in metres."""

    def __init__(self, world: World, camera: str) -> None:
        view = world.data.camera(camera)
        self._pos, self._axes = view.xpos.copy(), view.xmat.reshape(3, 3).copy()
        self._scale = 1 / np.tan(np.deg2rad(world.model.camera(camera).fovy[0]) / 2)

    def __call__(self, point_m: np.ndarray) -> np.ndarray:
        x, y, z = self._axes.T @ (point_m - self._pos)
        depth = max(-z, 0.02)
        return np.array([x / depth * self._scale, -y / depth * self._scale, depth])


def _places(world: World, goal: Goal, views: dict[str, _Projection]) -> np.ndarray:
    parts = []
    for name in (goal.thing, goal.target or goal.thing):
        at = world.thing_m(name) + [0, 0, world.scene.thing(name).height_m / 2 - world.scene.thing(name).rest_z_m]
        parts += [np.clip(views[camera](at)[:2], -1.5, 1.5) for camera in CAMERAS]
        parts.append((at - world.position_m()) / 0.2)
    return np.concatenate(parts).astype(np.float32)


def _dense(world: World, camera: str, view: _Projection) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    things = world.scene.things
    labels = world.segmentation(camera, IMAGE_PX) + 2  # 0 robot, 1 nothing, 2.. things
    patches = labels.reshape(GRID, PATCH_PX, GRID, PATCH_PX).transpose(0, 2, 1, 3).reshape(GRID * GRID, -1)
    counts = np.stack([(patches == label).sum(1) for label in range(len(things) + 2)], axis=1)
    best = counts[:, 2:].argmax(1)
    has_thing = counts[np.arange(len(best)), best + 2] >= 6
    robot = counts[:, 0] > patches.shape[1] // 2
    kind = np.where(has_thing, [_KIND_INDEX[things[i].kind] for i in best], robot.astype(int)).astype(np.uint8)
    colour = np.where(has_thing, [_COLOUR_INDEX[things[i].colour] for i in best], 0).astype(np.uint8)
    centres = np.array([view(world.thing_m(t.name)) for t in things])
    grid = (np.arange(GRID) + 0.5) / GRID * 2 - 1
    patch_centres = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)  # columns, rows
    offset = np.concatenate([(centres[best, :2] - patch_centres) * GRID / 2, np.log(centres[best, 2:])], axis=1)
    offset[~has_thing] = np.nan
    return kind, colour, np.clip(offset, -4, 4).astype(np.float16)
