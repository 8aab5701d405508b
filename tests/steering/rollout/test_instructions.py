"""Changed instructions: the scene stays, the words and the named goal change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from steering.errors import NotFound
from steering.rollout.episode import Episode, Start
from steering.rollout.instructions import change_instruction
from steering.simulation.experts import expert_action
from steering.simulation.objects import COLOURS
from steering.simulation.tasks import TASKS, bench_scene
from steering.simulation.world import World


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("instruction", ["original", "empty", "rephrased", "renamed"])
def test_only_the_words_change(task: str, instruction: str) -> None:
    for seed in range(4):
        scene = bench_scene(task, seed, ("distractors",))
        changed, named = change_instruction(scene, instruction, seed)
        assert replace(changed, instruction=scene.instruction) == scene
        assert (changed, named) == change_instruction(scene, instruction, seed)
        assert (changed.instruction == scene.instruction) == (instruction == "original")
        if instruction == "empty":
            assert changed.instruction == ""
        if instruction == "rephrased":
            assert scene.thing(scene.goal.thing).kind in changed.instruction and named is None
            assert "{" not in changed.instruction and "None" not in changed.instruction


def test_a_renamed_instruction_names_another_thing_of_the_scene() -> None:
    found = 0
    for seed in range(10):
        scene = bench_scene("pick_cube", seed, ("distractors",))
        changed, named = change_instruction(scene, "renamed", seed)
        if named is None:
            continue
        found += 1
        thing = scene.thing(named.thing)
        assert thing.name != "cube" and named.skill == "pick"
        assert changed.instruction == f"pick up the {thing.phrase if thing.kind == 'cube' else thing.kind}"
    assert found >= 8


def test_where_there_is_no_other_thing_an_absent_colour_is_named() -> None:
    scene = bench_scene("press_button", 0)
    changed, named = change_instruction(scene, "renamed", 0)
    words = changed.instruction.split()
    assert named is None and words[-1] == "button" and words[-2] in COLOURS and words[-2] != "red"


def test_success_is_counted_for_both_goals() -> None:
    """An expert that goes for the newly named thing reaches that goal and not the task's own."""
    seed = next(
        s for s in range(20) if change_instruction(bench_scene("pick_cube", s, ("distractors",)), "renamed", s)[1]
    )
    scene, named = change_instruction(bench_scene("pick_cube", seed, ("distractors",)), "renamed", seed)
    assert named is not None
    reader = World(replace(scene, goal=named))
    actions = []
    for _ in range(130):
        actions.append(expert_action(reader)[0])
        reader.step(actions[-1])
    episode = Episode(Start(0, scene, 130, named=named))
    for at in range(0, 130, 5):
        episode.advance(np.array(actions[at : at + 5]), 5)
    outcome = episode.finish()
    assert outcome.named_success is True and not outcome.success and outcome.wrong_object
    assert outcome.failure == "wrong_object"


def test_an_unknown_instruction_is_refused() -> None:
    with pytest.raises(NotFound, match="Did you mean 'renamed'"):
        change_instruction(bench_scene("pick_cube", 0), "rename", 0)
