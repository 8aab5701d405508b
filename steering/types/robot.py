"""Whose motions demonstrations are: what the robot is called, and what each column of its state and action is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from steering.errors import InputError
from steering.types.axes import ACTION_NAMES, STATE_NAMES

COLUMN_ROLES = ("joint", "pose", "gripper", "other")
"""What a column may be: a joint's angle, part of an end effector's pose, a gripper's opening, or neither."""
ARM_JOINTS = 7
TWO_ARMS = {14: 7, 16: 8}
"""Columns of two arms with a gripper each -> columns of one arm: six joints and a gripper (ALOHA), or seven."""


@dataclass(frozen=True)
class Robot:
    """What made the demonstrations.

    name: as the data call it, e.g. `so101_follower`, or empty. state_names, action_names: of the columns as they were
    recorded, () where the data do not say. state_roles, action_roles: one of COLUMN_ROLES for each column, () where it
    goes by their number (`arm`, `grippers`). turned: (low, high) where the grippers of the action were turned over,
    x -> low + high - x, () where they are as recorded. cameras: role -> what the recording calls that camera, of those
    whose pictures are as recorded.
    """

    name: str = ""
    state_names: tuple[str, ...] = ()
    action_names: tuple[str, ...] = ()
    state_roles: tuple[str, ...] = ()
    action_roles: tuple[str, ...] = ()
    turned: tuple[float, ...] = ()
    cameras: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = sorted({*self.state_roles, *self.action_roles} - set(COLUMN_ROLES))
        if unknown or len(self.turned) not in (0, 2):
            raise InputError(
                f"Expected columns of {', '.join(COLUMN_ROLES)} and a range of two numbers, got {unknown}."
            )

    def grippers(self, dims: int) -> tuple[int, ...]:
        """The columns of an action of `dims` numbers that are grippers: one an arm, the last where nobody said."""
        if len(self.action_roles) == dims:
            return _places(self.action_roles, "gripper")
        one = TWO_ARMS.get(dims)
        return (one - 1, dims - 1) if one else (dims - 1,) if dims else ()

    def arm(self, state_dims: int, action_dims: int) -> tuple[str, tuple[int, ...]]:
        """(`joint` or `pose`, the columns of the state whose motion is the arms').

        The joints where there are some, else the end effectors' poses. Where nobody said: of two arms all but their
        grippers, else the first ARM_JOINTS.
        """
        if len(self.state_roles) == state_dims:
            kind = "joint" if "joint" in self.state_roles or "pose" not in self.state_roles else "pose"
            return kind, _places(self.state_roles, kind)
        if state_dims in TWO_ARMS and action_dims in TWO_ARMS:
            one = TWO_ARMS[state_dims]
            return "joint", tuple(i for i in range(state_dims) if i % one != one - 1)
        return "joint", tuple(range(min(ARM_JOINTS, state_dims)))

    def names(self, what: str, dims: int) -> tuple[str, ...]:
        """Names of the columns of `state` or `action`; of the simulator where the data do not say and the size fits."""
        given, known = (self.state_names, STATE_NAMES) if what == "state" else (self.action_names, ACTION_NAMES)
        if len(given) == dims:
            return given
        return known if len(known) == dims else tuple(f"{what}_{i + 1}" for i in range(dims))

    def as_recorded(self, action: np.ndarray) -> np.ndarray:
        """float32 [frame, dim]: the actions with their grippers turned back."""
        if not self.turned:
            return action.astype(np.float32)
        back, columns = action.astype(np.float64), list(self.grippers(action.shape[1]))
        back[:, columns] = sum(self.turned) - back[:, columns]
        return back.astype(np.float32)


def _places(roles: Sequence[str], wanted: str) -> tuple[int, ...]:
    return tuple(i for i, role in enumerate(roles) if role == wanted)
