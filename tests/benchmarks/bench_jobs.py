"""What a visitor waits for while another one trains: with one worker, and with brief work beside it.

    python tests/benchmarks/bench_jobs.py [--steps 150] [--quick]

Over the repository's own samples and policy. Each way starts a training, and once it runs asks three questions from a
second owner: the attention to words at a frame (the first question starts the worker), the same at another frame, and
the predicted path with a head at seven gains. Seconds from question to answer; then what the training took. Takes
about three minutes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from steering import pipeline
from steering.jobs.client import Jobs
from steering.jobs.queue import JobStatus
from steering.store import Store

SAMPLES = Path(__file__).parents[2] / "assets" / "samples"
QUESTIONS = (
    ("attention to words, first", "attention_at", {"episode": 0, "frame": 3}),
    ("attention to words, next", "attention_at", {"episode": 0, "frame": 5}),
    ("predicted path", "predicted_path", {"head": ["vlm", 3, 3], "episode": 0, "frame": 3}),
)


def wait(jobs: Jobs, job_id: str, *, running: bool = False) -> JobStatus:
    """The job once it has ended, or once it has reported numbers when `running`."""
    while True:
        status = jobs.status(job_id)
        if status.ended or (running and status.metrics):
            assert status.state in ("running", "done"), status.error
            return status
        time.sleep(0.05)


def asked(steps: int, beside: bool) -> dict[str, float]:
    """Seconds by question, and of the training."""
    rule = pipeline.is_brief
    if not beside:
        pipeline.is_brief = lambda function, arguments: False
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), readonly=[SAMPLES])
        jobs = Jobs(store)
        try:
            demonstrations, selection = (store.find(kind)[0].id for kind in ("demonstrations", "selection"))
            training = jobs.submit(
                "finetune",
                owner="ann",
                demonstrations_id=demonstrations,
                method="steering",
                selection_id=selection,
                settings={"steps": steps},
            )
            wait(jobs, training, running=True)
            for words, function, arguments in QUESTIONS:
                began_s = time.monotonic()
                wait(jobs, jobs.submit(function, owner="ben", demonstrations_id=demonstrations, **arguments))
                found[words] = time.monotonic() - began_s
            status = wait(jobs, training)
            assert status.started_s and status.ended_s
            found[f"training of {steps} steps"] = status.ended_s - status.started_s
        finally:
            jobs.close()
            pipeline.is_brief = rule
    return found


def main() -> None:
    """Both ways, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--quick", action="store_true", help="a few steps, only to see that it runs")
    given = parser.parse_args()
    if given.quick:
        given.steps = 20
    one, two = asked(given.steps, beside=False), asked(given.steps, beside=True)
    print(f"{'seconds':32}{'one worker':>12}{'beside':>10}{'ratio':>9}")
    for words, seconds in one.items():
        print(f"{words:32}{seconds:12.1f}{two[words]:10.1f}{seconds / two[words]:8.1f}×")


if __name__ == "__main__":
    main()
