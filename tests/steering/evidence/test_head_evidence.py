"""The evidence about heads on a tiny random policy: every number is there, and follows from the artefacts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from steering import pipeline
from steering.evidence.heads import PRESETS, SETS, HeadSettings, run_heads
from steering.evidence.heads_report import report
from steering.store import Store
from steering.types import Demonstrations

pytestmark = pytest.mark.slow
TASKS = ("press_button", "pick_cube")
TINY = {
    "demonstrations": 4,
    "counts": (3, 4),
    "set_size": 3,
    "frames": 4,
    "bootstrap": 3,
    "permutations": 5,
    "replicates": 2,
    "ks": (2, 3),
    "keyframes": False,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, policy_folder: Path, demonstrations: Demonstrations):
    """Output folder, store, settings and document; every recording is the same noise under another name."""
    folder = tmp_path_factory.mktemp("evidence")
    store = Store(folder / "store")

    def record(opened: Store, *, task: str, count: int, seed: int, progress: object) -> str:
        from dataclasses import replace

        rng = np.random.default_rng((TASKS.index(task), seed))
        episodes = tuple(
            replace(e, action=rng.uniform(-1, 1, e.action.shape).astype(np.float32)) for e in demonstrations.episodes
        )
        value = replace(demonstrations, name=f"{task} {seed}", task=task, episodes=episodes[:count])
        return opened.save("demonstrations", value, params={"task": task, "seed": seed})

    settings = HeadSettings(policy=str(policy_folder), **TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "record", record)
        document = run_heads(folder / "out", store=store.root, tasks=TASKS, settings=settings, html=True)
        again = run_heads(folder / "out", store=store.root, tasks=TASKS, settings=settings)
    return folder / "out", store, document, again


def test_the_same_command_again_finds_everything_made(made) -> None:
    _, store, document, again = made
    assert document == again
    assert len(store.find("activations")) == 4 and len(store.find("replication")) == 4


def test_numbers_follow_from_the_artefacts(made) -> None:
    _, store, document, _ = made
    for task in TASKS:
        found = document["tasks"][task]
        ablation = store.load(found["artefacts"]["mean_ablation"])
        assert found["ablation"]["loss"] == ablation.baselines["loss"]
        assert found["inert"]["heads"] == [f"VLM 2.{head}" for head in range(4)]
        assert found["inert"]["largest_gradient"] == found["inert"]["largest_effect"] == 0
        for preset in PRESETS:
            relevance = store.load(found["artefacts"]["relevance"][preset])
            assert relevance.preset == preset
            for s, stack in enumerate(("vlm", "expert")):
                movable = ~relevance.inert[s]
                values = relevance.score[s][movable], ablation.score[s][movable]
                rho = found["agreement"]["loss"][stack][preset][0]
                assert rho == pytest.approx(spearmanr(*values).statistic)
                change = ablation.effects["action_change"][s][movable]
                rho = found["agreement"]["action"][stack][preset][0]
                assert rho == pytest.approx(spearmanr(values[0], change).statistic)
                one = found["presets"][preset]["stacks"][stack]
                assert one["best_score"] == pytest.approx(values[0].max())
                best = np.argsort(-np.where(movable, relevance.score[s], -np.inf), axis=None, kind="stable")[:3]
                assert sorted(one["heads"]) == sorted([int(i) // 4, int(i) % 4] for i in best)
                effect = [ablation.score[s][tuple(place)] for place in one["heads"]]
                assert one["ablation_of_set"]["chosen"] == pytest.approx(np.mean(effect), rel=1e-5)
                assert one["ablation_of_set"]["by_chance"] == pytest.approx(values[1].mean(), rel=1e-5, abs=1e-9)
                assert set(one["replication"]) == {"3", "4"} and len(one["set_scores"]["random"]) == 5


def test_shared_heads_are_those_of_the_sets(made) -> None:
    *_, document, _ = made
    for preset, stack in SETS:
        sets = [
            {tuple(h) for h in document["tasks"][task]["presets"][preset]["stacks"][stack]["heads"]} for task in TASKS
        ]
        (pair,) = document["between"][f"{preset} {stack}"]["pairs"]
        assert pair["shared"] == len(sets[0] & sets[1])
        assert pair["expected"] == pytest.approx(9 / (8 if stack == "vlm" else 12))
        counted = document["between"][f"{preset} {stack}"]["heads_in_tasks"]["counted"]
        assert counted[2] == pair["shared"] and sum(counted) == (8 if stack == "vlm" else 12)


def test_files_are_complete_and_valid(made) -> None:
    out, _, document, _ = made
    text = (out / "heads.json").read_text(encoding="utf-8")

    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    kept = json.loads(text, parse_constant=no_constant)
    assert kept == json.loads(json.dumps(document))
    page = (out / "heads.md").read_text(encoding="utf-8")
    assert page == report(kept)
    assert page.count("\n### ") == 8 and "nan" not in page.lower()
    tables = [line for line in page.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)
    drawn = sorted(path.name for path in (out / "figures").glob("*.json"))
    assert len(drawn) == 2 * 9 and all(json.loads((out / "figures" / name).read_text())["data"] for name in drawn)
    assert (out / "figures.html").read_text(encoding="utf-8").count("plotly-graph-div") >= 18


def test_one_task_alone_has_nothing_to_share(made) -> None:
    *_, document, _ = made
    alone = report({**document, "tasks": {"pick_cube": document["tasks"]["pick_cube"]}, "between": {}})
    assert "What tasks share" not in alone and "press button" not in alone
