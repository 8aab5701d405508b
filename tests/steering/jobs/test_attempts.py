"""How often a job is tried again, and which of a queue's jobs are."""

from __future__ import annotations

from pathlib import Path

import pytest

from steering.jobs.queue import Queue


@pytest.mark.parametrize(("resumable", "attempts"), [(True, 3), (False, 1)])
def test_a_job_whose_worker_dies_is_tried_three_times_where_it_can_go_on(
    tmp_path: Path, resumable: bool, attempts: int
) -> None:
    queue = Queue(tmp_path)
    job_id = queue.add("finetune", {}, owner="ada", resumable=resumable, brief=False)
    tried = 0
    while queue.claim("main") is not None:
        tried += 1
        assert tried <= attempts
        queue.release_orphans("the worker was killed")
    status = queue.status(job_id)
    assert (tried, status.state, status.error) == (attempts, "failed", "the worker was killed")
