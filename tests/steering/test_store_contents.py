"""What a store sweeps, claims, keeps and lists."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from steering.errors import InputError
from steering.store import Store
from steering.types import Head, Selection


def test_checkpoints_lie_under_the_start_of_their_works_key_and_stay(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = store.checkpoints("0123456789abcdef" * 4)
    (folder / "half").write_text("done")
    assert folder == store.root / "checkpoints" / ("0123456789abcdef" * 2)
    assert (store.checkpoints("0123456789abcdef" * 4) / "half").is_file()


def test_what_was_left_is_swept_when_it_is_older_than_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, now_s, day_s = Store(tmp_path), 1e9, 86_400
    monkeypatch.setattr("steering.store.time.time", lambda: now_s)
    for name, days in (("unfinished", 1), ("checkpoints", 7), ("damaged", 30)):
        for what, age_s in (("old", days * day_s + 1), ("kept", days * day_s)):
            folder = store.root / name / what
            folder.mkdir(parents=True)
            (folder / "file").write_text("x")
            os.utime(folder, (now_s - age_s, now_s - age_s))
    store.sweep()
    assert sorted(path.name for path in store.root.glob("*/*") if path.parent.name != "artefacts") == ["kept"] * 3


def test_everything_and_children_are_newest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    first = store.save("selection", Selection((Head("vlm", 0, 0),), "a"))
    second = store.save("selection", Selection((Head("vlm", 0, 1),), "b"), parents=[first])
    third = store.save("policy_check", Selection((Head("vlm", 0, 2),), "c"), parents=[first, second])
    assert [one.id for one in store.everything()] == [third, second, first]
    assert [one.id for one in store.children(first)] == [third, second] and store.children(third) == []
    assert [one.id for one in store.find("selection")] == [second, first]
    assert store.ids() == sorted([first, second, third]) and store.ids("policy_check") == [third]
    assert store.ids("selec") == []


def test_an_owner_claims_what_they_make_and_what_of_theirs_it_was_made_from(tmp_path: Path) -> None:
    store = Store(tmp_path)
    ann, ben = store.owned_by("ann"), store.owned_by("ben")
    own = ann.save("selection", Selection((Head("vlm", 0, 0),), "a"))
    other = ben.save("selection", Selection((Head("vlm", 0, 1),), "b"))
    made = ann.save("selection", Selection((Head("vlm", 0, 2),), "c"), parents=[own, other], params={"x": 1})
    assert set(store.owners.own("ann")) == {own, made} and set(store.owners.own("ben")) == {other}
    assert store.owner == "" and ben.find_made("selection", [own, other], {"x": 1}, claim=False) == made
    assert set(store.owners.own("ben")) == {other}
    assert ben.find_made("selection", [own, other], {"x": 1}) == made and made in store.owners.own("ben")
    assert own not in store.owners.own("ben")  # ann's stays hers
    assert store.find_made("selection", [own, other], {"x": 2}) is None
    assert store.find_made("selection", [other, own], {"x": 1}) is None


def test_a_seed_is_in_the_manifest_where_it_is_a_whole_number(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for seed, kept in ((7, 7), (0, 0), ("7", None), (0.5, None)):
        made = store.save("selection", Selection((), "a"), params={"seed": seed})
        assert store.manifest(made).seed == kept
    assert store.manifest(store.save("selection", Selection((), "a"))).seed is None


def test_samples_are_not_deleted_and_one_copy_is_kept_for_all(tmp_path: Path) -> None:
    samples = Store(tmp_path / "samples")
    made = samples.save("selection", Selection((Head("vlm", 0, 0),), "a"))
    store = Store(tmp_path / "own", readonly=[tmp_path / "samples"])
    assert store.is_sample(made) and not samples.is_sample(made)
    with pytest.raises(InputError, match="belongs to the samples"):
        store.delete(made)
    one = store.kept(made)
    assert store.kept(made) is one and store.kept(made, "rank", lambda: [1]) == [1]
    assert store.kept(made, "rank", lambda: [2]) == [1] and store.kept(made, "other", lambda: [3]) == [3]
    store.forget()
    assert store.kept(made) is not one and store.kept(made, "rank", lambda: [2]) == [2]
    store.owned_by("ann").claim(made)
    assert not store.owners.own("ann")  # a sample is nobody's
