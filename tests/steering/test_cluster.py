"""Parts on a local Ray cluster of two workers: in order, with their errors, and words where Ray is not there."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from steering.cluster import Cluster, gather, spread
from steering.errors import InputError, SteeringError
from steering.progress import Progress, Report

CLUSTER = Cluster(workers=2)
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"
)


def test_ray_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(SteeringError, match="pip install"):
        gather(str, [(1,)], CLUSTER)


@pytest.fixture(scope="module")
def started() -> Iterator[None]:
    ray = pytest.importorskip("ray", reason="needs Ray: make test installs it")
    ray.init(num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.slow
def test_values_come_in_the_order_of_the_parts_from_other_processes(started: None) -> None:
    seen: list[Report] = []

    def part(base: int, number: int) -> tuple[int, int]:
        return base + number, os.getpid()

    made = gather(part, [(n,) for n in range(6)], CLUSTER, shared=(10,), progress=Progress(seen.append), what="sums")
    assert [value for value, _ in made] == [10, 11, 12, 13, 14, 15]
    assert os.getpid() not in {where for _, where in made}
    assert len(seen) == 6 and seen[-1].fraction == 1 and "6 of 6 sums" in seen[-1].message


@pytest.mark.slow
def test_an_error_keeps_its_words_and_leaves_the_others_running(started: None) -> None:
    def part(number: int) -> int:
        if number == 1:
            raise InputError("This part cannot be.")
        return number

    found = {number: (value, error) for number, value, error in spread(part, [(0,), (1,), (2,)], CLUSTER, fresh=True)}
    assert found[0] == (0, None) and found[2] == (2, None)
    assert isinstance(found[1][1], InputError) and str(found[1][1]) == "This part cannot be."
    with pytest.raises(InputError, match="cannot be"):
        gather(part, [(0,), (1,)], CLUSTER)


@pytest.mark.slow
def test_a_part_sees_the_gpu_that_it_asks_for(started: None) -> None:
    assert gather(lambda: os.environ.get("CUDA_VISIBLE_DEVICES"), [()], Cluster(gpus=0.5)) == ["0"]
    assert gather(lambda: os.environ.get("CUDA_VISIBLE_DEVICES"), [()], Cluster()) == [
        os.environ.get("CUDA_VISIBLE_DEVICES")
    ]


@pytest.mark.slow
def test_a_worker_that_dies_is_named_as_lost(started: None) -> None:
    ((_, value, error),) = spread(lambda: os._exit(1), [()], CLUSTER)
    assert value is None and "Ray lost it" in str(error)
