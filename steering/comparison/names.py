"""What a compared method is called: its label, and how its instruction was changed."""

from __future__ import annotations

from steering.types import CONTROL_LABELS, INSTRUCTIONS, METHOD_LABELS, SURGERY_LABELS, Rollouts


def method_name(rollouts: Rollouts) -> str:
    """`steering`, or `steering/empty` where the instruction was changed."""
    return rollouts.method if rollouts.instruction == "original" else f"{rollouts.method}/{rollouts.instruction}"


def method_label(name: str) -> str:
    """For people, e.g. `Robotic Steering (no words)`."""
    method, _, instruction = name.partition("/")
    label = {**METHOD_LABELS, **CONTROL_LABELS, **SURGERY_LABELS}.get(method, method)
    return f"{label} ({INSTRUCTIONS.get(instruction, instruction)})" if instruction else label
