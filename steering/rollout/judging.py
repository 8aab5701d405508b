"""Why a rollout failed, from the simulator's ground truth: what was touched, held, moved and missed at every step.

The kinds are those of `types.FAILURES`. A kind is decided by how far the episode came, in the order of the skill:
reach, touch, grasp, carry, let go. Costs about 40 µs a control step.
"""

from __future__ import annotations

import numpy as np

from steering.simulation.robot import FINGERS
from steering.simulation.tasks import LIFTED_M, PRESSED_M, PUSH_GAP_M
from steering.simulation.world import World

REACHED_M = 0.04
"""Nearer than this to the place of its grasp (or a button's cap) the tool has reached a thing."""
LIFTED_CLEAR_M = 0.015
"""A thing held so far above its rest has been picked up."""
MOVED_M = 0.015
BESIDE_M = 0.05
"""A thing let go nearer than this to the container was meant for it."""
NEAR_M = 0.03
"""What was left at a failure `near_success`."""


class Judge:
    """Watches one World; call `watch` after every control step."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._goal = goal = world.scene.goal
        self._thing = world.scene.thing(goal.thing)
        self._target = world.scene.thing(goal.target) if goal.target else None
        model = world.model
        roots = model.body_rootid[model.geom_bodyid]
        self._roots = roots  # [geom], the body of the thing that a geom belongs to
        self._fingers = [model.geom(name).id for name in FINGERS]
        self._root = model.body(goal.thing).id
        ours = {goal.thing, goal.target}
        self._others = np.array([model.body(t.name).id for t in world.scene.things if t.name not in ours], dtype=int)
        self._start_m = world.thing_m(goal.thing)
        self._nearest_m = np.inf
        self._pressed_m = 0.0
        self._touched = self._lifted = False
        self.wrong_object = False

    def watch(self) -> None:
        """Take note of the world as it is now."""
        self._nearest_m = min(self._nearest_m, self._reach_m())
        touched = self._touched_by()
        self._touched |= any(self._root in roots for roots in touched)
        self.wrong_object |= any(np.isin(roots, self._others).any() for roots in touched)
        held = self._held(touched)
        self._lifted |= held and self._lift_m() > LIFTED_CLEAR_M
        if self._goal.skill == "press":
            self._pressed_m = max(self._pressed_m, self._world.pressed_m(self._thing.name))

    def distance_m(self) -> float:
        """What is left to the goal now, in metres.

        pick: from the tool to the grasp, and the height still to lift. place: horizontally to inside the container's
        rim, and down from above it. push: the gap beyond the one allowed. press: from the tool to the cap.
        """
        skill = self._goal.skill
        if skill == "press":
            return self._reach_m()
        if skill == "pick":
            return max(LIFTED_M - self._lift_m(), 0.0) + (0.0 if self._held(self._touched_by()) else self._reach_m())
        gap = self._gap_m()
        assert self._target is not None
        if skill == "push":
            return max(gap - self._thing.radius_m - self._target.radius_m - PUSH_GAP_M, 0.0)
        above = self._world.thing_m(self._thing.name)[2] - self._thing.rest_z_m - self._target.height_m
        aside = max(gap - self._target.radius_m, 0.0)
        return float(np.hypot(aside, max(above, 0.0)))

    def failure(self) -> str:
        """The kind of failure, one of types.FAILURES, of an episode that ended now without success."""
        if not self._touched:
            if self.wrong_object:
                return "wrong_object"
            if self._goal.skill == "press" and self._nearest_m < REACHED_M:
                return "missed_target"
            return "reached_not_grasped" if self._nearest_m < REACHED_M else "never_reached"
        return {"press": self._press, "push": self._push}.get(self._goal.skill, self._grasp)()

    def _press(self) -> str:
        return "near_success" if self._pressed_m > PRESSED_M / 4 else "missed_target"

    def _push(self) -> str:
        if self.distance_m() < NEAR_M:
            return "near_success"
        moved = np.linalg.norm((self._world.thing_m(self._thing.name) - self._start_m)[:2])
        return "missed_target" if moved > MOVED_M else "reached_not_moved"

    def _grasp(self) -> str:
        """Of pick and place."""
        if not self._lifted:
            return "reached_not_grasped"
        held = self._held(self._touched_by())
        near = self.distance_m() < NEAR_M
        if self._goal.skill == "pick":
            return "dropped" if not held else "near_success" if near else "timed_out"
        if held:
            return "near_success" if near else "timed_out"
        return "missed_target" if self.distance_m() < BESIDE_M else "dropped"

    def _touched_by(self) -> tuple[np.ndarray, np.ndarray]:
        """Bodies of the things that the (left, right) finger touches."""
        data = self._world.data
        pairs = data.contact.geom[: data.ncon]  # [contact, 2]
        left, right = (self._roots[pairs[:, ::-1][pairs == finger]] for finger in self._fingers)
        return left, right

    def _held(self, touched: tuple[np.ndarray, np.ndarray]) -> bool:
        return all(self._root in roots for roots in touched)

    def _reach_m(self) -> float:
        at = self._world.thing_m(self._thing.name)
        up = self._thing.top_z_m if self._goal.skill == "press" else self._thing.grasp_z_m
        return float(np.linalg.norm(self._world.position_m() - at - np.array([0.0, 0.0, up])))

    def _lift_m(self) -> float:
        return float(self._world.thing_m(self._thing.name)[2] - self._thing.rest_z_m)

    def _gap_m(self) -> float:
        assert self._target is not None
        offset = self._world.thing_m(self._thing.name) - self._world.thing_m(self._target.name)
        return float(np.hypot(offset[0], offset[1]))
