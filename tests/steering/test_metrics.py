"""The registry of metrics says something of each, and names what exists."""

from __future__ import annotations

import subprocess
import sys

from steering.metrics import BY_NAME, FROM_ACTIVATIONS, METRICS, WITH_POLICY
from steering.relevance import scoring


def test_every_metric_is_described_in_one_sentence():
    assert len(BY_NAME) == len(METRICS)
    for metric in METRICS:
        assert metric.needs in ("activations", "policy", "simulator")
        assert metric.meaning.endswith(".") and metric.meaning.count(". ") == 0
        assert all((metric.label, metric.formula, metric.cost, metric.zero, metric.unit, metric.source))


def test_the_registry_names_what_the_stages_offer():
    from steering.attribution.scoring import GRADIENT_MEASURES

    assert set(scoring.METRICS) == set(FROM_ACTIVATIONS)
    assert {*GRADIENT_MEASURES, "mean_ablation", "attention_mass"} == set(WITH_POLICY)


def test_importing_it_is_cheap():
    code = "import sys, steering.metrics; print({'torch', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
