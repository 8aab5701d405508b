"""Pretraining scenes: nothing of the bench in them, words that name what is there, experts that manage."""

import numpy as np
import pytest

from steering.simulation.expert_table import steps_to_success
from steering.simulation.families import FAMILIES, STEP_LIMITS, family_scene, goals, instruction_corpus, renamed
from steering.simulation.objects import COLOURS, KINDS

SEEDS = range(80)


@pytest.mark.parametrize("family", FAMILIES)
def test_families_keep_the_things_of_the_bench_out(family: str) -> None:
    kinds = {thing.kind for seed in SEEDS for thing in family_scene(family, seed).things}
    assert not kinds & {"mug", "marker", "cup"}
    assert len(kinds) >= 6


@pytest.mark.parametrize("family", FAMILIES)
def test_instructions_name_things_of_the_scene(family: str) -> None:
    for seed in SEEDS:
        scene = family_scene(family, seed)
        assert scene.goal.skill == family and scene.goal in goals(scene.things)
        words = scene.instruction.split()
        kinds = [(i, word) for i, word in enumerate(words) if word in KINDS]
        goal_things = [scene.thing(name) for name in (scene.goal.thing, scene.goal.target) if name]
        assert [kind for _, kind in kinds] == [thing.kind for thing in goal_things]
        for (i, kind), thing in zip(kinds, goal_things, strict=True):
            colour = words[i - 1] if words[i - 1] in COLOURS else None
            meant = [t for t in scene.things if t.kind == kind and colour in (None, t.colour)]
            assert meant == [thing], "the words pick out exactly one thing"


def test_scenes_vary_and_the_same_seed_gives_the_same_scene() -> None:
    for family in FAMILIES:
        scenes = [family_scene(family, seed) for seed in SEEDS]
        assert scenes == [family_scene(family, seed) for seed in SEEDS]
        assert len({scene.view for scene in scenes}) == len({scene.look for scene in scenes}) == len(scenes)
        assert len({scene.instruction for scene in scenes}) > len(scenes) // 3


def test_the_tokenizer_corpus_covers_every_instruction() -> None:
    known = {word for line in instruction_corpus() for word in line.split()}
    spoken = {w for family in FAMILIES for seed in SEEDS for w in family_scene(family, seed).instruction.split()}
    assert spoken <= known


@pytest.mark.parametrize("family", FAMILIES)
def test_the_expert_succeeds(family: str) -> None:
    limit = STEP_LIMITS[family]
    won = [steps_to_success(family_scene(family, seed), limit, lambda action: action) for seed in range(5)]
    assert None not in won


def test_some_kinds_go_by_another_name() -> None:
    rng = np.random.default_rng(0)
    texts = [renamed(rng, "put the red stick in the pot") for _ in range(200)]
    assert set(texts) == {f"put the red {a} in the {b}" for a in ("stick", "marker") for b in ("pot", "mug")}
    assert 50 < sum("marker" in text for text in texts) < 110
    assert renamed(rng, "press the button", rate=1.0) == "press the button"
