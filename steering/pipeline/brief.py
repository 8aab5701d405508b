"""Which jobs end soon and need little memory, so that a second worker may run them beside a training.

A recording of the usual twenty episodes takes a minute: it counts as brief up to BRIEF_EPISODES.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steering.errors import SteeringError

LONG = frozenset({"finetune", "rollout", "film", "compare", "evaluate", "open_loop"})
"""Those of RUNNABLE that train or run scenes: minutes, on every core."""

WITHOUT_WEIGHTS = frozenset({"inspect_upload", "import_upload"})
"""Those that name a policy but read only its small files."""

BRIEF_EPISODES = 20

SMALL_POLICY_BYTES = 1 << 30
"""A policy up to this size is loaded a second time; a larger one stays in one process."""


def is_brief(function: str, arguments: Mapping[str, Any]) -> bool:
    """Whether a job may run beside a long one: none of LONG, and without a large policy. Milliseconds."""
    if function in LONG or (function == "record" and int(arguments.get("count", 0)) > BRIEF_EPISODES):
        return False
    return function in WITHOUT_WEIGHTS or "policy" not in arguments or _small(str(arguments["policy"]))


def _small(policy: str) -> bool:
    from steering import hub
    from steering.models.checkpoint import open_checkpoint

    if hub.named(policy) is not None:
        return False  # a hub id: its size may take a request, and its weights a download
    try:
        return sum(tensor.bytes for tensor in open_checkpoint(policy).tensors.values()) <= SMALL_POLICY_BYTES
    except SteeringError:
        return True  # it ends soon, in words
