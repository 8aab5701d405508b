"""One to three stacks of unequal sizes through scores, null, sets, links, tables and the map; planted heads found."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from app.views.head_map import head_map, selection_of
from steering import figures
from steering.errors import InputError, NotFound
from steering.metrics import PRESETS
from steering.relevance import tables
from steering.relevance.conditioning import Conditioner
from steering.relevance.over_time import over_time
from steering.relevance.projection import project
from steering.relevance.replication import replicate
from steering.relevance.scoring import prepare, rescore, score
from steering.relevance.targets import named
from steering.relevance.trust import trust
from steering.selection import algebra, controls, exchange, rules
from steering.store import Store
from steering.types import Activations, Head, HeadShape, Relevance, Selection, Stack

SHAPES = {
    "one": HeadShape((Stack("vlm", 3, 4, 6),)),
    "two": HeadShape((Stack("vlm", 2, 5, 4), Stack("expert", 4, 3, 7))),
    "three": HeadShape((Stack("vlm", 2, 3, 4), Stack("bridge", 1, 6, 8), Stack("expert", 3, 2, 5))),
}
PLANTED = {"one": [(2, 3)], "two": [(1, 4), (3, 2)], "three": [(1, 2), (0, 5), (2, 1)]}
"""Of each stack the last layer's last head, the cell nearest to those that other stacks do not have."""
KS = (3, 6)


def captured(which: str, seed: int = 0) -> Activations:
    """Noise, but for one head a stack that says the action; a state that says nothing."""
    shape, generator = SHAPES[which], np.random.default_rng(seed)
    lengths = (12, 14, 13, 12, 15, 13)
    count = sum(lengths)
    action = generator.uniform(-1, 1, (count, 4)).astype(np.float32)
    outputs = np.zeros((count, *shape.grid, shape.head_dim), np.float32)
    for s, one in enumerate(shape.stacks):
        cells = (slice(None), s, slice(one.layers), slice(one.heads), slice(one.head_dim))
        outputs[cells] = generator.standard_normal((count, one.layers, one.heads, one.head_dim))
        outputs[(slice(None), s, *PLANTED[which][s], slice(4))] = action + 0.05 * generator.standard_normal((count, 4))
        outputs[(slice(None), s, *PLANTED[which][s], slice(4, None))] = 0
    return Activations(
        outputs=outputs,
        episode=np.repeat(np.arange(len(lengths)), lengths).astype(np.int32),
        frame=np.concatenate([np.arange(n) for n in lengths]).astype(np.int32),
        action=action,
        chunk=action[:, None],
        state=generator.standard_normal((count, 3)).astype(np.float32),
        time_in_episode=np.concatenate([np.linspace(0, 1, n) for n in lengths]).astype(np.float32),
        tokens=("first_action",) * len(shape.stacks),
        timestep=1.0,
        seed=0,
        inert=np.zeros(shape.grid, bool),
        stacks=shape.stacks,
    )


def planted(which: str) -> tuple[Head, ...]:
    return tuple(Head(one.name, *at) for one, at in zip(SHAPES[which].stacks, PLANTED[which], strict=True))


@pytest.fixture(params=SHAPES)
def which(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("preset", PRESETS)
def test_planted_heads_are_the_best_of_their_stacks_and_absent_ones_nowhere(which: str, preset: str) -> None:
    activations, shape = captured(which), SHAPES[which]
    relevance = score(activations, preset, KS)
    assert relevance.shape == shape and set(relevance.best_k) == set(relevance.cv_mse) == set(shape.names)
    arrays = [relevance.score, relevance.error, relevance.dimension_r2, relevance.gain, relevance.gripper]
    for values in (one for one in arrays if one is not None):
        np.testing.assert_array_equal(np.isfinite(values), np.broadcast_to(shape.present, values.shape))
    np.testing.assert_array_equal(relevance.inert, ~shape.present)
    for head in planted(which):
        assert rules.top_k(relevance, 1, (head.stack,)).heads == (head,)
    assert set(rules.top_k(relevance, len(shape.stacks), shape.names).heads) == set(planted(which))
    assert set(rules.ranking(relevance)) == set(shape.all_heads()) and len(rules.ranking(relevance)) == shape.count
    with pytest.raises(InputError, match=f"at most {shape.count} heads"):
        rules.top_k(relevance, shape.count + 1, shape.names)


@pytest.mark.parametrize("metric", ["knn", "ridge"])
def test_a_stack_scores_as_it_does_alone(metric: str) -> None:
    """The zeros that fill narrow heads up and the cells that a stack lacks change nothing."""
    activations = captured("three")
    together = score(activations, "default", KS, metric)
    for s, one in enumerate(SHAPES["three"].stacks):
        own = activations.outputs[:, s : s + 1, : one.layers, : one.heads, : one.head_dim]
        alone = replace(
            activations,
            outputs=np.ascontiguousarray(own),
            inert=np.zeros(own.shape[1:4], bool),
            tokens=("first_action",),
            stacks=(one,),
        )
        found = score(alone, "default", KS, metric)
        np.testing.assert_allclose(together.score[s, : one.layers, : one.heads], found.score[0], atol=2e-6)
        assert together.cv_mse[one.name] == pytest.approx(found.cv_mse[one.name], abs=2e-6)


def test_intervals_and_the_null_are_over_the_heads_that_there_are(which: str) -> None:
    activations, shape = captured(which), SHAPES[which]
    neighbours, target = prepare(activations), named("action", activations)
    relevance = score(activations, "default", KS, neighbours=neighbours)
    everything = np.ones(len(activations.episode), bool)
    options = {"set_size": 2, "replicates": 6, "permutations": 39, "conditioner": Conditioner(activations)}
    found = trust(relevance, neighbours, target, everything, **options)
    assert set(found.stability) == set(shape.names) and np.isfinite(found.null_max).all()
    for values in (found.p, found.p_head, found.score_low, found.rank_high, found.chosen_share):
        np.testing.assert_array_equal(np.isfinite(values), shape.present)
    for head in planted(which):
        assert found.p[shape.place(head)] <= 0.05 and found.rank_high[shape.place(head)] == 1
    chosen = rules.above_null(relevance, found.p, 0.05, shape.names)
    assert set(planted(which)) <= set(chosen.heads) and len(chosen.heads) < shape.count / 2
    by_time = over_time(activations, neighbours, target, k=3, preset="default", bins=2)
    np.testing.assert_array_equal(np.isfinite(by_time.score), np.broadcast_to(shape.present, by_time.score.shape))
    again = replicate(
        (activations, captured(which, 1)), relevance.best_k, (3,), preset="paper", set_size=1, replicates=2
    )
    assert set(again.stability) == set(shape.names)
    assert all(values[0, 1] > 0.9 for values in again.stability.values())


def test_sets_in_links_and_files_come_back(which: str) -> None:
    shape, generator = SHAPES[which], np.random.default_rng(1)
    everything = shape.all_heads()
    assert exchange.hex_digits(shape) == -(-shape.count // 4)
    for size in range(shape.count + 1):
        heads = shape.ordered(everything[i] for i in generator.permutation(shape.count)[:size])
        assert exchange.from_hex(exchange.to_hex(heads, shape), shape) == heads
        if heads:
            assert exchange.from_json(exchange.to_json(rules.manual(heads, shape)), shape).heads == heads
        cells = [int(np.ravel_multi_index(shape.place(head), shape.grid)) for head in heads]
        assert selection_of(cells, shape) == heads
    assert selection_of(range(-3, 1000), shape) == everything
    for absent in (Head("vlm", 0, 9), Head("vlm", 9, 0), Head(shape.names[-1], *shape.grid[1:])):
        assert absent not in shape
        with pytest.raises(InputError, match="There is no head"):
            exchange.to_hex([absent], shape)
    with pytest.raises(NotFound, match="no stack 'other'"):
        rules.manual([Head("other", 0, 0)], shape)


def test_controls_and_algebra_stay_within_each_stack(which: str) -> None:
    activations, shape = captured(which), SHAPES[which]
    relevance = score(activations, "paper", KS)
    heads = Selection(planted(which), "planted")
    for seed in range(5):
        drawn = controls.random_heads(heads, shape, seed, relevance.inert)
        assert [head.stack for head in drawn.heads] == list(shape.names) and not set(drawn.heads) & set(heads.heads)
        assert all(head in shape for head in drawn.heads)
    assert len(controls.bottom(relevance, shape.count, shape.names).heads) == shape.count
    found = algebra.overlap(heads.heads, heads.heads, shape, relevance.inert, ("a", "b"))
    assert found.expected == pytest.approx(sum(1 / (one.layers * one.heads) for one in shape.stacks))
    counted, _ = algebra.held_by({"a": heads.heads}, shape, relevance.inert)
    assert counted.tolist() == [shape.count - len(shape.stacks), len(shape.stacks)]


def test_tables_figures_and_the_map_show_the_heads_that_there_are(which: str) -> None:
    activations, shape = captured(which), SHAPES[which]
    relevance = score(activations, "default", KS)
    header, *rows = tables.rows(relevance)
    assert [tuple(row[:3]) for row in rows] == [(h.stack, h.layer, h.head) for h in shape.all_heads()]
    assert all("" not in row[header.index("score") : header.index("score") + 2] for row in rows)
    document = json.loads(json.dumps(tables.document(relevance), allow_nan=False))
    sizes = {name: (len(of_stack), len(of_stack[0])) for name, of_stack in document["score"].items()}
    assert sizes == {one.name: (one.layers, one.heads) for one in shape.stacks}
    drawn = head_map("k", "d", relevance, planted(which))
    names = [name for name in drawn["names"] if name]
    assert len(names) == shape.count and len(drawn["names"]) == len(drawn["score"]) == np.prod(shape.grid)
    assert [drawn["names"][i] for i in drawn["selected"]] == [
        h.label()[:1].upper() + h.label()[1:] for h in planted(which)
    ]
    assert drawn["names"][drawn["focus"]] in [drawn["names"][i] for i in drawn["selected"]]
    assert not any(drawn["inert"]) and drawn["ranked"] == [one.layers * one.heads for one in shape.stacks]
    assert [(s["layers"], s["heads"]) for s in drawn["stacks"]] == [(one.layers, one.heads) for one in shape.stacks]
    for s, one in enumerate(figures.head_map(relevance).data):
        assert np.asarray(one.z).shape == (shape.stacks[s].layers, shape.stacks[s].heads)
    shown = itertools.chain(*(bar.y for bar in figures.head_bars(relevance, count=len(shape.stacks)).data))
    assert set(shown) == {head.label() for head in planted(which)}


def test_questions_about_one_head_know_their_stack(which: str) -> None:
    activations = captured(which)
    neighbours = prepare(activations)
    quick = rescore(activations, neighbours, k=3, preset="paper")
    for head in planted(which):
        place = SHAPES[which].place(head)
        assert quick.score[place] == np.nanmax(quick.score[place[0]])
        assert project(activations, head, np.zeros(len(activations.episode))).points.std() > 0
    with pytest.raises(InputError, match="There is no head"):
        project(activations, Head("vlm", 9, 9), np.zeros(len(activations.episode)))


def test_stacks_are_stored_with_what_they_are_of(which: str, tmp_path) -> None:
    activations, store = captured(which), Store(tmp_path)
    relevance = score(activations, "paper", KS)
    assert store.load(store.save("activations", activations)).shape == SHAPES[which]
    assert store.load(store.save("relevance", relevance)).shape == SHAPES[which]


def test_arrays_that_do_not_fit_their_stacks_are_refused() -> None:
    activations = captured("three")
    for stacks in ((), SHAPES["two"].stacks, SHAPES["one"].stacks):
        with pytest.raises(InputError, match="of the size of its stacks"):
            replace(activations, stacks=stacks)
    relevance: Relevance = score(activations, "paper", KS)
    with pytest.raises(InputError, match="of the size of its stacks"):
        replace(relevance, stacks=())
    for stacks in ((), (Stack("vlm", 1, 1, 1),) * 2, (Stack("vlm", 0, 1, 1),)):
        with pytest.raises(InputError, match="at least one"):
            HeadShape(stacks)
