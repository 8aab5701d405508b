"""The sentence that leads the Heads step, on several data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.questions.lead_sentence import lead_sentence, set_facts, set_sentence, stack_facts
from steering.types import Head, Relevance, Stack, Trust

SHAPE = (2, 2, 4)


def scored(vlm: list[float], expert: list[float], preset: str = "default", **more: object) -> Relevance:
    """Scores of four heads of layer 0 each; layer 1 of the VLM is inert, layer 1 of the expert repeats layer 0."""
    score = np.array([[vlm, [9.0] * 4], [expert, expert]], np.float32)
    inert = np.zeros(SHAPE, bool)
    inert[0, 1] = True
    fields = {"metric": "knn", "target": "action", "error": np.zeros((0, *SHAPE), np.float32), "ks": (), "best_k": {}}
    fields |= {"cv_mse": {}, "baselines": {}, "tokens": ("last_prefix", "first_action")}
    return Relevance(**{**fields, "preset": preset, "score": score, "inert": inert, **more})  # type: ignore[arg-type]


def chance(told_vlm: int, told_expert: int, permutations: int = 200) -> Trust:
    p = np.ones(SHAPE)
    p[0, 0, :told_vlm] = 0.01
    p[1].reshape(-1)[:told_expert] = 0.01
    flat = np.zeros(SHAPE)
    return Trust(flat, flat, flat, flat, flat, {}, p, p, np.zeros(permutations), 100, permutations, 4, 0)


def test_counts_are_of_heads_that_can_move_an_action() -> None:
    vlm, expert = stack_facts(scored([0.1, -0.1, -0.2, -0.3], [0.3, 0.2, 0.1, -0.1]), chance(1, 6))
    assert (vlm.heads, vlm.above, vlm.told, vlm.best_head) == (4, 1, 1, "VLM 0.0")
    assert (expert.heads, expert.above, expert.told) == (8, 6, 6)
    assert expert.middle == pytest.approx(0.15) and expert.best == pytest.approx(0.3)


def test_where_no_head_tells_anything_the_sentence_says_so() -> None:
    none = scored([0.0, -0.2, -0.3, -0.4], [0.0, -0.2, -0.5, -0.6])
    assert lead_sentence(none, chance(0, 0)) == (
        "No head tells anything of what joint state and time leave open of the action. No head can be told from chance."
    )


def test_the_strict_score_speaks_of_shares_and_of_p_that_says_little() -> None:
    relevance = scored([0.18, 0.1, 0.1, 0.02], [0.23, 0.12, 0.12, 0.05])
    assert lead_sentence(relevance, chance(4, 7)) == (
        "Of what joint state and time leave open of the action, the median head explains 12\u00a0% in the action "
        "expert and 10\u00a0% in the VLM; the best, action expert 0.0, 23\u00a0%. 4 of 4 VLM heads and 7 of 8 action "
        "expert heads can be told from chance, so the size of a score tells more than its p."
    )
    some = lead_sentence(relevance, chance(0, 3))
    assert some.endswith("3 of 8 action expert heads and 0 of 4 VLM heads can be told from chance.")
    assert lead_sentence(relevance, target="state").startswith("Of what time leaves open of the joint state, ")


def test_the_paper_s_score_is_set_beside_what_needs_no_head() -> None:
    baselines = {"mean_action": 0.2, "state_time": 0.05}
    found = lead_sentence(scored([0.8] * 4, [0.9] * 4, "paper", baselines=baselines, phase="grasp"), target="chunk")
    assert found == (
        "The median head explains 90\u00a0% in the action expert and 80\u00a0% in the VLM of how the action chunk in "
        "grasp frames varies; joint state and time alone, without any head, 75\u00a0%."
    )


def test_measures_that_run_the_policy_have_their_unit_and_no_chance() -> None:
    found = lead_sentence(scored([0.001, 0.002, 0, 0], [-0.02, 0.01, 0, 0], "policy", metric="mean_ablation"))
    assert found == (
        "By mean ablation the median VLM head scores 5.0e\u22124 flow-matching loss, against 0.00 in the action "
        "expert; the best is action expert 0.1, 0.010."
    )


def test_unmeasured_chance_is_not_spoken_of_and_one_stack_stands_alone() -> None:
    assert "chance" not in lead_sentence(scored([0.1] * 4, [0.2] * 4), chance(4, 4, permutations=0))
    score = np.array([[[0.1, -0.1]]], np.float32)
    alone = replace(
        scored([0.1] * 4, [0.2] * 4),
        score=score,
        inert=np.zeros(score.shape, bool),
        error=np.zeros((0, *score.shape), np.float32),
        stacks=(Stack("language_model", 1, 2, 4),),
        tokens=("last_word",),
    )
    assert lead_sentence(alone).endswith(
        "the median head explains 0\u00a0% in the language model; the best, language model 0.0, 10\u00a0%."
    )
    still = replace(alone, inert=np.ones(score.shape, bool))
    assert lead_sentence(still) == "No head of this policy can move an action."


def test_what_the_selected_heads_share() -> None:
    relevance = scored([0.3, 0.2, 0.1, 0.0], [0.3, 0.2, 0.1, 0.0])
    mass = np.zeros((3, *SHAPE, 5))
    mass[..., 1] = 0.6  # the wrist camera
    mass[:, 0, 0, 0] = [0.9, 0, 0, 0, 0]  # but one head, at the exterior camera
    vlm = [Head("vlm", 0, head) for head in range(3)]
    facts = set_facts(vlm, relevance, mass)
    assert facts is not None and (facts.look, facts.place, facts.best) == (2, "wrist", 3)
    assert set_sentence(facts) == (
        "The 3 selected: VLM, layer 0; 2 look most at the wrist camera; the best by this measure."
    )
    mixed = [Head("vlm", 0, 3), Head("expert", 1, 0), Head("expert", 1, 3)]
    assert set_sentence(set_facts(mixed, relevance, mass)) == (
        "The 3 selected: 1 VLM and 2 action expert, layers 0 to 1; all look mostly at the wrist camera; 1 of them "
        "among the 3 best by this measure."
    )
    assert set_sentence(set_facts(vlm[:1])) == "The one selected: VLM, layer 0."
    assert set_facts([]) is None and set_sentence(None) == ""
