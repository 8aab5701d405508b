"""Two visitors of one server: each sees and settles their own things and the samples, and another's by a link alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from app import link
from app.holdings import EVERYTHING
from app.receiving import FILES, upload_folder
from app.service import Workbench
from app.visitors import Visitor, asked_by
from steering import keeping
from steering.errors import InputError, NotFound
from steering.jobs.client import Jobs
from steering.public import SWITCH
from steering.store import Store

ADA, EVE = Visitor("a" * 16), Visitor("e" * 16)


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "1")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, sample_store: ModuleType) -> tuple[Path, dict[str, str]]:
    """What somebody has made, none of it the same as in the samples."""
    root = tmp_path_factory.mktemp("made")
    return root, sample_store.fill(root, episodes=2, count=12, size=40)


@pytest.fixture
def shared(
    tmp_path: Path, samples: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workbench]:
    """A server with samples, whose queue no worker serves."""
    monkeypatch.setattr(Jobs, "_start", lambda self, worker: None)
    store = Store(tmp_path / "store", readonly=[samples[0]])
    jobs = Jobs(store)
    yield Workbench(store, jobs)
    jobs.close()


@pytest.fixture
def adas(shared: Workbench, made: tuple[Path, dict[str, str]]) -> dict[str, str]:
    """Kind -> one of what ADA's jobs have made: demonstrations, their scores, a finetune of them and a comparison."""
    shutil.copytree(made[0] / "artefacts", shared.store.artefacts)
    for path in shared.store.artefacts.iterdir():
        shared.store.owned_by(ADA.owner).claim(path.name)
    ids = made[1]
    found = {"demonstrations": ids["place_cube_in_bowl"], "relevance": ids["relevance"], "adapter": ids["lora"]}
    return found | {"comparison": ids["comparison"]}


def queue(bench: Workbench, visitor: Visitor) -> str:
    return bench.jobs.submit("record", owner=visitor.owner, task="pick_cube", count=1)


# -- jobs --------------------------------------------------------------------------------------------------------------


def test_only_the_owner_stops_a_job(shared: Workbench, public: None) -> None:
    job = queue(shared, ADA)
    with pytest.raises(InputError, match="somebody else"):
        shared.stop(EVE.owner, job)
    assert shared.jobs.status(job).state == "queued"
    shared.stop(ADA.owner, job)
    assert shared.jobs.status(job).state == "cancelled"


def test_only_the_owner_starts_a_job_again_and_only_an_ended_one(shared: Workbench, public: None) -> None:
    job = queue(shared, ADA)
    shared.again(ADA.owner, job)
    assert len(shared.jobs.recent()) == 1
    shared.stop(ADA.owner, job)
    with pytest.raises(InputError, match="somebody else"):
        shared.again(EVE.owner, job)
    assert len(shared.jobs.recent()) == 1
    shared.again(ADA.owner, job)
    assert [one.owner for one in shared.jobs.active()] == [ADA.owner]


def test_only_the_owner_dismisses_a_failure(shared: Workbench, public: None) -> None:
    job = queue(shared, ADA)
    with pytest.raises(InputError, match="somebody else"):
        shared.dismiss(EVE.owner, job)
    assert not shared.work(ADA.owner)[0].dismissed
    shared.dismiss(ADA.owner, job)
    assert shared.work(ADA.owner)[0].dismissed


def test_only_the_owner_stops_a_question_about_a_head(shared: Workbench, public: None) -> None:
    job = shared.jobs.submit("record", owner=f"{ADA.owner}-laboratory", task="pick_cube", count=1)
    with pytest.raises(InputError, match="somebody else"):
        shared.stop(EVE.owner, job)
    shared.stop(ADA.owner, job)
    assert shared.jobs.status(job).state == "cancelled"


def test_on_a_server_of_ones_own_every_job_is(shared: Workbench) -> None:
    job = queue(shared, ADA)
    shared.stop(EVE.owner, job)
    assert shared.jobs.status(job).state == "cancelled"


def places(bench: Workbench, ids: set[str]) -> list[Path]:
    return [bench.store.folder(one) for one in ids]


# -- lists -------------------------------------------------------------------------------------------------------------


def listed(bench: Workbench, visitor: Visitor) -> dict[str, set[str]]:
    """What the page lists for a visitor."""
    with asked_by(visitor):
        return {
            "demonstrations": {card.id for card in bench.sets()},
            "adapter": {row.id for row in bench.results.finetunes()},
            "comparison": {one.id for one in bench.results.choices()},
        }


def test_the_page_lists_ones_own_and_the_samples(shared: Workbench, adas: dict[str, str], public: None) -> None:
    mine, others = listed(shared, ADA), listed(shared, EVE)
    for kind, ids in mine.items():
        assert adas[kind] in ids and all(
            one.is_relative_to(shared.store.artefacts) for one in places(shared, ids - others[kind])
        )
        assert not any(one.is_relative_to(shared.store.artefacts) for one in places(shared, others[kind])), kind
    with asked_by(ADA):
        cards = {card.id: card for card in shared.sets()}
        assert cards[adas["demonstrations"]].own and cards[adas["demonstrations"]].kept_until
        assert all(card.own is not card.sample for card in cards.values())
        assert shared.results.last_run().startswith(("compared", "finetuned"))
    with asked_by(EVE):
        assert shared.results.last_run() == "example", "another's run is not the last one here"


def test_on_a_server_of_ones_own_everything_is_listed_and_yours(shared: Workbench, adas: dict[str, str]) -> None:
    assert listed(shared, ADA) == listed(shared, EVE)
    with asked_by(EVE):
        card = shared.card(adas["demonstrations"])
        assert card.own and not card.kept_until
        made_before_owners = shared.store.save("demonstrations", replace(shared.load(card.id), name="old"))
        assert shared.card(made_before_owners).own


def test_a_link_opens_anothers_set_with_its_scores_and_nothing_else(
    shared: Workbench, adas: dict[str, str], public: None
) -> None:
    with asked_by(EVE):
        assert not shared.measures(adas["demonstrations"])
        screen = link.restore(shared, {"demonstrations": adas["demonstrations"]}, link.Memory())
        assert screen.opened[0] == adas["demonstrations"] and not screen.notes
        card = shared.card(adas["demonstrations"])
        assert not card.own and not card.sample
        assert adas["relevance"] in shared.measures(adas["demonstrations"]).values()
    assert adas["adapter"] not in listed(shared, EVE)["adapter"]
    assert adas["demonstrations"] in listed(shared, EVE)["demonstrations"], "it joins the list"
    third = Visitor("c" * 16)
    assert adas["demonstrations"] not in listed(shared, third)["demonstrations"]


def test_a_link_opens_anothers_comparison(shared: Workbench, adas: dict[str, str], public: None) -> None:
    with asked_by(EVE):
        assert not link.restore(shared, {"comparison": adas["comparison"]}, link.Memory()).notes
    assert adas["comparison"] in listed(shared, EVE)["comparison"]


def test_a_set_from_before_there_were_owners_opens_by_its_link(
    shared: Workbench, adas: dict[str, str], public: None
) -> None:
    old = shared.store.save("demonstrations", replace(shared.load(adas["demonstrations"]), name="old"))
    assert old not in listed(shared, EVE)["demonstrations"]
    with asked_by(EVE):
        assert shared.open_set(old) == old and not shared.card(old).own


# -- deleting ----------------------------------------------------------------------------------------------------------


def test_only_the_owner_deletes_and_is_told_first(shared: Workbench, adas: dict[str, str], public: None) -> None:
    with asked_by(EVE):
        for wanted in adas.values():
            with pytest.raises(NotFound, match="not yours"):
                shared.holdings.asked(wanted)
            with pytest.raises(NotFound, match="not yours"):
                shared.holdings.delete(wanted)
    with asked_by(ADA):
        asked = shared.holdings.asked(adas["demonstrations"])
        assert asked.kinds["adapter"] == 2 and asked.kinds["comparison"] == 1 and asked.kinds["relevance"] > 1
        job = shared.jobs.submit("find_heads", owner=ADA.owner, demonstrations_id=adas["demonstrations"])
        shared.holdings.delete(adas["demonstrations"])
        assert shared.jobs.status(job).state == "cancelled", "what works with it is stopped"
        assert shared.holdings.shown().runs == 0 and shared.holdings.shown().sets == 1
        with pytest.raises(NotFound):
            shared.load(adas["demonstrations"])


def test_a_run_goes_without_what_it_was_made_from(shared: Workbench, adas: dict[str, str], public: None) -> None:
    with asked_by(ADA):
        shared.holdings.delete(adas["comparison"])
        assert adas["adapter"] in {row.id for row in shared.results.finetunes()}
        shared.holdings.delete(adas["adapter"])
    assert adas["demonstrations"] in listed(shared, ADA)["demonstrations"]


@pytest.mark.parametrize("wanted", ["place_cube_in_bowl", "relevance"])
def test_samples_are_nobodys_to_delete(
    shared: Workbench, samples: tuple[Path, dict[str, str]], wanted: str, request: pytest.FixtureRequest
) -> None:
    for switch in (False, True):
        if switch:
            request.getfixturevalue("public")
        with asked_by(ADA), pytest.raises(InputError, match="samples"):
            shared.holdings.delete(samples[1][wanted])


def test_what_a_link_opened_leaves_the_list_and_stays(shared: Workbench, adas: dict[str, str], public: None) -> None:
    with asked_by(EVE):
        shared.open_set(adas["demonstrations"])
        assert "stays with whose it is" in shared.holdings.asked(adas["demonstrations"]).title
        shared.holdings.delete(adas["demonstrations"])
    assert adas["demonstrations"] not in listed(shared, EVE)["demonstrations"]
    assert adas["demonstrations"] in listed(shared, ADA)["demonstrations"]


def test_everything_of_one_goes_with_jobs_and_upload_and_anothers_stays(
    shared: Workbench, adas: dict[str, str], public: None
) -> None:
    eves = shared.store.owned_by(EVE.owner).save(
        "demonstrations", replace(shared.load(adas["demonstrations"]), name="hers")
    )
    jobs = {visitor.owner: queue(shared, visitor) for visitor in (ADA, EVE)}
    upload = shared.uploads.begin(ADA.owner, [{"name": "a.npz", "size": 3}])
    with asked_by(ADA):
        asked = shared.holdings.asked(EVERYTHING)
        assert asked.kinds["demonstrations"] == 2 and asked.upload is False, "an upload that has not arrived"
        shared.holdings.delete(EVERYTHING)
        found = shared.holdings.shown()
        assert (found.sets, found.runs, found.used_bytes) == (0, 0, 0)
    assert not upload_folder(shared.store, upload).exists()
    assert not shared.jobs.recent(ADA.owner)
    assert shared.jobs.status(jobs[EVE.owner]).state == "queued" and eves in listed(shared, EVE)["demonstrations"]


def test_everything_on_a_server_of_ones_own_is_all_but_the_samples(shared: Workbench, adas: dict[str, str]) -> None:
    with asked_by(EVE):
        shared.holdings.delete(EVERYTHING)
        assert shared.holdings.shown().used_bytes == 0
        assert all(card.sample for card in shared.sets()) and shared.sets()


def test_pictures_and_films_go_with_what_they_show(shared: Workbench, adas: dict[str, str], public: None) -> None:
    with asked_by(ADA):
        shared.previews.file(shared.thumbnails(adas["demonstrations"])[0])
        shown = shared.results.comparison(adas["comparison"])
        assert "media/recording-" in str(shown.player)
        shared.holdings.delete(adas["demonstrations"])
        assert not keeping.used_bytes(shared.store, [one.id for one in shared.store.find("rollouts")])
    assert not list(shared.previews.folder.iterdir())


# -- uploads -----------------------------------------------------------------------------------------------------------


def test_an_upload_is_finished_and_abandoned_by_its_owner_alone(shared: Workbench, public: None) -> None:
    upload = shared.uploads.begin(ADA.owner, [{"name": "a.npz", "size": 3}])
    (upload_folder(shared.store, upload) / FILES / "a.npz").write_bytes(b"abc")
    for settle in (shared.uploads.finish, shared.uploads.abandon):
        with pytest.raises(NotFound, match="of yours"):
            settle(EVE.owner, upload)
    assert shared.uploads.shown(EVE.owner) is None
    shared.uploads.finish(ADA.owner, upload)
    assert shared.uploads.shown(ADA.owner) is not None
