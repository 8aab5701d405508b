"""What each column of a state and an action is, from the names that a dataset gives them: a joint, a pose, a gripper.

Names of the single columns come first, then those of the features that they lie in, then what the layout knows, then
their number (`Robot.arm`, `Robot.grippers`). A mapping that names the columns itself is believed. Instant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Mapped
from collections.abc import Sequence
from typing import TYPE_CHECKING

from steering.demonstrations.layouts import LAYOUTS
from steering.demonstrations.mapping import Columns, Mapping
from steering.errors import InputError
from steering.types import Robot

if TYPE_CHECKING:
    from steering.demonstrations.dataset import Feature

GRIPPER = {"gripper", "grippers", "grip", "finger", "fingers", "claw", "jaw", "jaws"}
POSE = {
    *("x", "y", "z", "rx", "ry", "rz", "rw", "qx", "qy", "qz", "qw", "quat", "quaternion", "roll", "pitch", "yaw"),
    *("axis", "angle", "rot", "rotation", "rotvec", "orientation", "translation", "rpy", "xyz", "euler"),
    *("eef", "ee", "tcp", "pose", "cartesian"),
}
JOINT = {
    *("joint", "joints", "qpos", "shoulder", "elbow", "wrist", "forearm", "waist", "hip", "knee", "ankle"),
    *("neck", "head", "torso"),
}
MOVING = {"vel", "velocity", "velocities", "qvel", "effort", "torque", "torques", "current", "force", "ft", "acc"}
NOTHING = {
    *("left", "right", "l", "r", "arm", "arms", "robot", "main", "follower", "leader", "pos", "position", "positions"),
    *("state", "states", "observation", "observations", "obs", "action", "actions", "delta", "target", "value", "dim"),
}
"""Words that say neither: sides, arms, and what nearly every name holds."""


def robot_of(name: str, features: Mapped[str, Feature], mapping: Mapping) -> Robot:
    """The robot called `name` of a dataset with these features, as `mapping` takes its columns.

    Raises InputError where the mapping names columns that are not there.
    """
    names = {what: names_of(features, columns) for what, columns in _taken(mapping).items()}
    roles = {what: _roles(features, columns, what, mapping) for what, columns in _taken(mapping).items()}
    return Robot(
        name=name,
        state_names=names["state"] if _named(features, mapping.state) else (),
        action_names=names["action"] if _named(features, mapping.action) else (),
        state_roles=roles["state"],
        action_roles=roles["action"],
        turned=mapping.gripper_range or (),
        cameras={
            role: camera.feature
            for role, camera in mapping.cameras.items()
            if not (camera.rotate or camera.mirror or camera.bgr)
        },
    )


def names_of(features: Mapped[str, Feature], columns: Sequence[Columns]) -> tuple[str, ...]:
    """One name for every column that a mapping takes: the dataset's, or the feature's with a number."""
    found: list[str] = []
    for one in columns:
        feature = features.get(one.feature)
        if feature is None:
            continue
        short = feature.name.replace("/", ".").rpartition(".")[2]
        whole = _component_names(feature) or tuple(
            f"{short}_{i}" if feature.size > 1 else short for i in range(min(feature.size, 1024))
        )
        found += whole if one.indices is None else [whole[i] for i in one.indices if 0 <= i < len(whole)]
    return tuple(found)


def _component_names(feature: Feature) -> tuple[str, ...]:
    """The dataset's names of a feature's numbers; of chunks [step, dim] those of the first step, then with the step."""
    if len(feature.names) == feature.size:
        return feature.names
    if len(feature.shape) == 2 and len(feature.names) == feature.shape[1] and feature.size <= 1024:
        steps = range(feature.shape[0])
        return tuple(f"{name}@{step}" if step else name for step in steps for name in feature.names)
    return ()


def _taken(mapping: Mapping) -> dict[str, tuple[Columns, ...]]:
    return {"state": mapping.state, "action": mapping.action}


def _named(features: Mapped[str, Feature], columns: Sequence[Columns]) -> bool:
    """Whether the dataset calls the columns anything: by names of their own, or by the features that they lie in."""
    return len(columns) > 1 or any(features[one.feature].names for one in columns if one.feature in features)


def _roles(features: Mapped[str, Feature], columns: Sequence[Columns], what: str, mapping: Mapping) -> tuple[str, ...]:
    """A role for every column of the state or action."""
    dims = len(names_of(features, columns))
    named = mapping.grippers if what == "action" else mapping.arms
    if named is not None and not all(0 <= i < dims for i in named):
        label = "grippers" if what == "action" else "arms"
        raise InputError(f"{label} of the mapping should be columns 0 to {dims - 1} of the {what}, got {list(named)}.")
    found = [role for one in columns if one.feature in features for role in _feature_roles(features[one.feature], one)]
    if what == "action":
        if named is None:
            places = tuple(i for i, role in enumerate(found) if role == "gripper") or Robot().grippers(dims)
        else:
            places = named
        return tuple(
            "gripper" if i in places else "other" if one in ("gripper", "") else one for i, one in enumerate(found)
        )
    if named is not None:
        kind = "pose" if mapping.arms_are == "pose" else "joint"
        return tuple(kind if i in named else one if one == "gripper" else "other" for i, one in enumerate(found))
    if all(found):
        return tuple(found)
    return _by_number(found, dims, features, mapping)


def _by_number(found: Sequence[str], dims: int, features: Mapped[str, Feature], mapping: Mapping) -> tuple[str, ...]:
    """Roles of a state of which some columns have none by their names."""
    actions = len(names_of(features, mapping.action))
    known = (one for one in LAYOUTS if one.name == mapping.layout and one.pose and one.sizes[0] in (None, dims))
    pose = next((one.pose for one in known), 0)
    if pose:
        own = ["pose"] * min(pose, dims) + ["gripper"] * (dims - pose)
    else:
        robot = Robot()
        arm = robot.arm(dims, actions)[1]
        own = ["joint" if i in arm else "other" for i in range(dims)]
        if dims == actions:  # states and commands of the same columns
            commands = _roles(features, mapping.action, "action", mapping)
            own = ["gripper" if one == "gripper" else "joint" for one in commands]
    return tuple(one or other for one, other in zip(found, own, strict=True))


def _feature_roles(feature: Feature, columns: Columns) -> list[str]:
    """Roles of the columns that are taken of a feature; empty where its names say none."""
    of_all = role(words_of(feature.name))
    names = names_of({feature.name: feature}, (Columns(feature.name),))
    own = [role(words_of(name)) for name in names] if _component_names(feature) else [""] * len(names)
    whole = [one or of_all for one in own]
    return whole if columns.indices is None else [whole[i] for i in columns.indices if 0 <= i < len(whole)]


def said(robot: Robot, dims: tuple[int, int]) -> str:
    """Which columns make a frame a keyframe, as a sentence. dims: numbers of state and action."""
    kind, arm = robot.arm(*dims)
    names = {what: robot.names(what, size) for what, size in zip(("state", "action"), dims, strict=True)}
    moving = _listed([names["state"][i] for i in arm])
    what = "joints" if kind == "joint" else "pose of the end effector"
    closing = _listed([names["action"][i] for i in robot.grippers(dims[1])])
    arms = f"the arm is still by its {what} ({moving})" if arm else "no column of the state is an arm's"
    ends = f"closes by {closing}" if closing else "is in no column of the action"
    return f"Keyframes: {arms}; the gripper {ends}."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:16]) + (f" and {len(names) - 16} more" if len(names) > 16 else "")


def role(words: Sequence[str]) -> str:
    """The role that the words of a name say, or nothing."""
    said = [word for word in words if word not in NOTHING]
    if set(said) & MOVING:
        return "other"
    if set(said) & GRIPPER:
        return "gripper"
    if set(said) & JOINT:
        return "joint"
    if said and set(said) <= POSE:
        return "pose"
    return ""


def words_of(name: str) -> list[str]:
    """Words of a name in lower case, without digits: `observation/robot0_eef_pos`, `leftGripper`, `axis_angle1`."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word for word in re.split(r"[^a-z]+", spaced.lower()) if word]
