"""Head sets through the store and the command line: rules, controls, algebra, files, links and what a set is worth."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from steering import pipeline
from steering.cli import main as cli
from steering.errors import InputError, NotFound
from steering.relevance import sets, targets
from steering.selection import algebra, exchange, rules
from steering.store import Store
from steering.types import STACKS, Activations, Demonstrations, Episode, Head, HeadShape, Relevance

KS = (3, 5)
SHAPE = HeadShape.pair(3, 4, 1)


def build(seed: int, lengths: tuple[int, ...] = (14, 13, 15, 12)) -> tuple[Demonstrations, Activations]:
    """Noise, but for three VLM heads that carry a part of the action each."""
    generator = np.random.default_rng(seed)
    count = sum(lengths)
    action = generator.uniform(-1, 1, (count, 7)).astype(np.float32)
    outputs = generator.standard_normal((count, 2, 3, 4, 6)).astype(np.float32)
    for head in range(3):
        outputs[:, 0, 1, head, :2] += 6 * action[:, 2 * head : 2 * head + 2]
    state = generator.standard_normal((count, 8)).astype(np.float32)
    episode = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
    frame = np.concatenate([np.arange(length) for length in lengths]).astype(np.int32)
    episodes = tuple(
        Episode(f"e{i}", "press the button", 20.0, {}, state[episode == i], action[episode == i])
        for i in range(len(lengths))
    )
    clock = np.concatenate([np.linspace(0, 1, n) for n in lengths]).astype(np.float32)
    inert = HeadShape.pair(3, 4, 6).last_layer("vlm")
    tokens = ("last_prefix", "first_action")
    activations = Activations(outputs, episode, frame, action, action[:, None], state, clock, tokens, 1.0, 0, inert)
    return Demonstrations("noise", "", (), episodes), activations


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(scope="module", autouse=True)
def once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is scored is scored once and copied."""
    MADE["root"] = tmp_path_factory.mktemp("scored")
    yield
    MADE.clear()
    _scored.cache_clear()


MADE: dict[str, Path] = {}


@cache
def _scored(seed: int) -> tuple[Path, str, str]:
    """A store, and the ids of activations and of their relevance in it."""
    store = Store(MADE["root"] / str(seed))
    demonstrations, activations = build(seed)
    parent = store.save("demonstrations", demonstrations)
    made = store.save("activations", activations, parents=(parent,))
    return store.root, made, pipeline.score(store, activations_id=made, preset="default", ks=KS, keyframes=False)


def scored(store: Store, seed: int = 0) -> tuple[str, str]:
    """Ids of activations and of their relevance, in this store now."""
    root, made, relevance = _scored(seed)
    shutil.copytree(root / "artefacts", store.root / "artefacts", dirs_exist_ok=True)
    return made, relevance


def heads_of(store: Store, made: str) -> tuple[Head, ...]:
    heads: tuple[Head, ...] = store.load(made).heads
    return heads


def test_greedy_finds_the_planted_heads_and_its_error_is_that_of_its_set(store: Store) -> None:
    _, relevance = scored(store)
    made = pipeline.select(store, relevance_id=relevance, rule="greedy", count=3)
    selection = store.load(made)
    assert selection.heads == tuple(Head("vlm", 1, head) for head in range(3))
    found = pipeline.held_out_error(store, relevance_id=relevance, heads=selection.heads)
    assert found.k == selection.best_k and found.error == pytest.approx(selection.cv_mse, rel=1e-5)
    assert pipeline.select(store, relevance_id=relevance, rule="greedy", count=3) == made


def test_what_if_is_the_error_of_the_concatenated_set_on_what_was_asked(store: Store) -> None:
    activations_id, relevance_id = scored(store)
    activations, relevance = store.load(activations_id), store.load(relevance_id)
    heads = (Head("vlm", 1, 1), Head("expert", 0, 2))
    found = pipeline.held_out_error(store, relevance_id=relevance_id, heads=heads)
    target = targets.named("action", activations)
    everything = np.ones(len(activations.episode), bool)
    expected = sets.set_errors(activations, heads, sets.judge_of(activations, target, everything, "default"), KS)
    np.testing.assert_allclose(found.errors, expected, rtol=1e-5)
    assert found.k == KS[int(np.argmin(expected))] and found.zero == "state_time"
    assert found.score == pytest.approx(1 - min(expected) / relevance.baselines["state_time"], rel=1e-4)
    one = pipeline.held_out_error(store, relevance_id=relevance_id, heads=heads[:1], ks=(5,))
    assert one.error == pytest.approx(relevance.error[1, 0, 1, 1], rel=1e-4)
    began_s = time.perf_counter()
    pipeline.held_out_error(store, relevance_id=relevance_id, heads=SHAPE.all_heads())
    assert time.perf_counter() - began_s < 5  # nothing but the set is computed; the benchmark has the real figure


def test_what_if_follows_the_phase_that_was_asked(store: Store) -> None:
    demonstrations, activations = build(0)
    episodes = tuple(
        dataclasses.replace(e, phase=(np.arange(len(e.state)) > 6).astype(np.int8)) for e in demonstrations.episodes
    )
    parent = store.save("demonstrations", dataclasses.replace(demonstrations, episodes=episodes))
    made = store.save("activations", activations, parents=(parent,))
    options = {"activations_id": made, "preset": "paper", "ks": KS, "keyframes": False}
    whole, grasp = (pipeline.score(store, phase=phase, **options) for phase in ("whole", "grasp"))
    head = Head("vlm", 1, 0)
    for one in (whole, grasp):
        found = pipeline.held_out_error(store, relevance_id=one, heads=(head,))
        np.testing.assert_allclose(found.errors, store.load(one).error[:, 0, 1, 0], rtol=1e-4)
    assert store.load(whole).error[0, 0, 1, 0] != store.load(grasp).error[0, 0, 1, 0]


def test_above_null_makes_or_takes_the_trust(store: Store) -> None:
    _, relevance = scored(store)
    trust = pipeline.trust(store, relevance_id=relevance, replicates=5, permutations=40)
    made = pipeline.select(store, relevance_id=relevance, rule="above_null", trust_id=trust)
    p = store.load(trust).p
    assert set(heads_of(store, made)) == {Head("vlm", *map(int, place)) for place in np.argwhere(p[0] < 0.05)}
    assert store.manifest(made).parents == (relevance, trust)
    _, other = scored(store, seed=1)
    with pytest.raises(InputError, match="another relevance"):
        pipeline.select(store, relevance_id=other, rule="above_null", trust_id=trust)


def test_budget_counts_as_the_finetune_would(store: Store, policy_folder: Path) -> None:
    _, relevance = scored(store)
    options = {"settings": {"rank": 4, "alpha": 4.0}, "policy": str(policy_folder)}
    ranked = rules.ranking(store.load(relevance), ("vlm",))
    counts = [
        sum(pipeline.trainable_parameters("steering", heads=ranked[:n], **options).values())
        for n in range(1, len(ranked) + 1)
    ]
    assert counts == sorted(counts)
    made = pipeline.select(store, relevance_id=relevance, rule="budget", parameters=counts[3] + 1, **options)
    assert set(heads_of(store, made)) == set(ranked[:4])
    with pytest.raises(InputError, match="number of trainable parameters"):
        pipeline.select(store, relevance_id=relevance, rule="budget")


def test_sets_of_tasks_combined_and_compared(store: Store) -> None:
    (_, one), (_, two) = scored(store), scored(store, seed=1)
    first, second = (pipeline.select(store, relevance_id=r, count=4) for r in (one, two))
    a, b = heads_of(store, first), heads_of(store, second)
    for operation, expected in (
        ("shared", set(a) & set(b)),
        ("union", set(a) | set(b)),
    ):
        made = pipeline.combine(store, selection_ids=(first, second), operation=operation)
        assert set(heads_of(store, made)) == expected and store.manifest(made).parents == (first, second)
    (found,) = pipeline.overlap(store, selection_ids=(first, second), names=("a", "b"))
    assert set(found.shared) == set(a) & set(b) and found.names == ("a", "b")
    assert found.expected == pytest.approx(4 * 4 / 8)
    counted, expected = pipeline.held_by(store, selection_ids=(first, second))
    again = algebra.held_by({"a": a, "b": b}, SHAPE, store.load(one).inert)
    np.testing.assert_array_equal(counted, again[0])
    np.testing.assert_allclose(expected, again[1])
    union = pipeline.combine(store, selection_ids=(first, second), operation="union")
    assert pipeline.overlap(store, selection_ids=(union, first))[0].jaccard == 4 / len(set(a) | set(b))
    control = store.load(
        pipeline.select(store, relevance_id=one, rule="other_task", other_id=two, name="press_button", count=4)
    )
    assert control.heads == b and f"{len(set(a) & set(b))} of them" in control.rule
    unnamed = pipeline.select(store, relevance_id=one, rule="other_task", other_id=two, count=4)
    assert "for noise by knn" in store.load(unnamed).rule
    with pytest.raises(InputError, match="by which relevance"):
        pipeline.select(store, relevance_id=one, rule="other_task")


def test_a_policy_measure_has_no_set_error(store: Store) -> None:
    _, relevance = scored(store)
    value = dataclasses.replace(store.load(relevance), metric="mean_ablation")
    made = store.save("relevance", value, params={"metric": "mean_ablation"})
    with pytest.raises(InputError, match="Score the heads by k-NN"):
        pipeline.held_out_error(store, relevance_id=made, heads=(Head("vlm", 0, 0),))
    with pytest.raises(NotFound, match="greedy"):
        pipeline.select(store, relevance_id=relevance, rule="greedi")


def test_explanations_from_the_store(store: Store) -> None:
    activations_id, relevance_id = scored(store)
    head = Head("vlm", 1, 0)
    found = pipeline.why(store, activations_id=activations_id, head=head, episode=2, frames=[3, 0], k=4)
    assert [(one.episode, one.frame, len(one.weight)) for one in found] == [(2, 3, 4), (2, 0, 4)]
    shown = pipeline.projection(store, activations_id=activations_id, head=head)
    assert shown.points.shape == (54, 2) and shown.phase.shape == (54,)
    kept = pipeline.neighbours(store, activations_id=activations_id)
    by_time = pipeline.over_time(store, neighbours_id=kept, k=5, bins=4)
    rescored = pipeline.rescore(store, neighbours_id=kept, k=5)
    whole = pipeline.over_time(store, neighbours_id=kept, k=5, bins=1)
    np.testing.assert_allclose(whole.score[0], rescored.score, atol=1e-4)
    assert by_time.score.shape == (4, 2, 3, 4)
    other, _ = scored(store, seed=1)
    made = pipeline.replicate(
        store, relevance_id=relevance_id, other_activations_id=other, counts=(3, 4), set_size=3, replicates=3
    )
    assert store.load(made).stability["vlm"][1, 1] > 0.9  # the same three heads are planted
    agreed = pipeline.agreement_of_stack(store, first_id=relevance_id, second_id=relevance_id, stack="vlm")
    assert agreed.rho == pytest.approx(1) and agreed.heads == 8
    with pytest.raises(NotFound, match="effect"):
        pipeline.agreement_of_stack(
            store, first_id=relevance_id, second_id=relevance_id, stack="vlm", effect="action_change"
        )


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object) -> dict:
    monkeypatch.setattr(sys, "argv", ["steering", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    captured = capsys.readouterr()
    assert end.value.code == 0, captured.err
    return json.loads(captured.out.splitlines()[-1])


def test_the_commands(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    activations_id, relevance = scored(store)
    place = ("--store", store.root)
    out = tmp_path / "sets" / "heads.json"
    best = run(capsys, monkeypatch, "select", relevance, "--count", 3, "--json", out, *place)
    assert best["heads"] == ["VLM 1.0", "VLM 1.1", "VLM 1.2"]
    assert exchange.from_hex(best["hex"], SHAPE) == heads_of(store, best["artefact"])
    assert json.loads(out.read_text())["trainable_head_indices"] == [[1, 0], [1, 1], [1, 2]]
    by_link = run(capsys, monkeypatch, "select", relevance, "--hex", best["hex"], *place)
    by_file = run(capsys, monkeypatch, "select", relevance, "--from", out, *place)
    by_name = run(capsys, monkeypatch, "select", relevance, "--head", "expert.2.1", "--head", "vlm.0.0", *place)
    assert by_link["heads"] == by_file["heads"] == best["heads"] and by_file["params"]["file"] == "heads.json"
    assert by_name["heads"] == ["VLM 0.0", "action expert 2.1"]
    union = run(capsys, monkeypatch, "combine", "union", best["artefact"], by_name["artefact"], *place)
    assert len(union["heads"]) == 5
    (found,) = run(capsys, monkeypatch, "overlap", best["artefact"], union["artefact"], *place)
    assert found["shared"] == best["heads"]
    what_if = run(capsys, monkeypatch, "what-if", relevance, "--selection", best["artefact"], *place)
    direct = pipeline.held_out_error(store, relevance_id=relevance, heads=heads_of(store, best["artefact"]))
    assert what_if["error"] == direct.error and what_if["heads"] == best["heads"]
    options = ("--head", "vlm.1.0", "--episode", 1, "--frame", 2, "--k", 3)
    shown = run(capsys, monkeypatch, "why", activations_id, *options, *place)
    assert len(shown["predicted"]) == len(shown["names"]) == 7


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--head", "vlm.1"), "STACK.LAYER.HEAD"),
        (("--head", "vlm.9.0"), "it has 3 layers"),
        (("--hex", "00"), "6 hexadecimal digits"),
        (("--hex", "000000"), "No head is selected"),
        (("--head", "vlm.1.0", "--from", "x.json"), "Give one of them"),
        (("--rule", "top"), "top_k"),
    ],
)
def test_wrong_heads_on_the_command_line_are_worded(
    store: Store,
    arguments: tuple[str, ...],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, relevance = scored(store)
    monkeypatch.setattr(sys, "argv", ["steering", "select", relevance, *arguments, "--store", str(store.root)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1 and words in capsys.readouterr().err


def test_a_relevance_names_the_heads_that_can_be_chosen(store: Store) -> None:
    _, relevance = scored(store)
    value: Relevance = store.load(relevance)
    assert value.shape.has_the_heads_of(SHAPE) and len(STACKS) * 12 == value.score.size
