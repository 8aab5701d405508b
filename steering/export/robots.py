"""What a policy is told of its robot when it leaves: names, cameras, and statistics in the robot's own units.

The gripper of an action may have been turned over for training, x -> low + high - x. That is affine like every
normalisation here, so it is undone in the statistics: of a turned dimension the centre is low + high - centre and the
scale the negative one. Policies then take and give what the robot does, in training too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from steering.errors import InputError
from steering.models.lerobot_layout import BOUNDS, IMAGES
from steering.models.preprocessing import Statistics, camera_order, cameras_by_slot
from steering.types import Robot

SLOTS = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")
"""π0's own cameras, where a checkpoint names none."""


@dataclass(frozen=True)
class Carried:
    """What goes along with the weights.

    statistics: in the robot's units. modes: how state and action are normalised, in lerobot's words. slots: camera ->
    the policy's own name of it. recorded: camera -> what the recording calls it. size_px: side of the policy's input.
    limit: most tokens of an instruction.
    """

    statistics: Statistics
    modes: tuple[str, str]
    robot: Robot
    slots: Mapping[str, str]
    recorded: Mapping[str, str]
    size_px: int
    limit: int

    @property
    def rename_map(self) -> dict[str, str]:
        """lerobot's names of pictures that come -> those that the policy reads."""
        renamed = {}
        for role, slot in self.slots.items():
            recorded = self.recorded.get(role, "")
            feature = (
                recorded if recorded.startswith(IMAGES) else f"{IMAGES}{recorded.replace('/', '.').split('.')[-1]}"
            )
            for name in (feature, f"{IMAGES}{role}"):
                if name not in (IMAGES, f"{IMAGES}{slot}"):
                    renamed[name] = f"{IMAGES}{slot}"
        return renamed

    @property
    def numbers(self) -> dict[str, dict[str, np.ndarray]]:
        """`observation.state` and `action` -> lerobot's statistics of their normalisation, float32 [dim] each."""
        s = self.statistics
        pairs = {"observation.state": (s.state_mean, s.state_std), "action": (s.actions_mean, s.actions_std)}
        return {name: _numbers(mode, *pair) for (name, pair), mode in zip(pairs.items(), self.modes, strict=True)}


def _numbers(mode: str, centre: np.ndarray, scale: np.ndarray) -> dict[str, np.ndarray]:
    found = {"mean": centre, "std": scale}
    if mode in BOUNDS:
        low, high = BOUNDS[mode]
        found |= {low: centre - scale, high: centre + scale}
    return {name: np.ascontiguousarray(value, np.float32) for name, value in found.items()}


def in_the_robots_units(statistics: Statistics, robot: Robot) -> Statistics:
    """The statistics that give actions as the robot takes them."""
    if not robot.turned:
        return statistics
    mean, std = statistics.actions_mean.copy(), statistics.actions_std.copy()
    columns = list(robot.grippers(len(mean)))
    mean[columns], std[columns] = np.float32(sum(robot.turned)) - mean[columns], -std[columns]
    return replace(statistics, actions_mean=mean, actions_std=std)


def slots_of(cameras: Sequence[str], own: Sequence[str]) -> dict[str, str]:
    """Camera -> the policy's name of it, in the order in which the policy was trained to see them.

    own: the checkpoint's names; where it has none, π0's. Raises InputError where the policy has too few.
    """
    if own:
        return {camera: slot for slot, camera in cameras_by_slot(cameras, own).items()}
    if not 0 < len(cameras) <= len(SLOTS):
        raise InputError(f"Expected 1 to {len(SLOTS)} cameras, which is what π0's layouts have; got {len(cameras)}.")
    return dict(zip(camera_order(cameras), SLOTS, strict=False))
