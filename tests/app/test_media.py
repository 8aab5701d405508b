"""Files that the browser fetches: made when they are fetched, once, and worded where they cannot be."""

from __future__ import annotations

import io
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from app import questions
from app.answers.jobs import JobLine
from app.media import SHEETS_AT_ONCE, Media, NotYet
from app.questions.context import Context
from app.tabs import demonstrations, heads
from app.views.frame_player import encode, thumbnail
from steering.errors import NotFound
from steering.lossless_video import LazyArrays
from steering.store import Store
from steering.types import Demonstrations

Samples = tuple[Path, dict[str, str]]


@pytest.fixture
def damaged(tmp_path: Path, samples: Samples) -> tuple[Store, str]:
    """A store whose demonstrations' videos cannot be decoded, and their id."""
    shutil.copytree(samples[0], tmp_path / "damaged")
    store, made = Store(tmp_path / "damaged"), samples[1]["place_cube_in_bowl"]
    for video in store.folder(made).glob("*.mp4"):
        video.write_bytes(b"broken")
    return store, made


def client(previews: Media) -> TestClient:
    return TestClient(Starlette(routes=previews.routes))


def test_opening_a_set_decodes_nothing(context: Context, samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steering.serialisation.each_frame", lambda *_, **__: pytest.fail("it was decoded"))
    opened, made = context, samples[1]["place_cube_in_bowl"]
    value = heads.show_episode(opened, made, 1)
    assert value is not None and len(value["cameras"]) == 2 and value["frames"] == 17
    assert demonstrations.show_episodes(opened, [made, 0]).count("<img") == 3
    assert "<img" in demonstrations.show_sets(opened, [made, 0])
    assert opened.media.atlas(made)["starts"] == [0, 14, 31]
    assert list(opened.media.folder.iterdir()) == []


def test_a_file_is_made_when_it_is_fetched_and_once(context: Context, samples: Samples) -> None:
    made, server = samples[1]["place_cube_in_bowl"], client(context.media)
    address = context.media.sprites(made, 1, ["wrist"])["wrist"]
    answer = server.get(f"/{address}")
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(answer.content)).size == (480, 96)  # 17 frames of 48 px, ten a row
    [file] = context.media.folder.iterdir()
    file.write_bytes(b"kept")
    assert server.get(f"/{address}").content == b"kept"
    first = server.get(f"/{context.media.thumbnail(made, 0, 'exterior')}").content
    assert Image.open(io.BytesIO(first)).size == (48, 48)
    atlas = server.get(f"/{context.media.atlas(made)['url']}").content
    assert Image.open(io.BytesIO(atlas)).size == (2560, 128)  # 51 frames of 64 px, forty a row
    weights = server.get(f"/{context.media.attention(samples[1]['attention'])}")
    assert weights.headers["content-type"] == "application/gzip" and "content-encoding" not in weights.headers


def test_an_episode_is_listed_by_a_small_picture() -> None:
    """A camera of 640 × 480 px was listed at full size."""
    wide = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    small = thumbnail(wide)
    assert Image.open(io.BytesIO(small)).size == (144, 108) and len(small) < len(encode(wide)) / 8


def test_pictures_are_made_frame_by_frame(context: Context, samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else 22 MB of an episode of the samples are in memory besides its sheet, and two sheets are made at once."""
    made = samples[1]["place_cube_in_bowl"]
    monkeypatch.setattr(LazyArrays, "__getitem__", None)
    for address in (context.media.sprites(made, 1, ["wrist"])["wrist"], context.media.atlas(made)["url"]):
        assert context.media.file(address, None).read_bytes()[8:12] == b"WEBP"


def test_small_pictures_that_take_long_are_asked_for_again(
    context: Context, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, begun = threading.Event(), []
    monkeypatch.setattr("app.media.PATIENCE_S", 0.01)
    monkeypatch.setattr(context.media, "_atlas", lambda made, _: begun.append(made) or go.wait() and b"atlas" or b"")
    address = f"/{context.media.atlas(samples[1]['press_button'])['url']}"
    for _ in range(2):
        answer = client(context.media).get(address)
        assert answer.status_code == 503 and answer.text == "Preparing frames"
    go.set()
    _until(lambda: client(context.media).get(address).content == b"atlas")
    assert len(begun) == 1


def test_a_long_sheet_says_how_far_it_is(context: Context, samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    def slow(frames: Iterator[np.ndarray], *_: int) -> bytes:
        for _ in range(9):
            time.sleep(0.01)
            next(frames)
        return go.wait() and b"sheet" or b""

    monkeypatch.setattr("app.media.PATIENCE_S", 0.05)
    monkeypatch.setattr("app.media.sprite_sheet", slow)
    address = f"/{context.media.sprites(samples[1]['place_cube_in_bowl'], 1, ['wrist'])['wrist']}"
    _until(lambda: re.fullmatch(r"Preparing frames, .* s left", client(context.media).get(address).text) is not None)
    assert client(context.media).get(address).status_code == 503
    go.set()
    _until(lambda: client(context.media).get(address).content == b"sheet")


def test_cameras_of_any_name_have_an_address(tmp_path: Path, sample_store: object) -> None:
    store = Store(tmp_path)
    episode = sample_store.episode(0, "wait", 3, 16)  # type: ignore[attr-defined]
    names = ["observation.images.top", "../top?x=1#y", "oben links"]
    object.__setattr__(episode, "cameras", {name: episode.cameras["wrist"] for name in names})
    made = store.save("demonstrations", Demonstrations("set", "", (), (episode,)))
    previews = Media(store)
    for name in names:
        assert client(previews).get(f"/{previews.thumbnail(made, 0, name)}").status_code == 200
    assert {file.parent for file in previews.folder.rglob("*.webp")} == {previews.folder}


@pytest.mark.parametrize(
    "address",
    ["x", "x/0/wrist/first.webp", "{other}/atlas.webp", "{id}/99/wrist/first.webp", "{id}/0/nose/squares.webp"]
    + ["{id}/levels.gz", "relevance-0000000000000000/atlas.webp"],
)
def test_what_is_not_there_is_said(context: Context, samples: Samples, address: str) -> None:
    named = address.format(id=samples[1]["place_cube_in_bowl"], other=samples[1]["relevance"])
    answer = client(context.media).get(f"/previews/{quote(named)}")
    assert answer.status_code in (404, 422) and len(answer.text) > 10
    assert list(context.media.folder.iterdir()) == []


def test_a_damaged_recording_is_said_in_words(damaged: tuple[Store, str]) -> None:
    store, made = damaged
    answer = client(Media(store)).get(f"/previews/{made}/0/wrist/squares.webp")
    assert answer.status_code == 422 and ".mp4" in answer.text and "Record or import them again" in answer.text


def test_what_was_recorded_or_imported_is_drawn_ahead_once(
    context: Context, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = samples[1]["press_button"]
    done = JobLine("0", "", "done", 1, "", 0, result=made, function="import_upload")
    seen = replace(done, id="1", result=samples[1]["attention"], function="attention")
    gone = replace(done, id="2", result="demonstrations-0000000000000000", function="record")
    questions.ahead.follow(context, [done, seen, gone])
    _until(lambda: len(list(context.media.folder.glob(f"{made}-0-*-squares.webp"))) == 2)
    _until(lambda: len(list(context.media.folder.glob("*-levels.gz"))) == 1)
    monkeypatch.setattr(context.media, "file", None)
    questions.ahead.follow(context, [done, seen, gone])


def test_the_first_screen_is_drawn_ahead(context: Context, samples: Samples) -> None:
    questions.ahead.warm(context)
    drawn = re.compile(r"(demonstrations|attention)-.+\.(webp|gz)")
    _until(lambda: len([file for file in context.media.folder.iterdir() if drawn.fullmatch(file.name)]) == 3)
    with pytest.raises(NotFound):
        context.media.file("previews/none")


def _until(true: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 300
    while not true():
        assert time.monotonic() < until_s
        time.sleep(0.02)


def test_few_sheets_are_made_at_once_and_thumbnails_wait_for_none(
    context: Context, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, go, lock = samples[1]["place_cube_in_bowl"], threading.Event(), threading.Lock()
    now, most = 0, 0

    def sheet(*_: object) -> bytes:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        assert go.wait(30)
        with lock:
            now -= 1
        return b"sheet"

    monkeypatch.setattr("app.media.sprite_sheet", sheet)
    sheets = [one for i in range(3) for one in context.media.sprites(made, i, ["exterior", "wrist"]).values()]
    for one in sheets:
        with pytest.raises(NotYet):
            context.media.file(one, 0.05)
    assert context.media.file(context.media.thumbnail(made, 0, "wrist"), 30).stat().st_size
    assert most == SHEETS_AT_ONCE
    go.set()
    assert {context.media.file(one, 30).read_bytes() for one in sheets} == {b"sheet"} and most == SHEETS_AT_ONCE
