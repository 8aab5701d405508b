"""The stages in order: demonstrations → activations → relevance → selection → finetune → rollouts → comparison.

    store = Store("runs")
    demonstrations = record(store, task="place_cube_in_bowl")
    relevance = score(store, activations_id=capture(store, demonstrations_id=demonstrations))

Each function reads its inputs from the store, runs one stage, stores the result with its parents and parameters, and
returns its id. Work that was done before with the same inputs, parameters and weights is not done again. Importing
this module is cheap: torch, transformers and MuJoCo load inside the functions that need them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from steering.pipeline.activations import attention, attention_at, capture
from steering.pipeline.attribution import attribute
from steering.pipeline.demonstrations import record
from steering.pipeline.evaluation import MAX_TRIALS, compare, evaluate, open_loop, rollout, scene_seeds
from steering.pipeline.finetuning import finetune, finetune_settings, trainable_parameters
from steering.pipeline.relevance import agreement, import_activations, neighbours, rescore, score, trust
from steering.pipeline.selection import RULES, select

__all__ = [
    "MAX_TRIALS",
    "RESUMABLE",
    "RULES",
    "RUNNABLE",
    "agreement",
    "attention",
    "attention_at",
    "attribute",
    "capture",
    "compare",
    "evaluate",
    "finetune",
    "finetune_settings",
    "import_activations",
    "neighbours",
    "open_loop",
    "record",
    "rescore",
    "rollout",
    "scene_seeds",
    "score",
    "select",
    "trainable_parameters",
    "trust",
]

RUNNABLE: Mapping[str, Callable[..., str]] = {
    function.__name__: function
    for function in (
        record,
        capture,
        neighbours,
        score,
        trust,
        select,
        attention,
        attention_at,
        attribute,
        finetune,
        rollout,
        compare,
        evaluate,
        open_loop,
    )
}
"""The functions that a job may run, by name."""

RESUMABLE = frozenset({"finetune"})
"""Those of RUNNABLE that go on from a checkpoint when they are started again."""
