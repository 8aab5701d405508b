"""What the figures are drawn of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from steering.comparison.compare import compare
from steering.types import (
    Comparison,
    Episode,
    FinetuneResult,
    FinetuneSettings,
    Head,
    Projection,
    Relevance,
    RelevanceOverTime,
    Replication,
    Rollouts,
    Trust,
    Why,
)


@pytest.fixture
def relevance() -> Relevance:
    inert = np.zeros((2, 3, 4), bool)
    inert[0, 2] = True
    score = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4)
    score[0, 2] = -9  # inert: must not stretch the colours
    return Relevance("knn", "paper", "raw action", score, score[None], (10,), {}, {}, {}, inert, ("a", "b"))


@pytest.fixture
def comparison() -> Comparison:
    def rollouts(method: str, success: list[int]) -> Rollouts:
        seeds = tuple(range(len(success)))
        return Rollouts(method, "pick_cube", ("lighting",), seeds, np.array(success, bool), np.zeros(len(success)))

    return compare([rollouts("zero_shot", [0, 0, 0, 1]), rollouts("steering", [1, 1, 1, 0])])


@pytest.fixture
def episode() -> Episode:
    generator = np.random.default_rng(0)
    state, action = generator.random((40, 8)).astype(np.float32), generator.random((40, 7)).astype(np.float32)
    return Episode("e", "pick", 20.0, {}, state, action)


def _result(method: str, parameters: int, train_s: float) -> FinetuneResult:
    return FinetuneResult(
        method=method,
        settings=FinetuneSettings(),
        selection=None,
        folder=Path("adapter"),
        parameters={"q_proj": parameters - 10, "o_proj": 10},
        loss=np.array([3, 2, 1], np.float32),
        heldout_step=np.array([0, 3], np.int32),
        heldout_error=np.array([0.5, 0.25], np.float32),
        train_s=train_s,
    )


@pytest.fixture
def result():
    """Builds the result of a finetune from method, parameters and seconds."""
    return _result


@pytest.fixture
def trust(relevance: Relevance) -> Trust:
    same = np.full(relevance.score.shape, 0.01, np.float32)
    score = relevance.score
    return Trust(score - 0.5, score + 0.25, same, same, same, {}, same, same, np.zeros(5), 100, 200, 20, 0)


@pytest.fixture
def explained() -> Why:
    return Why(
        head=Head("vlm", 1, 2),
        episode=0,
        frame=4,
        neighbour_episode=np.array([1, 3]),
        neighbour_frame=np.array([2, 8]),
        distance=np.array([0.1, 0.3], np.float32),
        weight=np.array([0.75, 0.25], np.float32),
        action=np.array([[1, 2, 3], [5, 6, 7]], np.float32),
        predicted=np.array([2, 3, 4], np.float32),
        true=np.array([2.5, 3, 4], np.float32),
        spread=np.array([2, 1, 0.5], np.float32),
        names=("delta_x", "delta_y", "gripper"),
    )


@pytest.fixture
def projected() -> Projection:
    points = np.random.default_rng(0).standard_normal((6, 2)).astype(np.float32)
    frame = np.arange(6, dtype=np.int32)
    phase = np.array([0, 0, 2, 2, 2, 0], np.int8)
    return Projection(Head("vlm", 0, 0), points, (0.5, 0.25), np.zeros(6, np.int32), frame, phase)


@pytest.fixture
def by_time() -> RelevanceOverTime:
    score = np.random.default_rng(0).standard_normal((3, 2, 3, 4)).astype(np.float32)
    edges = np.linspace(0, 1, 4, dtype=np.float32)
    return RelevanceOverTime(edges, score, np.full(3, 10, np.int32), "state_time", 20)


@pytest.fixture
def replication() -> Replication:
    unknown = np.nan
    stability = {"vlm": np.array([[0.2, 0.4, 0.5], [unknown, 0.6, unknown]], np.float32)}
    rho = {"vlm": np.array([[0.5, 0.7, 0.9], [unknown, 0.8, unknown]], np.float32)}
    return Replication((5, 20), stability, rho, 20, 30)
