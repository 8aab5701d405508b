"""Which jobs end soon and need little memory, so that a second worker may run them beside a training.

A recording of the usual twenty episodes by the expert takes a minute: it counts as brief up to BRIEF_EPISODES.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from steering.errors import SteeringError

LONG = frozenset({"finetune", "rollout", "film", "compare", "evaluate", "operate", "sweep_strength", "open_loop"})
"""Those of RUNNABLE that train or run scenes: minutes, on every core."""

WITHOUT_WEIGHTS = frozenset({"inspect_upload", "import_upload"})
"""Those that name a policy but read only its small files."""


OF_AN_ADAPTER = frozenset({"head_change", "sweep_strength"})
"""Those that run the policy of an adapter, which names it."""


def runs_policy(function: Callable[..., str], arguments: Mapping[str, Any] = MappingProxyType({})) -> bool:
    """Whether a job, one of RUNNABLE, loads a policy and runs it: what a GPU is for."""
    if function.__name__ == "record":
        return _by_policy(arguments)
    named = inspect.signature(function).parameters.get("policy")
    asked = named is not None and named.annotation in ("str", str)  # importing takes one for its numbers, or None
    return (asked or function.__name__ in OF_AN_ADAPTER) and function.__name__ not in WITHOUT_WEIGHTS


BRIEF_EPISODES = 20

SMALL_POLICY_BYTES = 1 << 30
"""A policy up to this size is loaded a second time; a larger one stays in one process."""


def is_brief(function: str, arguments: Mapping[str, Any]) -> bool:
    """Whether a job may run beside a long one: none of LONG, and without a large policy. Milliseconds."""
    if function in LONG:
        return False
    if function == "record" and (_by_policy(arguments) or int(arguments.get("count", 0)) > BRIEF_EPISODES):
        return False
    return function in WITHOUT_WEIGHTS or "policy" not in arguments or _small(str(arguments["policy"]))


def _by_policy(arguments: Mapping[str, Any]) -> bool:
    """Whether a recording is of a policy that runs scenes, not of the expert."""
    return bool(arguments.get("policy") or arguments.get("adapter_id"))


def _small(policy: str) -> bool:
    from steering import hub
    from steering.models.checkpoint import open_checkpoint

    if hub.named(policy) is not None:
        return False  # a hub id: its size may take a request, and its weights a download
    try:
        return sum(tensor.bytes for tensor in open_checkpoint(policy).tensors.values()) <= SMALL_POLICY_BYTES
    except SteeringError:
        return True  # it ends soon, in words
