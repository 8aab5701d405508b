"""A clock that jumps by a year, either way: nothing expires for it, nothing is locked for ever, and days count on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.uploads import KEEP_S, Uploads
from app.visitors import Visitor, asked_by, party
from steering import keeping
from steering.errors import InputError
from steering.jobs import clock, places
from steering.jobs.queue import MAIN, Queue
from steering.public import SWITCH
from steering.store import Store
from steering.types import Selection

ADA, EVE = "a" * 16, "e" * 16
YEAR_S, DAY_S = 365 * 24 * 3600.0, 24 * 3600.0


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the wall's clock on, or back."""
    real, moved = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + moved[0])

    def go(by_s: float) -> None:
        moved[0] += by_s

    return go


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv(SWITCH, "1")
    made = Store(tmp_path)
    clock.follow(made, Queue(tmp_path))
    return made


def add(queue: Queue, owner: str, name: str, **how: bool) -> str:
    return queue.add("finetune", {"name": name}, owner=owner, resumable=True, **how)


@pytest.mark.parametrize("jump_s", [YEAR_S, -YEAR_S])
def test_what_is_kept_stays_and_still_goes_in_its_time(
    store: Store, jump_s: float, pass_time: Callable[[float], None]
) -> None:
    queue, ada = Queue(store.root), store.owned_by(ADA)
    kept = ada.save("selection", Selection((), "top"))
    checkpoint, unfinished = store.checkpoints("0" * 40), store.root / "unfinished" / "being-written"
    unfinished.mkdir(parents=True)
    uploads = Uploads(store)
    upload = uploads.begin(ADA, [{"name": "a.npz", "size": 3}])
    pass_time(jump_s)
    assert clock.follow(store, queue) == pytest.approx(jump_s, abs=30)
    assert clock.follow(store, queue) == 0, "once"
    assert keeping.expire(store, 7 * DAY_S) == 0 and kept in store.owners.own(ADA)
    assert abs(time.time() - store.owners.own(ADA)[kept]) < 60, "shown as kept until the same day"
    store.sweep()
    assert checkpoint.is_dir() and unfinished.is_dir(), "what is worked with stays"
    uploads.begin(EVE, [{"name": "b.npz", "size": 3}])
    uploads.check_owner(ADA, upload)
    for _ in range(16):
        pass_time(DAY_S / 2)
        assert clock.follow(store, queue) == 0, "half a day is none"
    assert keeping.expire(store, 7 * DAY_S) == 1
    store.sweep()
    assert not checkpoint.exists() and not unfinished.exists()
    about = json.loads((store.root / "uploads" / upload / "upload.json").read_text())
    assert time.time() - about["created_s"] > KEEP_S


@pytest.mark.parametrize("jump_s", [YEAR_S, -YEAR_S])
def test_quotas_turns_and_stops_go_on(
    store: Store, jump_s: float, pass_time: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEERING_MINUTES", "10")
    queue = Queue(store.root)
    worked = add(queue, ADA, "worked")
    assert queue.claim(MAIN)
    pass_time(11 * 60)
    queue.end(worked, "done", result="x")
    with pytest.raises(InputError, match="11 minutes"):
        add(queue, ADA, "more")
    running = add(queue, EVE, "running")
    assert queue.claim(MAIN)
    assert clock.follow(store, queue) == 0
    pass_time(jump_s)
    clock.follow(store, queue)
    with pytest.raises(InputError, match="11 minutes"):
        add(queue, ADA, "more")
    waits = add(queue, "c" * 16, "waits")
    assert not queue.gives_way(running), "it has just begun"
    assert 0 <= queue.status(waits).starts_in_s <= places.SLICE_S + 1  # type: ignore[operator]
    queue.request_cancel(running)
    assert not queue.overdue_cancel(30.0)
    pass_time(31)
    assert queue.overdue_cancel(30.0), "one that does not react is ended, and not in a year"
    queue.end(running, "cancelled")
    assert queue.forget_old() == 0, "ended jobs are shown for a week"
    pass_time(DAY_S - 60)
    clock.follow(store, queue)
    assert add(queue, ADA, "tomorrow"), "minutes come back in a day"


def test_a_visitor_from_the_future_is_none_that_is_new(store: Store, pass_time: Callable[[float], None]) -> None:
    with asked_by(Visitor(ADA, time.time(), "home")):
        assert party() == "@home"
        pass_time(-YEAR_S)
        assert party() == ADA, "not for a year"
        pass_time(2 * YEAR_S)
        assert party() == ADA


def test_a_server_that_was_off_did_not_let_days_pass(store: Store, pass_time: Callable[[float], None]) -> None:
    kept = store.owned_by(ADA).save("selection", Selection((), "top"))
    pass_time(90 * DAY_S)
    clock.follow(store, Queue(store.root))
    assert keeping.expire(store, 7 * DAY_S) == 0 and kept in store.owners.own(ADA)


@pytest.mark.parametrize("damage", ["", "x", "9" * 400, "-5"])
def test_a_damaged_mark_is_written_anew(store: Store, damage: str, pass_time: Callable[[float], None]) -> None:
    (store.root / clock.MARK).write_text(damage)
    assert clock.follow(store, Queue(store.root)) == 0
    assert clock.follow(store, Queue(store.root)) == 0
