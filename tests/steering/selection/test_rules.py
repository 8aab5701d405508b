from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from steering.errors import InputError, NotFound
from steering.selection import controls, rules
from steering.types import PAPER_SET_SIZE, Head, HeadShape, Relevance, Selection

SHAPE = HeadShape.pair(3, 8, 16)


@pytest.fixture
def relevance() -> Relevance:
    """Distinct scores; the two best VLM heads and the whole last VLM layer are inert."""
    score = np.random.default_rng(0).permutation(48).reshape(2, 3, 8).astype(np.float32)
    score[0, 2] -= 100
    inert = np.zeros((2, 3, 8), bool)
    inert[0, 2] = True
    inert[0].ravel()[np.argsort(score[0].ravel())[-2:]] = True
    return Relevance(
        metric="knn",
        preset="paper",
        target="raw action",
        score=score,
        error=np.zeros((2, 2, 3, 8), np.float32),
        ks=(10, 20),
        best_k={"vlm": 20, "expert": 10},
        cv_mse={"vlm": 0.25, "expert": 0.5},
        baselines={},
        inert=inert,
        tokens=("last_prefix", "state"),
    )


def scores(relevance, selection):
    return [relevance.score[("vlm", "expert").index(h.stack), h.layer, h.head] for h in selection.heads]


def test_top_k_takes_the_highest_scores_that_are_not_inert(relevance):
    chosen = rules.top_k(relevance, 5)
    offered = np.sort(relevance.score[0][~relevance.inert[0]])
    np.testing.assert_array_equal(np.sort(scores(relevance, chosen)), offered[-5:])
    assert {head.stack for head in chosen.heads} == {"vlm"}
    assert list(chosen.heads) == sorted(chosen.heads, key=SHAPE.place)
    assert chosen.rule == "top 5 of vlm by knn (paper)"


def test_both_stacks_compete_by_score(relevance):
    chosen = rules.top_k(relevance, 10, ("vlm", "expert"))
    offered = np.sort(relevance.score[~relevance.inert])
    np.testing.assert_array_equal(np.sort(scores(relevance, chosen)), offered[-10:])
    assert chosen.best_k is None and chosen.cv_mse is None


def test_ties_go_to_the_lower_head_and_expert_sorts_after_vlm(relevance):
    flat = replace(relevance, score=np.zeros((2, 3, 8), np.float32), inert=np.zeros((2, 3, 8), bool))
    assert rules.top_k(flat, 2).heads == (Head("vlm", 0, 0), Head("vlm", 0, 1))
    assert rules.ranking(flat)[23:25] == [Head("vlm", 2, 7), Head("expert", 0, 0)]


def test_best_k_and_cv_mse_only_where_they_are_of_this_very_set(relevance):
    expert = rules.top_k(relevance, PAPER_SET_SIZE, ("expert",))
    assert (expert.best_k, expert.cv_mse) == (10, 0.5)
    assert rules.top_k(relevance, 7, ("expert",)).cv_mse is None
    all_movable = rules.top_k(relevance, 14)  # fewer than 20 can move: the set is all of them
    assert (all_movable.best_k, all_movable.cv_mse) == (20, 0.25)
    ridge = replace(relevance, best_k={}, ks=())
    assert rules.top_k(ridge, PAPER_SET_SIZE, ("expert",)).best_k is None


@pytest.mark.parametrize("choose", [rules.top_k, controls.bottom])
def test_zero_heads_or_more_than_there_are_is_an_error(relevance, choose):
    for count in (0, -3):
        with pytest.raises(InputError, match="at least one head"):
            choose(relevance, count)
    with pytest.raises(InputError, match="at most 14 heads"):
        choose(relevance, 15)
    with pytest.raises(InputError, match="one or more of vlm, expert"):
        choose(relevance, 1, ())
    with pytest.raises(NotFound, match="Did you mean 'vlm'"):
        choose(relevance, 1, ("vlmm",))


def test_manual_sorts_and_checks():
    heads = {Head("expert", 0, 1), Head("vlm", 2, 3), Head("vlm", 0, 7)}
    chosen = rules.manual(heads, SHAPE)
    assert chosen == Selection((Head("vlm", 0, 7), Head("vlm", 2, 3), Head("expert", 0, 1)), "manual")
    inert = np.zeros((2, 3, 8), bool)
    inert[0, 2, 3] = True
    for bad, words in (
        ([], "No head is selected"),
        ([Head("vlm", 0, 1)] * 2, "more than once"),
        ([Head("vlm", 3, 0)], "it has 3 layers"),
        ([Head("vlm", 0, -1)], "8 heads, counted from 0"),
        ([Head("vlm", 2, 3)], "inert"),
    ):
        with pytest.raises(InputError, match=words):
            rules.manual(bad, SHAPE, inert)


def test_bottom_takes_the_lowest_that_are_not_inert(relevance):
    chosen = controls.bottom(relevance, 4)
    offered = np.sort(relevance.score[0][~relevance.inert[0]])
    np.testing.assert_array_equal(np.sort(scores(relevance, chosen)), offered[:4])


def test_random_heads_keep_the_layers_and_avoid_the_selection_and_inert_heads():
    selected = Selection(
        tuple(Head("vlm", 0, h) for h in range(3)) + tuple(Head("expert", 2, h) for h in range(7)), "manual"
    )
    inert = np.zeros((2, 3, 8), bool)
    inert[0, 0, 7] = True
    drawn = set()
    for seed in range(30):
        control = controls.random_heads(selected, SHAPE, seed, inert)
        assert control == controls.random_heads(selected, SHAPE, seed, inert)
        vlm = [head.head for head in control.heads if (head.stack, head.layer) == ("vlm", 0)]
        expert = [head.head for head in control.heads if (head.stack, head.layer) == ("expert", 2)]
        assert len(control.heads) == 10 and len(vlm) == 3 and len(expert) == 7
        assert set(vlm) <= {3, 4, 5, 6}  # not selected, not inert
        assert 7 in expert  # the only other head, then six of the selected
        drawn.add(control.heads)
    assert len(drawn) > 10


def test_random_heads_need_room_and_a_selection():
    inert = np.ones((2, 3, 8), bool)
    with pytest.raises(InputError, match="at most 0 heads"):
        controls.random_heads(Selection((Head("vlm", 0, 0),), "manual"), SHAPE, 0, inert)
    with pytest.raises(InputError, match="at least one head"):
        controls.random_heads(Selection((), "manual"), SHAPE, 0)
    with pytest.raises(InputError, match="another policy"):
        controls.random_heads(Selection((Head("vlm", 9, 0),), "manual"), SHAPE, 0)


def p_values(relevance, **of_heads):
    p = np.full(relevance.score.shape, 0.5, np.float32)
    p[relevance.inert] = np.nan
    for place, value in of_heads.items():
        p[tuple(map(int, place[1:]))] = value
    return p


def test_above_null_takes_every_significant_head_of_the_stacks(relevance):
    movable = [tuple(map(int, place)) for place in np.argwhere(~relevance.inert)]
    vlm, expert = movable[0], next(place for place in movable if place[0] == 1)
    p = p_values(relevance)
    p[vlm], p[expert] = 0.049, 0.001
    assert rules.above_null(relevance, p).heads == (Head("vlm", *vlm[1:]),)
    both = rules.above_null(relevance, p, 0.05, ("vlm", "expert"))
    assert both.heads == (Head("vlm", *vlm[1:]), Head("expert", *expert[1:]))
    assert both.rule == "above the null at p < 0.05 of vlm and expert by knn (paper)"
    with pytest.raises(InputError, match="lowest p-value is 0.001"):
        rules.above_null(relevance, p, 0.0005)
    with pytest.raises(InputError, match="between 0 and 1"):
        rules.above_null(relevance, p, 0)
    with pytest.raises(InputError, match="same heads"):
        rules.above_null(relevance, p[:, :2])


def test_an_inert_head_is_never_above_the_null(relevance):
    with pytest.raises(InputError, match="No head"):
        rules.above_null(relevance, np.where(relevance.inert, 0.0, 1.0))


def test_budget_takes_as_many_of_the_best_as_fit(relevance):
    """Cost of a layer and of a head, as of low-rank adapters; against trying every number of heads."""

    def count(heads):
        return 100 * len({(head.stack, head.layer) for head in heads}) + 7 * len(heads)

    ranked = rules.ranking(relevance, ("vlm", "expert"))
    for parameters in range(107, 1000, 13):
        chosen = rules.budget(relevance, parameters, count, ("vlm", "expert"))
        fitting = [n for n in range(1, len(ranked) + 1) if count(ranked[:n]) <= parameters]
        assert set(chosen.heads) == set(ranked[: max(fitting)])
        assert count(chosen.heads) <= parameters
    with pytest.raises(InputError, match="alone trains 107"):
        rules.budget(relevance, 106, count)


def test_greedy_against_a_brute_force_loop(relevance):
    """Errors of a set that depend on all of its heads; the loop is written as the release's is."""
    weight = np.random.default_rng(2).random(48)
    pair = np.random.default_rng(3).random((48, 48))

    def error(k, heads):
        index = [int(np.ravel_multi_index(SHAPE.place(head), (2, 3, 8))) for head in heads]
        return sum(weight[i] for i in index) / len(index) + pair[np.ix_(index, index)].mean() * k / 10

    def errors(k, chosen, candidates):
        return np.array([error(k, (*chosen, one)) for one in candidates])

    found = []
    for k in (10, 20):
        selected = []
        while len(selected) < 5:
            trials = [
                (error(k, (*selected, head)), head)
                for head in rules.ranking(relevance, ("vlm",))
                if head not in selected
            ]
            lowest, best = min(trials)
            selected.append(best)
        found.append((lowest, k, selected))
    lowest, k, selected = min(found)
    chosen = rules.greedy(relevance, errors, 5)
    assert set(chosen.heads) == set(selected) and chosen.best_k == k and chosen.cv_mse == pytest.approx(lowest)
    only = rules.greedy(relevance, errors, 5, ks=(20,))
    assert set(only.heads) == set(found[1][2])
    with pytest.raises(InputError, match="those of the relevance"):
        rules.greedy(relevance, errors, 5, ks=(15,))
    with pytest.raises(InputError, match="at most 14"):
        rules.greedy(relevance, errors, 15)


def test_ties_of_greedy_go_to_the_head_that_is_better_alone(relevance):
    alone = np.random.default_rng(5).random((2, 2, 3, 8)).astype(np.float32)
    chosen = rules.greedy(replace(relevance, error=alone), lambda k, chosen, heads: np.zeros(len(heads)), 3, ks=(10,))
    order = sorted(rules.ranking(relevance, ("vlm",)), key=lambda head: alone[(0, *SHAPE.place(head))])
    assert set(chosen.heads) == set(order[:3])


def test_heads_of_another_task_say_how_many_are_shared(relevance):
    other = replace(relevance, score=np.random.default_rng(9).permutation(48).reshape(2, 3, 8).astype(np.float32))
    chosen = controls.other_task(relevance, other, "press_button", 5)
    assert chosen.heads == rules.top_k(other, 5).heads
    shared = set(chosen.heads) & set(rules.top_k(relevance, 5).heads)
    assert chosen.rule.endswith(f"for press_button by knn (paper), {len(shared)} of them also the task's own")
    with pytest.raises(InputError, match="same heads"):
        controls.other_task(relevance, replace(other, score=other.score[:, :2], stacks=()), "press_button", 5)


def test_alpha_lies_between_0_and_1_and_p_below_it(relevance):
    place = tuple(map(int, np.argwhere(~relevance.inert)[0]))
    p = p_values(relevance)
    p[place] = 0.25
    assert rules.ALPHA == 0.05
    assert rules.above_null(relevance, p, 0.26).heads == (Head("vlm", *place[1:]),)
    with pytest.raises(InputError, match=r"at p < 0.25; the lowest p-value is 0.25"):
        rules.above_null(relevance, p, 0.25)
    with pytest.raises(InputError, match="no p-value is known"):
        rules.above_null(relevance, np.full_like(p, np.nan))
    for alpha in (1, 0, -0.1, 1.1):
        with pytest.raises(InputError, match="between 0 and 1"):
            rules.above_null(relevance, p, alpha)


def test_a_budget_may_hold_all_heads_or_one(relevance):
    asked = []

    def count(heads):
        asked.append(len(heads))
        return 10 * len(heads)

    assert len(rules.budget(relevance, 140, count).heads) == len(rules.budget(relevance, 10**9, count).heads) == 14
    assert len(rules.budget(relevance, 10, count).heads) == 1 and len(asked) <= 3 * 4
    nobody = replace(relevance, inert=np.ones((2, 3, 8), bool))
    with pytest.raises(InputError, match="parameters. Raise"):
        rules.budget(nobody, 10, count)


def test_as_many_heads_as_can_be_chosen(relevance):
    assert len(rules.top_k(relevance, 14).heads) == len(controls.bottom(relevance, 14).heads) == 14
    assert len(rules.top_k(relevance, 1).heads) == len(controls.bottom(relevance, 1).heads) == 1
    first = rules.greedy(relevance, lambda k, chosen, heads: np.arange(len(heads)) + k + 0.5, 14)
    assert len(first.heads) == 14 and (first.best_k, first.cv_mse) == (10, 10.5)
    assert rules.top_k(relevance, 14, ("vlm",)).rule == "top 14 of vlm by knn (paper)"
    assert rules.chosen_stacks(replace(relevance), None) == ("vlm",)
    with pytest.raises(InputError, match="each once"):
        rules.check_stacks(("vlm", "vlm"), SHAPE)
