"""Changed instructions: does the policy do what the words say?

    empty       no words at all
    rephrased   other words for the same goal (those of pretraining, which a finetune on the bench has not seen)
    renamed     another thing of the scene is named that the skill fits; where there is none, one that is not there

A policy that reads fails the task's own goal when another thing is named, and reaches the goal that is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from steering.errors import unknown_name
from steering.simulation.objects import COLOURS, GRASPABLE, PUSHABLE, Thing
from steering.simulation.scene import Goal, Scene
from steering.types import INSTRUCTIONS

_OTHER_WORDS: Mapping[str, tuple[str, ...]] = {
    "pick": ("grab the {thing}", "lift the {thing}", "take the {thing}"),
    "place": ("put the {thing} in the {target}", "drop the {thing} into the {target}"),
    "push": ("slide the {thing} to the {target}", "push the {thing} next to the {target}"),
    "press": ("push down the {thing}", "hit the {thing}"),
}
_FITS: Mapping[str, tuple[str, ...]] = {
    "pick": GRASPABLE,
    "place": GRASPABLE,
    "push": PUSHABLE,
    "press": ("button",),
}
"""Kinds of things that a skill can be done to."""


def change_instruction(scene: Scene, instruction: str, seed: int) -> tuple[Scene, Goal | None]:
    """`scene` under an instruction of types.INSTRUCTIONS, and the goal that a `renamed` one names, if it is there.

    The scene's own goal stays. The same seed gives the same words.
    """
    if instruction not in INSTRUCTIONS:
        raise unknown_name("instruction", instruction, INSTRUCTIONS)
    if instruction == "original":
        return scene, None
    if instruction == "empty":
        return replace(scene, instruction=""), None
    rng = np.random.default_rng([seed, 17])
    thing = scene.thing(scene.goal.thing)
    if instruction == "rephrased":
        target = scene.thing(scene.goal.target).kind if scene.goal.target else None
        words = _OTHER_WORDS[scene.goal.skill]
        return replace(scene, instruction=words[rng.integers(len(words))].format(thing=thing.kind, target=target)), None
    taken = (thing.name, scene.goal.target)
    others = [t for t in scene.things if t.name not in taken and t.kind in _FITS[scene.goal.skill]]
    if not others:
        return replace(scene, instruction=scene.instruction.replace(thing.kind, _absent(scene, thing, rng), 1)), None
    other = others[rng.integers(len(others))]
    name = other.phrase if other.kind == thing.kind else other.kind
    named = replace(scene.goal, thing=other.name)
    return replace(scene, instruction=scene.instruction.replace(thing.kind, name, 1)), named


def _absent(scene: Scene, thing: Thing, rng: np.random.Generator) -> str:
    """A thing of the same kind in a colour that the scene does not show."""
    absent = sorted(set(COLOURS) - {t.colour for t in scene.things})
    return f"{absent[rng.integers(len(absent))]} {thing.kind}"
