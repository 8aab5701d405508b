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
from steering.pipeline.attribution import attribute, predicted_path
from steering.pipeline.brief import is_brief, runs_policy
from steering.pipeline.change import change_lines, head_change
from steering.pipeline.demonstrations import (
    export_demonstrations,
    health,
    import_demonstrations,
    inspect_demonstrations,
    mappings,
    preview_demonstrations,
    record,
    write_pictures,
)
from steering.pipeline.evaluation import MAX_TRIALS, compare, evaluate, film, open_loop, rollout, scene_seeds
from steering.pipeline.explanation import agreement_of_stack, by_frame, over_time, projection, replicate, why
from steering.pipeline.exporting import LAYOUTS, export_policy, package_policy, push_package, push_policy
from steering.pipeline.finding import find_heads
from steering.pipeline.finetuning import finetune, finetune_settings, trainable_parameters
from steering.pipeline.heldout import heldout_notice, open_loop_notices, origin_notice
from steering.pipeline.measuring import measure
from steering.pipeline.origins import name_of, origin_of, policy_name, scored_on, selection_of
from steering.pipeline.policies import open_policy
from steering.pipeline.questions import spread
from steering.pipeline.relevance import agreement, import_activations, neighbours, rescore, score, trust
from steering.pipeline.rrd import export_rrd
from steering.pipeline.selection import RULES, combine, held_by, held_out_error, import_selection, overlap, select
from steering.pipeline.serving import ZERO_SHOT, served_policies
from steering.pipeline.strength import sweep_strength
from steering.pipeline.surgery import operate
from steering.pipeline.uploads import import_upload, inspect_upload

__all__ = [
    "LAYOUTS",
    "MAX_TRIALS",
    "RESUMABLE",
    "RULES",
    "RUNNABLE",
    "ZERO_SHOT",
    "agreement",
    "agreement_of_stack",
    "attention",
    "attention_at",
    "attribute",
    "by_frame",
    "capture",
    "change_lines",
    "combine",
    "compare",
    "evaluate",
    "export_demonstrations",
    "export_policy",
    "export_rrd",
    "film",
    "find_heads",
    "finetune",
    "finetune_settings",
    "head_change",
    "health",
    "held_by",
    "held_out_error",
    "heldout_notice",
    "import_activations",
    "import_demonstrations",
    "import_selection",
    "import_upload",
    "inspect_demonstrations",
    "inspect_upload",
    "is_brief",
    "mappings",
    "measure",
    "name_of",
    "neighbours",
    "open_loop",
    "open_loop_notices",
    "open_policy",
    "operate",
    "origin_notice",
    "origin_of",
    "over_time",
    "overlap",
    "package_policy",
    "policy_name",
    "predicted_path",
    "preview_demonstrations",
    "projection",
    "push_package",
    "push_policy",
    "record",
    "replicate",
    "rescore",
    "rollout",
    "runs_policy",
    "scene_seeds",
    "score",
    "scored_on",
    "select",
    "selection_of",
    "served_policies",
    "spread",
    "sweep_strength",
    "trainable_parameters",
    "trust",
    "why",
    "write_pictures",
]

RUNNABLE: Mapping[str, Callable[..., str]] = {
    function.__name__: function
    for function in (
        record,
        import_demonstrations,
        inspect_upload,
        import_upload,
        find_heads,
        capture,
        neighbours,
        score,
        trust,
        select,
        replicate,
        attention,
        attention_at,
        attribute,
        head_change,
        predicted_path,
        measure,
        finetune,
        rollout,
        film,
        compare,
        evaluate,
        operate,
        sweep_strength,
        open_loop,
        open_policy,
        package_policy,
    )
}
"""The functions that a job may run, by name."""

RESUMABLE = frozenset({"finetune", "find_heads"})
"""Those of RUNNABLE that go on from a checkpoint, or from parts that are done, when they are started again."""
