"""Numbers of the method that every result rests on."""

from __future__ import annotations

import inspect

import numpy as np

from steering.relevance import (
    authors_file,
    conditional,
    conditional_null,
    conditioning,
    folds,
    keyframes,
    knn,
    neighbours,
    null,
    over_time,
    phases,
    replication,
    ridge,
    scoring,
    sets,
    stability,
    trust,
    why,
)

CONSTANTS = {
    authors_file: {"MAX_FRAMES": 200_000, "MAX_DIMS": 1024},
    conditional: {"FITTED": 800},
    conditioning: {
        **{"LANDMARKS": 512, "SHORTLIST": 3, "MIN_EPISODES": 3, "_JITTER": 1e-6},
        **{"WIDTHS": (0.25, 1.0, 2.0, 4.0), "PENALTIES": (0.3, 1.0, 3.0)},
    },
    folds: {"EXCLUSION_FRAMES": 30},
    keyframes: {"STILL_RAD_S": 0.03, "STILL_POSE": 0.05, "MOST_RAD": 4 * np.pi},
    knn: {"KS": (10, 20, 30, 40)},
    neighbours: {"SPARE": 24, "DEPTH": 64, "WEIGHT_OFFSET": 1e-8, "_NEAR": 1e-4, "_ROUNDING": 1e-14},
    over_time: {"BINS": 20},
    phases: {"SLOW": 0.5},
    replication: {"REPLICATES": 20},
    ridge: {"PENALTY": 0.1},
    sets: {"_ROUNDING": 1e-14},
    stability: {"CONFIDENCE": 0.95, "MIN_EPISODES": 3},
    trust: {"REPLICATES": 100, "PERMUTATIONS": 200},
}
DEFAULTS = [
    (conditional_null.conditional_null, {"permutations": 200, "seed": 0}),
    (conditioning.Conditioner, {"clock": False}),
    (knn.nearest_frames, {"k": 10}),
    (neighbours.find, {"of_heads": True, "depth": 64}),
    (null.permutation_null, {"permutations": 200, "seed": 0}),
    (replication.replicate, {"set_size": 20, "replicates": 20, "seed": 0}),
    (scoring.rescore, {"include_inert": False, "preset": "default"}),
    (scoring.score, {"include_inert": False, "ks": (10, 20, 30, 40)}),
    (stability.bootstrap, {"shared": False, "replicates": 100, "seed": 0}),
    (stability.rank_agreement, {"replicates": 1000, "seed": 0}),
    (trust.trust, {"seed": 0, "set_size": 20}),
    (why.why, {"k": 10}),
]


def test_the_numbers_of_the_method() -> None:
    """Each moves results that are published: a change of one is made here too."""
    for module, known in CONSTANTS.items():
        assert {name: getattr(module, name) for name in known} == known
    for function, known in DEFAULTS:
        found = inspect.signature(function).parameters
        assert {name: found[name].default for name in known} == known, function
