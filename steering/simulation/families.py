"""Pretraining scenes: many things, colours, tables, lights, camera poses and wordings; four skill families.

Deliberately not the bench: other containers and things (no mug, marker or cup), the exterior camera on another side,
other tables, and instructions that name colours. Every scene allows several instructions, so only the words say
which thing is meant.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from steering.simulation.objects import COLOURS, Thing
from steering.simulation.scene import Goal, Look, Scene, View
from steering.simulation.tasks import make_thing, place_apart, random_start

FAMILIES = ("pick", "place", "push", "press")
STEP_LIMITS = {"pick": 140, "place": 200, "push": 200, "press": 140}

_PICK_KINDS = ("cube", "cylinder", "ball", "block", "stick")
_CONTAINER_KINDS = ("bowl", "tray", "pot")
_PUSH_KINDS = ("can",)
_WORDINGS = {
    "pick": ("pick up the {thing}", "grab the {thing}", "lift the {thing}", "take the {thing}"),
    "place": (
        "put the {thing} in the {target}",
        "place the {thing} in the {target}",
        "drop the {thing} into the {target}",
        "move the {thing} into the {target}",
    ),
    "push": (
        "push the {thing} to the {target}",
        "slide the {thing} to the {target}",
        "push the {thing} next to the {target}",
    ),
    "press": ("press the {thing}", "push down the {thing}", "hit the {thing}"),
}
OTHER_NAMES = {"pot": "mug", "can": "cup", "stick": "marker"}
"""Kinds that pretraining also calls by a bench word, as a large VLM knows more words than its robot data has things."""
_BENCH_WORDS = (
    "mug",
    "marker",
    "cup",
    "table",
    "left",
    "right",
    "and",
    "then",
    "with",
    "on",
    "of",
    "a",
    "open",
    "close",
)


def instruction_corpus() -> Iterator[str]:
    """Instructions that cover every word, for training a tokenizer."""
    for colour in COLOURS:
        for kind in (*_PICK_KINDS, *_CONTAINER_KINDS, *_PUSH_KINDS, "pad", "button"):
            for wordings in _WORDINGS.values():
                for wording in wordings:
                    yield wording.format(thing=f"{colour} {kind}", target=f"{colour} {kind}")
    for word in _BENCH_WORDS:
        yield from [f"place the {word} in the {word}"] * 20


def goals(scene_things: tuple[Thing, ...]) -> tuple[Goal, ...]:
    """Every goal that the things of a scene allow."""
    graspable = [t for t in scene_things if t.kind in _PICK_KINDS]
    containers = [t for t in scene_things if t.kind in _CONTAINER_KINDS]
    ends = [t for t in scene_things if t.kind in ("pad", *_CONTAINER_KINDS)]
    pushable = [t for t in scene_things if t.kind in _PUSH_KINDS]
    made = [Goal("pick", t.name) for t in graspable]
    made += [
        Goal("place", t.name, c.name)
        for t in graspable
        for c in containers
        if t.kind != "block" or c.kind != "pot"
        if c.radius_m > 1.4 * t.radius_m + 0.008
    ]
    made += [Goal("push", t.name, e.name) for t in pushable for e in ends]
    made += [Goal("press", t.name) for t in scene_things if t.kind == "button"]
    return tuple(made)


def instruct(rng: np.random.Generator, goal: Goal, things: tuple[Thing, ...]) -> str:
    """A wording of `goal`; the colour is sometimes left out where the kind alone is unambiguous."""
    named = {}
    for role, name in (("thing", goal.thing), ("target", goal.target)):
        if name is None:
            continue
        thing = next(t for t in things if t.name == name)
        alone = sum(t.kind == thing.kind for t in things) == 1
        named[role] = thing.kind if alone and rng.random() < 0.4 else thing.phrase
    wordings = _WORDINGS[goal.skill]
    return wordings[rng.integers(len(wordings))].format(**named)


def renamed(rng: np.random.Generator, instruction: str, rate: float = 0.4) -> str:
    """`instruction` with each kind that has another name called by it at `rate`."""
    words = [OTHER_NAMES[w] if w in OTHER_NAMES and rng.random() < rate else w for w in instruction.split(" ")]
    return " ".join(words)


def _size(rng: np.random.Generator, kind: str) -> tuple[float, float]:
    """Radius and height in metres."""
    ranges = {
        "cube": ((0.017, 0.025), None),
        "block": ((0.014, 0.019), (0.026, 0.036)),
        "cylinder": ((0.016, 0.026), (0.035, 0.065)),
        "ball": ((0.018, 0.025), None),
        "stick": ((0.009, 0.013), (0.09, 0.12)),
        "bowl": ((0.054, 0.072), (0.038, 0.055)),
        "tray": ((0.050, 0.068), (0.025, 0.045)),
        "pot": ((0.034, 0.048), (0.05, 0.085)),
        "can": ((0.026, 0.036), (0.05, 0.085)),
        "pad": ((0.045, 0.065), (0.002, 0.0021)),
        "button": ((0.013, 0.024), (0.02, 0.032)),
    }
    radius_range, height_range = ranges[kind]
    radius = float(rng.uniform(*radius_range))
    return radius, 2 * radius if height_range is None else float(rng.uniform(*height_range))


def _things(rng: np.random.Generator, family: str) -> tuple[Thing, ...]:
    picks = list(rng.choice(_PICK_KINDS, rng.integers(1, 4)))
    containers = list(rng.choice(_CONTAINER_KINDS, rng.integers(0, 2)))
    if family == "place":
        containers = list(rng.choice(_CONTAINER_KINDS, rng.integers(1, 3)))
    kinds = picks + containers
    if family == "push":
        kinds = ["can", *picks[:1], *(containers or ["pad"])]
        if rng.random() < 0.3:
            kinds.append("can")
    elif family == "press":
        kinds = ["button"] * int(rng.integers(1, 4)) + picks[:1]
    elif rng.random() < 0.15:
        kinds.append("button")
    colours: dict[str, list[str]] = {}
    made = []
    for i, kind in enumerate(map(str, kinds)):
        free = [c for c in COLOURS if c not in colours.get(kind, [])]
        colour = free[int(rng.integers(len(free)))]
        colours.setdefault(kind, []).append(colour)
        radius, height = _size(rng, kind)
        made.append(
            make_thing(rng, f"thing_{i}", kind, colour, radius, height, turn_rad=0.7, fixed=kind in ("button", "pad"))
        )
    return place_apart(rng, made, gap_m=0.06 if family == "push" else 0.035)


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def family_scene(family: str, seed: int) -> Scene:
    """The pretraining scene of `seed` for one of FAMILIES."""
    rng = np.random.default_rng([seed, 7, FAMILIES.index(family)])
    things: tuple[Thing, ...] = ()
    while not (possible := [g for g in goals(things) if g.skill == family]):
        things = _things(rng, family)
    goal = possible[int(rng.integers(len(possible)))]
    view = View(
        azimuth_deg=float(rng.uniform(-25, 60)),
        elevation_deg=float(rng.uniform(30, 52)),
        distance_m=float(rng.uniform(0.95, 1.25)),
        fovy_deg=float(rng.uniform(38, 46)),
        target_m=_triple(rng.uniform([0.45, -0.04, 0.03], [0.53, 0.04, 0.1])),
    )
    table = rng.uniform(0.15, 0.9, 3)
    look = Look(
        table_rgb=_triple(table),
        table_rgb2=_triple(np.clip(table + rng.uniform(-0.12, 0.12), 0, 1)),
        floor_rgb=_triple(rng.uniform(0.2, 0.8, 3)),
        light_rgb=_triple(rng.uniform(0.45, 0.9) * rng.uniform(0.85, 1.0, 3)),
        ambient=float(rng.uniform(0.2, 0.5)),
        light_xyz=_triple(np.append(rng.uniform(-0.8, 0.8, 2), -1.0)),
    )
    start, turn = random_start(rng)
    return Scene(things, goal, instruct(rng, goal, things), view, look, start_m=start, start_turn_rad=turn)
