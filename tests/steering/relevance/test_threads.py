"""Work on many threads: each item once, few reports."""

from __future__ import annotations

from steering.progress import Progress
from steering.relevance import threads


def test_every_item_is_worked_once_and_reports_are_few(monkeypatch) -> None:
    asked: list[int] = []
    real = threads.ThreadPoolExecutor
    monkeypatch.setattr(threads, "ThreadPoolExecutor", lambda max_workers: asked.append(max_workers) or real(1))
    for count, reports in ((1, 1), (3, 3), (64, 64), (640, 64), (641, 65), (100, 100)):
        done: list[int] = []
        seen: list[float] = []
        threads.for_each(count, done.append, Progress(sink=lambda one, seen=seen: seen.append(one.fraction)), "Done")
        assert done == list(range(count)) and len(seen) == reports and seen[-1] == 1
    for cores, workers in ((None, 1), (1, 1), (3, 3), (64, 8)):
        monkeypatch.setattr(threads.os, "cpu_count", lambda cores=cores: cores)
        threads.for_each(1, done.append, Progress(), "Done")
        assert asked[-1] == workers
