"""The paper's conditions, in the twin: what was trained on, what was run, and how each is called. Instant."""

from __future__ import annotations

from collections.abc import Iterator

from steering.evidence import paper
from steering.evidence.grid import TRAINED_FOR_UNSEEN, UNSEEN_TASK, VARIED_TASK
from steering.evidence.results import Condition, Results

OURS, BASELINE = "steering_vlm", "lora"
"""The paper's pair: Robotic Steering trains heads of the VLM."""


def paper_cells() -> Iterator[tuple[Condition, tuple[float, float]]]:
    """Every condition with the paper's LoRA and Robotic Steering, success in percent."""
    for task, numbers in paper.SUCCESS.items():
        yield (task, task, ()), numbers
    for variation, numbers in paper.VARIATIONS.items():
        yield (VARIED_TASK, VARIED_TASK, (variation,)), numbers
    yield (TRAINED_FOR_UNSEEN, UNSEEN_TASK, ()), paper.UNSEEN


def paper_conditions(results: Results) -> list[Condition]:
    """The paper's conditions that have been run."""
    return [condition for condition, _ in paper_cells() if results.rate(OURS, condition)]


def where(condition: Condition) -> str:
    """The condition in words."""
    trained, task, variations = condition
    extra = [*variations, *([f"trained on {words(trained)}"] if trained != task else [])]
    return words(task) + (f" ({', '.join(extra)})" if extra else "")


def words(name: str) -> str:
    """A task's name for people."""
    return name.replace("_", " ")
