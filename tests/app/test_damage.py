"""The page goes on without what is damaged, names it and what remakes it, and never takes it for not made yet."""

from __future__ import annotations

import gc
import importlib.util
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from app import questions
from app.answers import measures
from app.questions.context import Context, open_context
from app.questions.head_sets import HeadSet
from app.tabs import compare, demonstrations, finetune, heads, policies
from app.tabs import measures as measures_tab
from app.views.damage import SHOWN, damage
from app.views.header import header
from steering import kept
from steering.errors import InputError, NotFound
from steering.integrity import Damaged
from steering.store import Store
from steering.types import Activations, Head, Neighbours

HERE = Path(__file__).parent


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"damage_{name}", HERE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


beside = load("conftest")
HARMS = {"flipped": "arrays.npz", "truncated": "value.json", "deleted": "manifest.json"}
SEEN = ("place_cube_in_bowl", "own", "own_trust", "captured", "neighbours", "attention", "steering", "comparison")

TURNS = [list(HARMS)[i % len(HARMS)] for i in range(len(SEEN))]
EVERY = [
    pytest.param((name, harm), marks=() if harm == turn else pytest.mark.slow)
    for name, turn in zip(SEEN, TURNS, strict=True)
    for harm in HARMS
]
"""Every artefact harmed in every way; in one way each where time is short."""


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    root = tmp_path_factory.mktemp("measures")
    (root / "policy").mkdir()
    (root / "policy" / "config.json").write_text(beside.CONFIG)
    return root, load("measures_store").fill(root / "store", episodes=3, count=14, size=48)


def bench_of(stored: tuple[Path, dict[str, str]]) -> Context:
    jobs = beside.RecordingJobs()
    jobs.recent = lambda *_, **__: []
    jobs.active = lambda *_, **__: []
    return open_context(Store(stored[0] / "store"), jobs, str(stored[0] / "policy"))


@pytest.fixture
def harmed(
    stored: tuple[Path, dict[str, str]], request: pytest.FixtureRequest
) -> Iterator[tuple[Context, dict[str, str], str]]:
    """A context over a store in which one artefact is harmed in one way, the ids, and the id of that artefact."""
    name, harm = request.param
    root, ids = stored
    artefact_id = ids[name]
    folder = root / "store" / "artefacts" / artefact_id
    path = folder / HARMS[harm] if (folder / HARMS[harm]).is_file() else folder / "value.json"
    whole = path.read_bytes()
    if harm == "flipped":
        path.write_bytes(whole[:-100] + bytes([whole[-100] ^ 4]) + whole[-99:])
    elif harm == "truncated":
        path.write_bytes(whole[:-2])
    else:
        path.unlink()
    yield bench_of(stored), ids, artefact_id
    path.write_bytes(whole)


def look_everywhere(context: Context, wanted: str) -> str:
    """Show every step of the page with the set `wanted`; the id of the set that is open in the end."""
    opened = questions.demonstrations.open_set(context, wanted)
    key = next((one.key for one in questions.measures.stored(context, opened)), "")
    header(questions.link.header_of(context, [opened, 0], HeadSet("", "", ""), key))
    heads.show(context, opened, "", key)
    heads.show_episode(context, opened, 0)
    measures_tab.show_menu(context, [opened, 0], key)
    measures_tab.show_cost(context, opened, key, 16, [1, 2])
    for kind in measures_tab.KINDS:
        measures_tab.answer(context, [opened, 0], key, "", "", {"kind": kind})
    demonstrations.show_sets(context, [opened, 0])
    demonstrations.show_episodes(context, [opened, 0])
    finetune.show(context, [opened, 0], "", "", key, {})
    compare.show(context, [opened, 0], "")
    policies.show(context)
    return opened


@pytest.mark.parametrize("harmed", EVERY, ids=lambda one: "-".join(one), indirect=True)
def test_every_step_goes_on_and_the_damage_is_named(harmed: tuple[Context, dict[str, str], str]) -> None:
    context, ids, artefact_id = harmed
    opened = look_everywhere(context, ids["place_cube_in_bowl"])
    assert opened == (ids["press_button"] if artefact_id == ids["place_cube_in_bowl"] else ids["place_cube_in_bowl"])
    [line] = questions.demonstrations.damage(context)
    assert artefact_id in line and context.store.damaged()[0].again in line
    assert artefact_id in damage([line])


def test_a_whole_store_has_no_line(stored: tuple[Path, dict[str, str]]) -> None:
    context = bench_of(stored)
    look_everywhere(context, stored[1]["place_cube_in_bowl"])
    assert questions.demonstrations.damage(context) == [] and damage([]) == ""
    many = damage([f"<b>{i}</b>" for i in range(SHOWN + 4)])
    assert "4 more" in many and "<b>" not in many


def test_damaged_scores_are_not_taken_for_missing_ones(stored: tuple[Path, dict[str, str]]) -> None:
    root, ids = stored
    scores = [one.id for one in Store(root / "store").find("relevance")]
    paths = [root / "store" / "artefacts" / one / "arrays.npz" for one in scores]
    whole = [path.read_bytes() for path in paths]
    for path in paths:
        path.write_bytes(b"")
    try:
        context, opened = bench_of(stored), ids["place_cube_in_bowl"]
        shown = heads.show(context, opened, "")[-1]
        assert "damaged" in shown and "not scored yet" not in shown and 'data-action="find"' in shown
        [line] = questions.demonstrations.damage(context)
        assert line.startswith(f"{len(scores)} of the head scores cannot be used, among them relevance-")
        assert "scores damaged" in demonstrations.show_sets(context, [opened, 0])
        for ask in (
            lambda: questions.choosing.auto_select(context, opened, 5, None),
            lambda: questions.choosing.within(context, opened, "", 1000, 4, ("vlm",)),
            lambda: questions.exports.heads(context, "relevance.csv", opened, "", []),
            lambda: questions.training.heads_of(context, "random", opened, "", [Head("vlm", 0, 0)], 0),
        ):
            with pytest.raises(Damaged, match=r"Press Find heads"):
                ask()
        with pytest.raises(NotFound, match="no head scores yet"):
            questions.choosing.auto_select(context, ids["press_button"], 5, None)
    finally:
        for path, content in zip(paths, whole, strict=True):
            path.write_bytes(content)


@pytest.mark.parametrize("harmed", [("own_trust", "flipped")], indirect=True)
def test_damaged_intervals_are_not_taken_for_unmeasured_ones(harmed: tuple[Context, dict[str, str], str]) -> None:
    context, ids, _ = harmed
    key = next(
        one.key
        for one, found in questions.measures.stored(context, ids["place_cube_in_bowl"]).items()
        if found == ids["own"]
    )
    with pytest.raises(InputError, match="intervals and chance"):
        questions.choosing.above_null(context, ids["place_cube_in_bowl"], key, ("vlm",))


@pytest.mark.parametrize("harmed", [("captured", "flipped")], indirect=True)
def test_damaged_head_outputs_are_not_taken_for_absent_ones(harmed: tuple[Context, dict[str, str], str]) -> None:
    context, ids, captured = harmed
    opened = ids["place_cube_in_bowl"]
    key = next(one.key for one, found in questions.measures.stored(context, opened).items() if found == ids["own"])
    assert captured in measures_tab.show_cost(context, opened, key, 16, [1, 2])
    assert captured in measures_tab.answer(context, [opened, 0], key, "", "", {"kind": "why"})["empty"]


@pytest.mark.parametrize("harmed", [("steering", "deleted"), ("place_cube_in_bowl", "flipped")], indirect=True)
def test_what_cannot_be_used_is_not_offered(harmed: tuple[Context, dict[str, str], str]) -> None:
    context, ids, artefact_id = harmed
    assert artefact_id not in questions.comparison.trained(context, ids["place_cube_in_bowl"]).values()
    assert artefact_id not in {card.id for card in questions.demonstrations.sets(context)}
    if artefact_id == ids["place_cube_in_bowl"]:
        screen = questions.link.restore(context, {"demonstrations": artefact_id}, questions.link.Memory())
        assert screen.opened[0] == ids["press_button"] and artefact_id in screen.notes[0]


def alive(kind: type, rows: int) -> int:
    """How many different values of a dataclass with so many rows this process holds."""
    gc.collect()
    values = [one for one in gc.get_objects() if type(one) is kind]
    return len({id(one.episode) for one in values if len(one.episode) == rows})


def test_head_outputs_are_in_memory_once_and_gone_when_idle(
    stored: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "IDLE_S", 1000.0)
    context, ids = bench_of(stored), stored[1]
    opened, rows = (
        ids["place_cube_in_bowl"],
        sum(questions.demonstrations.card(context, ids["place_cube_in_bowl"]).frames),
    )
    before = alive(Activations, rows), alive(Neighbours, rows)
    own = next(one for one, found in questions.measures.stored(context, opened).items() if found == ids["own"])
    asked = replace(own, k="10", target="state")

    def ask(turn: int) -> None:
        questions.measures.start_trust(context, opened, own)
        questions.choosing.set_error(context, opened, own.key, (Head("vlm", 0, turn), Head("expert", 3, 2)))
        questions.heads.why(context, opened, Head("vlm", 0, turn), 0)
        questions.heads.projection(context, opened, Head("vlm", 0, turn))
        questions.measures.rescored(context, opened, measures.Measure(*own.key.split("."), k=str(10 * (turn + 1))))
        questions.measures.over_time(context, opened, asked)

    askers = [threading.Thread(target=ask, args=(turn,)) for turn in range(2)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert alive(Activations, rows) - before[0] == 1
    assert alive(Neighbours, rows) - before[1] == 1
    assert context.store.kept(ids["captured"]) is context.load(ids["captured"], Activations)
    monkeypatch.setattr(kept, "IDLE_S", 0.05)
    context.store._kept._drop_idle()  # what its timer calls
    time.sleep(0.1)
    context.store._kept._drop_idle()
    assert (alive(Activations, rows), alive(Neighbours, rows)) == before
