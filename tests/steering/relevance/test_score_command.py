"""The score command, the Python API and the page's gateway give the same numbers; artefacts survive the store."""

from __future__ import annotations

import csv
import json
import sys

import h5py
import numpy as np
import pytest

from steering import pipeline
from steering.cli import main as cli
from steering.relevance import tables
from steering.relevance.scoring import prepare, rescore, score
from steering.selection import exchange
from steering.store import Store
from steering.types import STACKS, Activations, HeadShape, Relevance

KS = (2, 4)


def run(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["steering", "score", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    captured = capsys.readouterr()
    return end.value.code, captured.out if end.value.code == 0 else captured.err


@pytest.fixture
def stored(tmp_path, build):
    """A store with activations of four episodes, some of whose VLM heads know something."""
    a = build((12, 12, 12, 12), inert=HeadShape.pair(3, 4, 6).last_layer("vlm"))
    a.outputs[:, 0, 1, :2, :3] += 2 * a.action[:, None, :3]
    store = Store(tmp_path / "store")
    return store, store.save("activations", a), a


def test_command_python_and_store_agree(stored, tmp_path, capsys, monkeypatch):
    store, made, a = stored
    out = tmp_path / "files" / "scores.json"
    asked = ("--preset", "paper", "--k", 2, "--k", 4)
    code, text = run(capsys, monkeypatch, made, *asked, "--json", out, "--store", store.root)
    assert code == 0
    line = json.loads(text.splitlines()[-1])
    expected = score(a, "paper", KS)
    kept: Relevance = store.load(line["artefact"])
    document = json.loads(out.read_text())
    np.testing.assert_array_equal(kept.score, expected.score)
    for s, stack in enumerate(STACKS):
        np.testing.assert_array_equal(np.float32(document["score"][stack]), expected.score[s])
        for i, k in enumerate(KS):
            np.testing.assert_array_equal(np.float32(document["error"][stack][str(k)]), expected.error[i, s])
    assert document["best_k"] == expected.best_k["vlm"] and document["cv_mse"] == expected.cv_mse["vlm"]
    chosen = exchange.read(out, HeadShape.pair(3, 4, 6))  # as the authors' trainer would read it
    assert len(chosen.heads) == 8 and [[h.layer, h.head] for h in chosen.heads] == document["trainable_head_indices"]
    with out.with_suffix(".csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == 24 and sum(int(row["selected"]) for row in table) == 8
    ranked = [float(row["rank"]) for row in table if row["stack"] == "expert"]
    best_first = np.argsort(-expected.score[1].reshape(-1), kind="stable")
    assert [ranked[i] for i in best_first] == list(range(1, 13))
    assert all(row["rank"] == "" for row in table if row["inert"] == "1")
    assert document["rank"]["expert"][0][0] == ranked[0] and document["trust"] is None
    assert float(table[5]["error_k4"]) == pytest.approx(expected.error[1, 0, 1, 1], rel=1e-6)
    assert out.with_suffix(".html").read_text().count("<html") == 1
    assert line["files"] == [str(out.with_suffix(suffix)) for suffix in (".json", ".csv", ".html")]


def test_the_authors_file_goes_in_and_their_selection_comes_out(tmp_path, capsys, monkeypatch):
    generator = np.random.default_rng(0)
    path, out = tmp_path / "their.hdf5", tmp_path / "selection.json"
    with h5py.File(path, "w") as file:
        for e in range(3):
            for f in range(8):
                frame = file.create_group(f"pick/{e}/{f}")
                frame["action_label"] = generator.uniform(-1, 1, 7)
                frame["first_action_token_attn"] = generator.standard_normal((3, 4, 6)).astype(np.float32)
    code, text = run(capsys, monkeypatch, path, "--k", 2, "--k", 4, "--json", out, "--store", tmp_path / "s")
    assert code == 0, text
    document = json.loads(out.read_text())
    assert len(document["trainable_head_indices"]) == 12 and set(document["trainable_head_stacks"]) == {"expert"}
    assert document["tokens"] == {"expert": "first_action"} and list(document["best_k_of"]) == ["expert"]
    code, text = run(capsys, monkeypatch, path, "--k", 2, "--preset", "default", "--store", tmp_path / "s")
    assert code == 1 and "needs the robot's state" in text
    code, text = run(capsys, monkeypatch, path, "--k", 2, "--keyframes", "--store", tmp_path / "s")
    assert code == 1 and "recording rate" in text


def test_demonstrations_by_id_or_folder_are_captured_first(
    tmp_path, demonstrations, policy_folder, capsys, monkeypatch
):
    store = Store(tmp_path / "store")
    recorded = store.save("demonstrations", demonstrations)
    options = ("--policy", policy_folder, "--k", 2, "--all-frames", "--store", store.root)
    _, by_id = run(capsys, monkeypatch, recorded, *options)
    _, by_folder = run(capsys, monkeypatch, store.folder(recorded), *options)
    one, two = (json.loads(text.splitlines()[-1]) for text in (by_id, by_folder))
    assert one["artefact"] == two["artefact"] and one["parents"][1] == recorded


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("gone/file.h5", "no file or folder"),
        ("activations-0123456789abcdef", "no artefact"),
        (".", "not of activations"),
    ],
)
def test_paths_that_lead_nowhere(tmp_path, path, words, capsys, monkeypatch):
    code, text = run(capsys, monkeypatch, path, "--store", tmp_path)
    assert code == 1 and words in text and "Traceback" not in text


def test_trust_neighbours_and_rescoring_through_the_store(stored):
    store, made, a = stored
    relevance_id = pipeline.score(store, activations_id=made, preset="default", ks=KS)
    trust = store.load(pipeline.trust(store, relevance_id=relevance_id, replicates=8, permutations=19))
    assert trust.p.shape == (2, 3, 4) and np.isnan(trust.p[0, 2]).all() and len(trust.null_max) == 19
    assert trust.p[0, 1, 0] < 0.2 < trust.p[1].max()  # of the 24 orders of four episodes one is their own
    assert trust.rank_low[0, 1, 0] <= 2
    neighbours_id = pipeline.neighbours(store, activations_id=made)
    for preset in ("paper", "default"):
        quick = pipeline.rescore(store, neighbours_id=neighbours_id, k=4, preset=preset)
        expected = rescore(a, prepare(a), k=4, preset=preset)
        np.testing.assert_array_equal(quick.score, expected.score)
    ridge = pipeline.score(store, activations_id=made, preset="default", metric="ridge", ks=KS)
    (found,) = pipeline.agreement(store, [relevance_id, ridge])
    assert (found.first, found.second) == ("knn (default)", "ridge (default)") and found.heads == 20
    assert found.low <= found.rho <= found.high
    assert isinstance(store.load(made), Activations)


def test_a_target_and_a_phase_are_kept_in_the_manifest(stored):
    store, made, _ = stored
    scored = pipeline.score(store, activations_id=made, preset="default", ks=(3,), target="state", phase="transport")
    params = store.manifest(scored).params
    assert (params["target"], params["phase"]) == ("state", "transport")
    relevance: Relevance = store.load(scored)
    assert relevance.phase == "transport" and relevance.dimension_r2.shape[0] == 8
    trust = store.load(pipeline.trust(store, relevance_id=scored, replicates=3, permutations=0))
    assert np.isnan(trust.p).all() and trust.permutations == 0


def test_intervals_and_chance_stand_beside_the_scores(stored):
    store, made, _ = stored
    relevance_id = pipeline.score(store, activations_id=made, preset="paper", ks=KS)
    trust = store.load(pipeline.trust(store, relevance_id=relevance_id, replicates=20, permutations=20))
    relevance = store.load(relevance_id)
    head, *rows = tables.rows(relevance, (), trust)
    named = [dict(zip(head, row, strict=True)) for row in rows]
    for name in tables.TRUSTED:
        expected = getattr(trust, name).reshape(-1)
        for row, value in zip(named, expected, strict=True):
            assert row[name] == (f"{float(value):.7g}" if np.isfinite(value) else "")
    document = json.loads(json.dumps(tables.document(relevance, trust), allow_nan=False))
    assert document["trust"]["p"]["expert"][0][1] == pytest.approx(float(trust.p[1, 0, 1]))
