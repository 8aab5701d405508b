"""What a policy normalises by, as plain arrays: this room knows no policies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PolicyStatistics:
    """Mean and standard deviation that a policy normalises state and actions by: float [dim].

    most_state, most_action: how many dimensions it takes at most, None where that is not known.
    """

    state_mean: np.ndarray
    state_std: np.ndarray
    actions_mean: np.ndarray
    actions_std: np.ndarray
    most_state: int | None = None
    most_action: int | None = None
