"""Two visitors of one server: each sees and settles their own things and the samples, and another's by a link alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from app import questions
from app.questions.context import Context, open_context
from app.questions.holdings import EVERYTHING
from app.visitors import Visitor, asked_by
from steering import keeping
from steering.errors import InputError, NotFound
from steering.jobs.client import Jobs
from steering.pipeline.uploads import FILES, upload_folder
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
def shared(tmp_path: Path, samples: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Context]:
    """A server with samples, whose queue no worker serves."""
    monkeypatch.setattr(Jobs, "_start", lambda self, worker: None)
    store = Store(tmp_path / "store", readonly=[samples[0]])
    jobs = Jobs(store)
    yield open_context(store, jobs)
    jobs.close()


@pytest.fixture
def adas(shared: Context, made: tuple[Path, dict[str, str]]) -> dict[str, str]:
    """Kind -> one of what ADA's jobs have made: demonstrations, their scores, a finetune of them and a comparison."""
    shutil.copytree(made[0] / "artefacts", shared.store.artefacts)
    for path in shared.store.artefacts.iterdir():
        shared.store.owned_by(ADA.owner).claim(path.name)
    ids = made[1]
    found = {"demonstrations": ids["place_cube_in_bowl"], "relevance": ids["relevance"], "adapter": ids["lora"]}
    return found | {"comparison": ids["comparison"]}


def by(visitor: Visitor, question: Callable[..., Any], *given: Any) -> Any:
    """The answer to a question of this visitor's."""
    with asked_by(visitor):
        return question(*given)


def queue(context: Context, visitor: Visitor) -> str:
    return context.jobs.submit("record", owner=visitor.owner, task="pick_cube", count=1)


# -- jobs --------------------------------------------------------------------------------------------------------------


def test_only_the_owner_stops_a_job(shared: Context, public: None) -> None:
    job = queue(shared, ADA)
    with pytest.raises(InputError, match="somebody else"):
        by(EVE, questions.jobs.stop, shared, job)
    assert shared.jobs.status(job).state == "queued"
    by(ADA, questions.jobs.stop, shared, job)
    assert shared.jobs.status(job).state == "cancelled"


def test_only_the_owner_starts_a_job_again_and_only_an_ended_one(shared: Context, public: None) -> None:
    job = queue(shared, ADA)
    by(ADA, questions.jobs.again, shared, job)
    assert len(shared.jobs.recent()) == 1
    by(ADA, questions.jobs.stop, shared, job)
    with pytest.raises(InputError, match="somebody else"):
        by(EVE, questions.jobs.again, shared, job)
    assert len(shared.jobs.recent()) == 1
    by(ADA, questions.jobs.again, shared, job)
    assert [one.owner for one in shared.jobs.active()] == [ADA.owner]


def test_only_the_owner_dismisses_a_failure(shared: Context, public: None) -> None:
    job = queue(shared, ADA)
    with pytest.raises(InputError, match="somebody else"):
        by(EVE, questions.jobs.dismiss, shared, job)
    assert not by(ADA, questions.jobs.work, shared)[0].dismissed
    by(ADA, questions.jobs.dismiss, shared, job)
    assert by(ADA, questions.jobs.work, shared)[0].dismissed


def test_only_the_owner_stops_a_question_about_a_head(shared: Context, public: None) -> None:
    job = shared.jobs.submit("record", owner=f"{ADA.owner}-heads", task="pick_cube", count=1)
    with pytest.raises(InputError, match="somebody else"):
        by(EVE, questions.jobs.stop, shared, job)
    by(ADA, questions.jobs.stop, shared, job)
    assert shared.jobs.status(job).state == "cancelled"


def test_on_a_server_of_ones_own_every_job_is(shared: Context) -> None:
    job = queue(shared, ADA)
    by(EVE, questions.jobs.stop, shared, job)
    assert shared.jobs.status(job).state == "cancelled"


def places(context: Context, ids: set[str]) -> list[Path]:
    return [context.store.folder(one) for one in ids]


# -- lists -------------------------------------------------------------------------------------------------------------


def listed(context: Context, visitor: Visitor) -> dict[str, set[str]]:
    """What the page lists for a visitor."""
    with asked_by(visitor):
        return {
            "demonstrations": {card.id for card in questions.demonstrations.sets(context)},
            "adapter": {row.id for row in questions.results.finetunes(context)},
            "comparison": {one.id for one in questions.comparison.choices(context)},
        }


def test_the_page_lists_ones_own_and_the_samples(shared: Context, adas: dict[str, str], public: None) -> None:
    mine, others = listed(shared, ADA), listed(shared, EVE)
    for kind, ids in mine.items():
        assert adas[kind] in ids and all(
            one.is_relative_to(shared.store.artefacts) for one in places(shared, ids - others[kind])
        )
        assert not any(one.is_relative_to(shared.store.artefacts) for one in places(shared, others[kind])), kind
    with asked_by(ADA):
        cards = {card.id: card for card in questions.demonstrations.sets(shared)}
        assert cards[adas["demonstrations"]].own and cards[adas["demonstrations"]].kept_until
        assert all(card.own is not card.sample for card in cards.values())
        assert questions.results.last_run(shared).startswith(("compared", "finetuned"))
    with asked_by(EVE):
        assert questions.results.last_run(shared) == "example", "another's run is not the last one here"


def test_on_a_server_of_ones_own_everything_is_listed_and_yours(shared: Context, adas: dict[str, str]) -> None:
    assert listed(shared, ADA) == listed(shared, EVE)
    with asked_by(EVE):
        card = questions.demonstrations.card(shared, adas["demonstrations"])
        assert card.own and not card.kept_until
        made_before_owners = shared.store.save("demonstrations", replace(shared.store.kept(card.id), name="old"))
        assert questions.demonstrations.card(shared, made_before_owners).own


def test_a_link_opens_anothers_set_with_its_scores_and_nothing_else(
    shared: Context, adas: dict[str, str], public: None
) -> None:
    with asked_by(EVE):
        assert not questions.measures.stored(shared, adas["demonstrations"])
        screen = questions.link.restore(shared, {"demonstrations": adas["demonstrations"]}, questions.link.Memory())
        assert screen.opened[0] == adas["demonstrations"] and not screen.notes
        card = questions.demonstrations.card(shared, adas["demonstrations"])
        assert not card.own and not card.sample
        assert adas["relevance"] in questions.measures.stored(shared, adas["demonstrations"]).values()
    assert adas["adapter"] not in listed(shared, EVE)["adapter"]
    assert adas["demonstrations"] in listed(shared, EVE)["demonstrations"], "it joins the list"
    third = Visitor("c" * 16)
    assert adas["demonstrations"] not in listed(shared, third)["demonstrations"]


def test_a_link_opens_anothers_comparison(shared: Context, adas: dict[str, str], public: None) -> None:
    with asked_by(EVE):
        assert not questions.link.restore(shared, {"comparison": adas["comparison"]}, questions.link.Memory()).notes
    assert adas["comparison"] in listed(shared, EVE)["comparison"]


def test_a_set_from_before_there_were_owners_opens_by_its_link(
    shared: Context, adas: dict[str, str], public: None
) -> None:
    old = shared.store.save("demonstrations", replace(shared.store.kept(adas["demonstrations"]), name="old"))
    assert old not in listed(shared, EVE)["demonstrations"]
    with asked_by(EVE):
        assert (
            questions.demonstrations.open_set(shared, old) == old and not questions.demonstrations.card(shared, old).own
        )


# -- deleting ----------------------------------------------------------------------------------------------------------


def test_only_the_owner_deletes_and_is_told_first(shared: Context, adas: dict[str, str], public: None) -> None:
    with asked_by(EVE):
        for wanted in adas.values():
            with pytest.raises(NotFound, match="not yours"):
                questions.holdings.asked(shared, wanted)
            with pytest.raises(NotFound, match="not yours"):
                questions.holdings.delete(shared, wanted)
    with asked_by(ADA):
        asked = questions.holdings.asked(shared, adas["demonstrations"])
        assert asked.kinds["adapter"] == 2 and asked.kinds["comparison"] == 1 and asked.kinds["relevance"] > 1
        job = shared.jobs.submit("find_heads", owner=ADA.owner, demonstrations_id=adas["demonstrations"])
        questions.holdings.delete(shared, adas["demonstrations"])
        assert shared.jobs.status(job).state == "cancelled", "what works with it is stopped"
        assert questions.holdings.shown(shared).runs == 0 and questions.holdings.shown(shared).sets == 1
        with pytest.raises(NotFound):
            shared.store.kept(adas["demonstrations"])


def test_a_run_goes_without_what_it_was_made_from(shared: Context, adas: dict[str, str], public: None) -> None:
    with asked_by(ADA):
        questions.holdings.delete(shared, adas["comparison"])
        assert adas["adapter"] in {row.id for row in questions.results.finetunes(shared)}
        questions.holdings.delete(shared, adas["adapter"])
    assert adas["demonstrations"] in listed(shared, ADA)["demonstrations"]


@pytest.mark.parametrize("wanted", ["place_cube_in_bowl", "relevance"])
def test_samples_are_nobodys_to_delete(
    shared: Context, samples: tuple[Path, dict[str, str]], wanted: str, request: pytest.FixtureRequest
) -> None:
    for switch in (False, True):
        if switch:
            request.getfixturevalue("public")
        with asked_by(ADA), pytest.raises(InputError, match="samples"):
            questions.holdings.delete(shared, samples[1][wanted])


def test_what_a_link_opened_leaves_the_list_and_stays(shared: Context, adas: dict[str, str], public: None) -> None:
    with asked_by(EVE):
        questions.demonstrations.open_set(shared, adas["demonstrations"])
        assert "stays with whose it is" in questions.holdings.asked(shared, adas["demonstrations"]).title
        questions.holdings.delete(shared, adas["demonstrations"])
    assert adas["demonstrations"] not in listed(shared, EVE)["demonstrations"]
    assert adas["demonstrations"] in listed(shared, ADA)["demonstrations"]


def test_everything_of_one_goes_with_jobs_and_upload_and_anothers_stays(
    shared: Context, adas: dict[str, str], public: None
) -> None:
    eves = shared.store.owned_by(EVE.owner).save(
        "demonstrations", replace(shared.store.kept(adas["demonstrations"]), name="hers")
    )
    jobs = {visitor.owner: queue(shared, visitor) for visitor in (ADA, EVE)}
    upload = by(ADA, questions.uploads.begin, shared, [{"name": "a.npz", "size": 3}])
    with asked_by(ADA):
        asked = questions.holdings.asked(shared, EVERYTHING)
        assert asked.kinds["demonstrations"] == 2 and asked.upload is False, "an upload that has not arrived"
        questions.holdings.delete(shared, EVERYTHING)
        found = questions.holdings.shown(shared)
        assert (found.sets, found.runs, found.used_bytes) == (0, 0, 0)
    assert not upload_folder(shared.store, upload).exists()
    assert not shared.jobs.recent(ADA.owner)
    assert shared.jobs.status(jobs[EVE.owner]).state == "queued" and eves in listed(shared, EVE)["demonstrations"]


def test_everything_on_a_server_of_ones_own_is_all_but_the_samples(shared: Context, adas: dict[str, str]) -> None:
    with asked_by(EVE):
        questions.holdings.delete(shared, EVERYTHING)
        assert questions.holdings.shown(shared).used_bytes == 0
        assert all(card.sample for card in questions.demonstrations.sets(shared)) and questions.demonstrations.sets(
            shared
        )


def test_pictures_and_films_go_with_what_they_show(shared: Context, adas: dict[str, str], public: None) -> None:
    with asked_by(ADA):
        shared.media.file(questions.demonstrations.thumbnails(shared, adas["demonstrations"])[0])
        shown = questions.comparison.comparison(shared, adas["comparison"])
        assert "media/recording-" in str(shown.videos)
        questions.holdings.delete(shared, adas["demonstrations"])
        assert not keeping.used_bytes(shared.store, [one.id for one in shared.store.find("rollouts")])
    assert not list(shared.media.folder.iterdir())


# -- uploads -----------------------------------------------------------------------------------------------------------


def test_an_upload_is_finished_and_abandoned_by_its_owner_alone(shared: Context, public: None) -> None:
    upload = by(ADA, questions.uploads.begin, shared, [{"name": "a.npz", "size": 3}])
    (upload_folder(shared.store, upload) / FILES / "a.npz").write_bytes(b"abc")
    for settle in (questions.uploads.finish, questions.uploads.abandon):
        with pytest.raises(NotFound, match="of yours"):
            by(EVE, settle, shared, upload)
    assert by(EVE, questions.uploads.shown, shared) is None
    by(ADA, questions.uploads.finish, shared, upload)
    assert by(ADA, questions.uploads.shown, shared) is not None
