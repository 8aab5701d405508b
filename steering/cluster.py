"""Work in parts on a Ray cluster: on cores of this machine, or on many machines. Each part is a task of one core, and
of a GPU where it asks for one.

Every node needs this package, its dependencies, and policies that it can open. What a part needs is sent to it and what
it gives comes back as data, so no folder is shared. Ray starts a part again that a lost node took along. Costs some
seconds to start a local cluster, and the copying; arrays that all parts need are sent to each machine once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from steering.child import environment
from steering.errors import SteeringError
from steering.progress import Progress


@dataclass(frozen=True)
class Cluster:
    """address: of a Ray cluster that runs; None for one of `workers` cores here, which ends with the work. gpus: that a
    part has to itself, or the share of one (.5: two parts a GPU); 0: none is counted, and parts share what they find.
    """

    workers: int = 2
    address: str | None = None
    gpus: float = 0.0


def spread(
    function: Callable[..., Any],
    parts: Sequence[Sequence[Any]],
    cluster: Cluster,
    *,
    shared: Sequence[Any] = (),
    fresh: bool = False,
) -> Iterator[tuple[int, Any, Exception | None]]:
    """(number of the part, what `function(*shared, *part)` gave, or the error instead), as they end.

    fresh: a new process for every part, so that its peak memory is its own; else a process keeps what it loaded.
    """
    try:
        import ray
    except ImportError as error:
        raise SteeringError(
            "The engine 'ray' needs Ray, which is not installed. Install it with: pip install 'ray>=2.60,<3'."
        ) from error
    started = not ray.is_initialized()
    if started:
        here = cluster.address is None
        ray.init(
            address=cluster.address,
            num_cpus=cluster.workers if here else None,
            include_dashboard=False,
            runtime_env={"env_vars": {"PYTHONPATH": environment()["PYTHONPATH"]}} if here else {},
            log_to_driver=False,
        )
    try:
        task = ray.remote(num_cpus=1, num_gpus=cluster.gpus, max_calls=1 if fresh else 0)(function)
        sent = [ray.put(one) for one in shared]
        pending = {task.remote(*sent, *part): number for number, part in enumerate(parts)}
        while pending:
            (ready, *_), _ = ray.wait(list(pending), num_returns=1)
            number = pending.pop(ready)
            try:
                yield number, ray.get(ready), None
            except ray.exceptions.RayTaskError as error:
                yield number, None, error.cause
            except ray.exceptions.RayError as error:
                yield number, None, SteeringError(f"Ray lost it: {str(error).strip().splitlines()[-1]}")
    finally:
        if started:
            ray.shutdown()


def gather(
    function: Callable[..., Any],
    parts: Sequence[Sequence[Any]],
    cluster: Cluster,
    *,
    shared: Sequence[Any] = (),
    progress: Progress = Progress(),
    what: str = "parts",
) -> list[Any]:
    """What every part gave, in the order of `parts`. Raises the first error."""
    values: dict[int, Any] = {}
    for number, value, error in spread(function, parts, cluster, shared=shared):
        if error is not None:
            raise error
        values[number] = value
        progress.report(len(values) / len(parts), f"{len(values)} of {len(parts)} {what} on the cluster")
    return [values[number] for number in range(len(parts))]
