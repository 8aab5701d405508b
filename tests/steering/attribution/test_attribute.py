"""The stage as the pipeline runs it: every metric gives a relevance, made once, from demonstrations alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from steering import pipeline, policy_cache
from steering.attribution import ablation
from steering.attribution.probe import probe
from steering.attribution.scoring import attribute
from steering.cli.main import app
from steering.errors import InputError, NotFound
from steering.metrics import BY_NAME, WITH_POLICY
from steering.progress import Progress
from steering.store import Store
from steering.types import Relevance


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A store with two short demonstrations from the simulator."""
    store = Store(tmp_path_factory.mktemp("store"))
    return store, pipeline.record(store, task="press_button", count=2)


@pytest.mark.parametrize("metric", WITH_POLICY)
def test_every_metric_gives_a_relevance(scene, policy_folder, metric):
    store, demonstrations = scene
    reports = []
    options = {"demonstrations_id": demonstrations, "metric": metric, "policy": str(policy_folder)}
    made = pipeline.attribute(store, frames=4, samples=1, progress=Progress(reports.append), **options)
    relevance: Relevance = store.load(made)
    assert (relevance.metric, relevance.preset, relevance.ks) == (metric, "policy", ())
    assert relevance.score.shape == (2, 3, 4) and relevance.score.dtype == np.float32
    assert np.isfinite(relevance.score).all() and len(np.unique(relevance.score)) > 10
    assert set(relevance.effects) == set(BY_NAME[metric].effects)
    assert all(effect.shape == (2, 3, 4) for effect in relevance.effects.values())
    if metric != "attention_mass":
        assert np.abs(relevance.score[relevance.inert]).max() < 1e-6
    assert store.manifest(made).parents == (demonstrations,) and store.manifest(made).seed == 0
    fractions = [report.fraction for report in reports]
    assert fractions == sorted(fractions) and fractions[-1] == 1
    again = pipeline.attribute(store, frames=4, samples=1, **options)
    assert again == made
    selection = pipeline.select(store, relevance_id=made, count=3)
    assert len(store.load(selection).heads) == 3


def test_the_score_is_the_mean_effect(policy, demonstrations):
    relevance = attribute(policy, demonstrations, "mean_ablation", frames=3, samples=1)
    ablated = ablation.mean_ablation(probe(policy, demonstrations, frames=3, samples=1))
    np.testing.assert_allclose(relevance.score, ablated.loss_increase.mean(0), atol=1e-6)
    np.testing.assert_allclose(relevance.effects["action_change"], ablated.action_change.mean(0), atol=1e-6)
    assert relevance.baselines["loss"] == pytest.approx(float(ablated.loss.mean()))


def test_the_command_line_makes_the_same(scene, policy_folder):
    store, demonstrations = scene
    arguments = ["attribute", demonstrations, "--metric", "attribution_patching", "--frames", "4", "--samples", "1"]
    result = CliRunner().invoke(app, [*arguments, "--store", str(store.root), "--policy", str(policy_folder)])
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout.splitlines()[-1])["artefact"]
    options = {"demonstrations_id": demonstrations, "metric": "attribution_patching", "policy": str(policy_folder)}
    assert made == pipeline.attribute(store, frames=4, samples=1, **options)


def test_a_stopped_job_leaves_nothing(scene, policy_folder):
    from steering.errors import Cancelled

    store, demonstrations = scene
    before = len(store.find("relevance"))
    progress = Progress(should_cancel=lambda: True)
    options = {"demonstrations_id": demonstrations, "policy": str(policy_folder), "progress": progress}
    with pytest.raises(Cancelled):
        pipeline.attribute(store, metric="mean_ablation", seed=9, **options)
    assert len(store.find("relevance")) == before


def test_what_cannot_be_measured_is_refused(tmp_path, policy, policy_folder, demonstrations):
    store = Store(tmp_path)
    outside = store.save("demonstrations", demonstrations)
    with pytest.raises(NotFound, match="mean_ablation"):
        pipeline.attribute(store, demonstrations_id=outside, metric="mean_ablatoin")
    with pytest.raises(NotFound, match="runs the policy"):
        pipeline.attribute(store, demonstrations_id=outside, metric="knn")
    with pytest.raises(InputError, match="recorded in the simulator"):
        pipeline.attribute(store, demonstrations_id=outside, metric="attention_mass", policy=str(policy_folder))
    with pytest.raises(InputError, match="masks"):
        attribute(policy, demonstrations, "attention_mass")
    policy_cache.forget()
