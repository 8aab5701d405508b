"""A head's outputs as points in the plane: the first two principal components of their directions.

k-NN compares directions (cosine), so the outputs are brought to length 1 first: the squared distance of two such
vectors is twice their cosine distance, and what lies together in the picture is near for the score. Signs are fixed by
the largest loading, so that the same outputs give the same picture everywhere. Cost: about 5 ms.
"""

from __future__ import annotations

import numpy as np

from steering.relevance.knn import head_outputs
from steering.relevance.neighbours import check_finite, unit_vectors
from steering.types import Activations, Head, Projection


def project(activations: Activations, head: Head, phase: np.ndarray) -> Projection:
    """The projection of one head. phase: int [frame], index into PHASES, for colour (`phases.phases_of`)."""
    outputs = head_outputs(activations, head)
    check_finite(outputs[:, None])
    centred = unit_vectors(outputs)
    centred -= centred.mean(0)
    left, scale, axes = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(outputs), 2))
    shown = min(2, len(scale))
    largest = axes[:shown][np.arange(shown), np.abs(axes[:shown]).argmax(1)]
    points[:, :shown] = left[:, :shown] * scale[:shown] * np.where(largest < 0, -1, 1)
    total = float((scale**2).sum())
    share = np.zeros(2)
    if total > 0:
        share[:shown] = scale[:shown] ** 2 / total
    return Projection(
        head=head,
        points=points.astype(np.float32),
        explained=(float(share[0]), float(share[1])),
        episode=activations.episode,
        frame=activations.frame,
        phase=phase.astype(np.int8),
    )
