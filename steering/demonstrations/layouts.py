"""Known layouts: what robots and benchmarks call their cameras, states and actions.

A layout fits when its cameras and columns are all there, under any of their spellings; prefixes such as
`observation.images.` and `observation/` do not count.
"""

from __future__ import annotations

from dataclasses import dataclass

PREFIXES = ("observation", "observations", "obs", "images", "image", "state", "robot_state", "cam")
"""First parts of a feature's name that say nothing."""

AS_IT_IS = "Here a larger value closes; for a policy trained on this data as it is, set gripper_range to null."
TARGETS = "Its actions are joint positions to reach: past an episode's end the last one is repeated."


@dataclass(frozen=True)
class Layout:
    """A known layout. cameras: role -> spellings, the first found is taken; every role of `needed` must be found.

    state, action: groups of spellings, one column group each, all must be found. robots: what datasets call the robot,
    any part of the name; a layout with robots fits only those. rotate: degrees clockwise for all its cameras.
    gripper_range: where a larger value opens the gripper, which is turned over. why: sentences for `Guess.reasons`.
    sizes: numbers of (state, action), to tell apart layouts of the same names; None fits any. absolute_actions: its
    actions are joint positions to reach. pose: so many numbers at the state's beginning are the end effector's pose,
    the rest its gripper; 0 where they are joints, or named.
    """

    name: str
    cameras: dict[str, tuple[str, ...]]
    state: tuple[tuple[str, ...], ...]
    action: tuple[tuple[str, ...], ...]
    needed: tuple[str, ...] = ("exterior",)
    formats: tuple[str, ...] = ()
    robots: tuple[str, ...] = ()
    rotate: int = 0
    gripper_range: tuple[float, float] | None = None
    sizes: tuple[int | None, int | None] = (None, None)
    absolute_actions: bool = False
    pose: int = 0
    why: tuple[str, ...] = ()


LAYOUTS = (
    Layout(
        "workbench",
        {"exterior": ("exterior",), "wrist": ("wrist",)},
        (("state",),),
        (("action",),),
        formats=("workbench recording",),
        why=("A recording of this workbench needs no mapping.",),
    ),
    Layout(
        "DROID",
        {
            "exterior": ("exterior_image_1_left", "exterior_1_left", "view_0"),
            "wrist": ("wrist_image_left", "wrist_left", "view_2"),
        },
        (
            ("joint_position", "joint_positions", "state.joint_position", "robot_state/joint_positions"),
            ("gripper_position", "gripper_positions", "state.gripper_position", "robot_state/gripper_position"),
        ),
        (("actions", "action.original", "action"),),
        why=("DROID's first exterior and wrist camera, as the π0 checkpoints of DROID take them.",),
    ),
    Layout(
        "DROID",
        {
            "exterior": ("exterior_image_1_left", "exterior_1_left"),
            "wrist": ("wrist_image_left", "wrist_left"),
        },
        (("robot_state/joint_positions",), ("robot_state/gripper_position",)),
        (("action/joint_velocity",), ("action/gripper_position",)),
        needed=(),
        formats=("DROID HDF5",),
        why=("DROID's joint velocities and gripper position as the action, as openpi converts them.",),
    ),
    Layout(
        "LIBERO",
        {"exterior": ("agentview_rgb",), "wrist": ("eye_in_hand_rgb",)},
        (("ee_states",), ("gripper_states",)),
        (("actions",),),
        rotate=180,
        why=(
            "LIBERO stores its pictures upside down; they are turned by 180°, as openpi, OpenVLA and lerobot do.",
            "State: end-effector pose and gripper fingers, the 8 numbers that π0's LIBERO checkpoints take.",
        ),
    ),
    Layout(
        "LIBERO",
        {"exterior": ("image",), "wrist": ("wrist_image", "image2", "wrist_image2")},
        (("state",),),
        (("actions", "action"),),
        needed=("exterior", "wrist"),
        sizes=(8, 7),
        pose=6,
        why=("LIBERO converted to LeRobot: its pictures are stored upright.",),
    ),
    Layout(
        "robomimic",
        {"exterior": ("agentview_image", "frontview_image"), "wrist": ("robot0_eye_in_hand_image",)},
        (("robot0_eef_pos",), ("robot0_eef_quat",), ("robot0_gripper_qpos",)),
        (("actions",),),
        needed=(),
        why=("robosuite's observations, as robomimic's own policies take them.",),
    ),
    Layout(
        "ALOHA",
        {
            "exterior": ("cam_high", "top", "high"),
            "wrist": ("cam_left_wrist", "left_wrist"),
            "right_wrist": ("cam_right_wrist", "right_wrist"),
        },
        (("state", "qpos"),),
        (("action",),),
        sizes=(14, 14),
        absolute_actions=True,
        why=("ALOHA's two arms: 6 joints and a gripper each; the left one's camera is the wrist.", TARGETS),
    ),
    Layout(
        "SO-101",
        {
            "exterior": ("front", "top", "laptop", "scene", "side", "up", "base", "overhead", "phone", "webcam"),
            "wrist": ("wrist", "gripper", "hand", "arm", "phone"),
        },
        (("state",),),
        (("action",),),
        robots=("so100", "so101", "so-100", "so-101", "so_100", "so_101"),
        sizes=(6, 6),
        gripper_range=(0.0, 100.0),
        absolute_actions=True,
        why=(
            "SO-100 and SO-101: five joints and a gripper from 0 (closed) to 100 (open), turned over.",
            AS_IT_IS,
            TARGETS,
        ),
    ),
    Layout(
        "Bridge",
        {"exterior": ("image_0", "image", "images0"), "wrist": ("image_3", "wrist")},
        (("state",),),
        (("action",),),
        robots=("widowx", "bridge"),
        sizes=(None, 7),
        pose=6,
        gripper_range=(0.0, 1.0),
        why=("Bridge's action ends in a gripper from 0 (closed) to 1 (open), which is turned over.", AS_IT_IS),
    ),
)


def spellings(name: str) -> set[str]:
    """The name and what is left of it without prefixes that say nothing, in lower case."""
    found = {name.lower()}
    rest = name.lower()
    while True:
        cut = min((at for at in (rest.find("."), rest.find("/")) if at > 0), default=-1)
        if cut < 0 or rest[:cut] not in PREFIXES:
            return found
        rest = rest[cut + 1 :]
        found.add(rest)
