"""Whose artefacts are whose, what goes with one that is deleted, and what is kept for how long."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from steering import keeping
from steering.errors import NotFound
from steering.owners import NOBODY, Owners
from steering.store import Store
from steering.types import Head

ADA, BEN = "a" * 16, "b" * 16


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", readonly=[tmp_path / "samples"])


def make(store: Store, owner: str, kind: str, number: int = 0, *parents: str) -> str:
    """An artefact as a job of `owner` makes it, where the same was not made before."""
    own, params = store.owned_by(owner), {"number": number}
    made = own.find_made(kind, parents, params)
    return made or own.save(kind, Head("vlm", 0, number), parents=parents, params=params)


def age(store: Store, owner: str, artefact_id: str, days: float) -> None:
    """Let an entry be as old as this."""
    at_s = time.time() - days * keeping.DAY_S
    os.utime(store.root / "owners" / owner / "own" / artefact_id, (at_s, at_s))


def ids(store: Store) -> set[str]:
    return {manifest.id for manifest in store.everything()}


def test_what_a_job_makes_is_its_owners_and_the_operators_is_nobodys(store: Store) -> None:
    adas, plain = make(store, ADA, "demonstrations"), make(store, "", "demonstrations", 1)
    assert store.owners.of(adas) == (ADA,) and store.owners.of(plain) == ()
    assert store.owned_by(ADA).owner == ADA and store.owner == ""


def test_the_same_work_of_two_is_one_artefact_that_both_own(store: Store) -> None:
    adas = make(store, ADA, "demonstrations")
    assert make(store, BEN, "demonstrations") == adas
    assert store.owners.of(adas) == (ADA, BEN)
    assert Owners(store.root).own(BEN).keys() == {adas}


def test_a_removal_names_what_goes_with_it_before_it_goes(store: Store) -> None:
    demonstrations = make(store, ADA, "demonstrations")
    relevance = make(store, ADA, "relevance", 0, demonstrations)
    adapters = [make(store, ADA, "adapter", i, relevance, demonstrations) for i in range(2)]
    other = make(store, ADA, "demonstrations", 1)
    found = keeping.removal(store, demonstrations, ADA)
    assert found.kinds == {"relevance": 1, "adapter": 2} and found.foreign == 0
    assert ids(store) == {demonstrations, relevance, *adapters, other}, "asking deletes nothing"
    told: list[str] = []
    keeping.remove(store, found, ADA, told.append)
    assert ids(store) == {other} == set(store.owners.own(ADA))
    assert told[-1] == demonstrations and set(told) == {demonstrations, relevance, *adapters}


def test_nobody_deletes_anothers(store: Store) -> None:
    made = make(store, ADA, "demonstrations")
    with pytest.raises(NotFound, match="not yours"):
        keeping.removal(store, made, BEN)
    with pytest.raises(NotFound, match="no artefact"):
        keeping.removal(store, "demonstrations-0000000000000000", BEN)


def test_what_two_made_stays_with_the_other(store: Store) -> None:
    shared = make(store, ADA, "demonstrations")
    make(store, BEN, "demonstrations")
    adas, bens = make(store, ADA, "adapter", 0, shared), make(store, BEN, "adapter", 1, shared)
    keeping.remove(store, keeping.removal(store, shared, ADA), ADA)
    assert ids(store) == {shared, bens} and not store.owners.own(ADA)
    assert store.owners.of(shared) == (BEN,) and adas not in ids(store)


def test_what_was_made_from_anothers_goes_with_it_and_is_counted(store: Store) -> None:
    adas = make(store, ADA, "demonstrations")
    make(store, BEN, "adapter", 0, adas)
    found = keeping.removal(store, adas, ADA)
    assert (found.foreign, found.kinds) == (1, {"adapter": 1})
    keeping.remove(store, found, ADA)
    assert not ids(store) and not store.owners.own(BEN)


def test_everything_of_one_goes_and_nothing_of_another(store: Store) -> None:
    shared = make(store, ADA, "relevance")
    make(store, BEN, "relevance")
    bens = make(store, BEN, "adapter", 0, shared)
    needed = make(store, ADA, "relevance", 1)
    on_it = make(store, BEN, "adapter", 1, needed)
    mine = make(store, ADA, "demonstrations")
    make(store, ADA, "adapter", 2, mine)
    operators = make(store, "", "demonstrations", 7)
    assert keeping.remove_everything(store, ADA) == 2
    assert ids(store) == {shared, bens, needed, on_it, operators}, "what another's work rests on waits for it"
    assert store.owners.of(needed) == (NOBODY,) and not store.owners.own(ADA)
    assert keeping.remove_everything(store, BEN) == 4
    assert ids(store) == {operators}


def test_what_is_not_worked_with_is_let_go_in_time(store: Store) -> None:
    demonstrations = make(store, ADA, "demonstrations")
    adapter = make(store, ADA, "adapter", 0, demonstrations)
    stale = make(store, ADA, "demonstrations", 1)
    for one in (demonstrations, stale):
        age(store, ADA, one, 8)
    make(store, ADA, "adapter", 0, demonstrations)
    assert keeping.expire(store, 7 * keeping.DAY_S) == 1
    assert ids(store) == {demonstrations, adapter}, "work with a thing keeps what it was made from"
    age(store, ADA, demonstrations, 8)
    assert keeping.expire(store, 7 * keeping.DAY_S) == 0, "something that is kept rests on it"
    age(store, ADA, adapter, 8)
    assert keeping.expire(store, 7 * keeping.DAY_S) == 2 and not ids(store)


def test_the_operators_things_and_samples_never_expire(store: Store) -> None:
    plain = make(store, "", "demonstrations")
    sample = make(Store(store.readonly[0]), "", "demonstrations", 1)
    assert make(store, ADA, "demonstrations", 1) == sample and not store.owners.own(ADA)
    assert keeping.expire(store, 0) == 0
    assert ids(store) == {plain, sample}


def test_room_is_counted_of_what_is_there(store: Store) -> None:
    made = make(store, ADA, "demonstrations")
    size = sum(path.stat().st_size for path in store.folder(made).rglob("*"))
    assert keeping.used_bytes(store, [made, "demonstrations-0000000000000000"]) == size > 0


def test_pictures_that_are_made_anew_are_cleaned_and_new_ones_stay(store: Store) -> None:
    media = store.root / "media"
    media.mkdir()
    for name, days in (("old.webp", 8), ("new.webp", 1)):
        (media / name).write_bytes(b"x" * 10)
        at_s = time.time() - days * keeping.DAY_S
        os.utime(media / name, (at_s, at_s))
    assert keeping.clean(store) == 10
    assert [path.name for path in media.iterdir()] == ["new.webp"]


def test_runs_go_with_the_last_comparison_of_them(store: Store) -> None:
    runs = [make(store, ADA, "rollouts", i) for i in range(2)]
    first, second = make(store, ADA, "comparison", 0, *runs), make(store, ADA, "comparison", 1, runs[0])
    found = keeping.removal(store, first, ADA)
    assert found.kinds == {"rollouts": 1}
    keeping.remove(store, found, ADA)
    assert ids(store) == {runs[0], second}
    make(store, BEN, "rollouts", 0)
    keeping.remove(store, keeping.removal(store, second, ADA), ADA)
    assert ids(store) == {runs[0]}, "they are BEN's, too"
