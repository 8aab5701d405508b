"""The grid's pair, Robotic Steering against LoRA, with the training seed as the unit. Instant.

The grid's other tests flip scenes, which says how far the runs that were made differ; here a seed's mean over scenes is
one value, which says what other seeds would give (`steering.evidence.inference`).
"""

from __future__ import annotations

from steering.evidence.conditions import BASELINE, OURS, paper_conditions, where
from steering.evidence.inference import FEWEST, Contrast, contrast
from steering.evidence.results import Results


def by_seed(results: Results) -> dict[str, Contrast]:
    """Condition in words -> Robotic Steering − LoRA over training seeds; conditions with fewer than 3 are left out."""
    found = {}
    for condition in paper_conditions(results):
        ours, theirs = (results.by_seed(method, condition) for method in (OURS, BASELINE))
        if len(ours) == len(theirs) >= FEWEST:
            found[where(condition)] = contrast([a - b for a, b in zip(ours, theirs, strict=True)])
    return found
