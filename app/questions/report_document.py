"""A run as the data that its report holds, from which a workbench opens it again (steering.selection.report_file)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from app.answers import Json
from app.answers.report import Finetuned, Run
from app.words import LABELS
from steering.selection import exchange
from steering.selection.report_file import FORMAT, VERSION
from steering.types import Comparison


def document(run: Run, run_id: str) -> dict[str, Json]:
    """The data of a run: head sets, what finetunes came to, and the comparison with its tests."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "id": run_id,
        "title": run.title,
        "policy": run.policy,
        "data": run.data,
        "date": run.date,
        "selections": _selections(run.finetunes),
        "finetunes": [_finetune(one) for one in run.finetunes],
        "comparison": None if run.comparison is None else _comparison(run, run.comparison),
    }


def _selections(finetunes: Sequence[Finetuned]) -> list[dict[str, Json]]:
    return [
        {"method": one.result.method, **json.loads(exchange.to_json(one.result.selection))}
        for one in finetunes
        if one.heads and one.result.selection
    ]


def _finetune(one: Finetuned) -> dict[str, Json]:
    result, error = one.result, one.result.heldout_error
    return {
        "id": one.id,
        "method": LABELS.get(result.method, result.method),
        "task": one.task,
        "episodes": one.episodes,
        "heads": one.heads,
        "origin": one.origin,
        "trainable_parameters": result.trainable_parameters,
        "rank": result.rank,
        "steps": len(result.loss),
        "seed": result.settings.seed,
        "train_s": round(float(result.train_s), 1),
        "heldout_before": float(error[0]) if len(error) else None,
        "heldout_after": float(error[-1]) if len(error) else None,
    }


def _comparison(run: Run, value: Comparison) -> dict[str, Json]:
    return {
        "task": value.task,
        "variations": list(value.variations),
        "scenes": len(value.seeds),
        "seeds": [int(seed) for seed in value.seeds],
        "differ": [int(seed) for seed in value.disagreement],
        "rates": [{**asdict(rate), "method": LABELS.get(rate.method, rate.method)} for rate in value.rates],
        "tests": [asdict(test) for test in value.tests],
        "verdict": list(run.sentences),
    }
