"""Uploads outside the browser: what is announced and received, forms of mappings, and what the panel shows."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette

from app import questions
from app import uploads as received
from app.answers.uploads import Finding, UploadCard
from app.questions.context import open_context
from app.questions.mapping_form import mapping_of, ranges, ranges_text
from app.questions.uploads import health_card
from app.uploads import Uploads, safe_path
from app.views.health import health
from app.views.mapping import upload_panel
from steering import pipeline
from steering.errors import InputError, NotFound
from steering.jobs.queue import JobStatus
from steering.pipeline.uploads import upload_folder, upload_limits
from steering.store import Store
from steering.types import Selection

OWNER = "0123456789abcdef"


def put(server: Uploads, path: str, parts: list[bytes]) -> tuple[int, str]:
    """Status and body of a PUT, through the application's own routing."""
    sent: list[dict[str, Any]] = []
    waiting = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "PUT", "path": path, "headers": [], "query_string": b""}
    asyncio.run(Starlette(routes=server.routes)(scope, receive, send))
    return sent[0]["status"], sent[1].get("body", b"").decode()


@pytest.fixture
def server(tmp_path: Path) -> Uploads:
    return Uploads(Store(tmp_path / "store"))


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_files_arrive_under_safe_names_in_a_folder_of_their_own(server: Uploads, tmp_path: Path) -> None:
    upload = server.begin(OWNER, [{"name": "set/meta/info.json", "size": 5}, {"name": "set/../../a:b?.mp4", "size": 2}])
    assert put(server, f"/uploads/{upload}/0", [b"he", b"llo"])[0] == 204
    assert server.of_owner(OWNER) is None, "it has not arrived yet"
    assert put(server, f"/uploads/{upload}/1", [b"ok"])[0] == 204
    server.finish(upload)
    assert server.of_owner(OWNER) == (upload, "set")
    folder = tmp_path / "store" / "uploads" / upload
    assert files_of(folder / "files") == {"set/meta/info.json": b"hello", "set/a_b_.mp4": b"ok"}
    assert {path.name for path in tmp_path.iterdir()} == {"store"}
    server.begin(OWNER, [{"name": "next.npz", "size": 1}])
    assert not folder.exists(), "an owner has one upload at a time"


@pytest.mark.parametrize(
    ("parts", "status", "words"),
    [([b"too", b"long"], 413, "larger than it was said"), ([b"s"], 400, "in part only")],
)
def test_more_or_less_than_announced_is_refused(
    server: Uploads, tmp_path: Path, parts: list[bytes], status: int, words: str
) -> None:
    upload = server.begin(OWNER, [{"name": "a.npz", "size": 4}])
    found = put(server, f"/uploads/{upload}/0", parts)
    assert found[0] == status and words in json.loads(found[1])["words"]
    assert files_of(tmp_path / "store" / "uploads" / upload).keys() == {"upload.json"}
    with pytest.raises(InputError, match="Not every file arrived"):
        server.finish(upload)
    assert not (tmp_path / "store" / "uploads" / upload).exists()


def test_strangers_may_send_less(server: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    assert received.limits_in_words().startswith("Up to 4 GB") and upload_limits().unpacked_bytes == 8 << 30
    monkeypatch.setenv("STEERING_PUBLIC", "1")
    assert received.limits_in_words().startswith("Up to 1 GB") and upload_limits().unpacked_bytes == 2 << 30
    with pytest.raises(InputError, match="1 GB is the most"):
        server.begin(OWNER, [{"name": "a", "size": 2 << 30}])


def test_what_was_not_announced_is_refused(server: Uploads) -> None:
    upload = server.begin(OWNER, [{"name": "a.npz", "size": 4}])
    for path in (f"/uploads/{upload}/1", f"/uploads/{'0' * 32}/0", "/uploads/..%2f..%2fetc/0"):
        assert put(server, path, [b"data"])[0] == 404
    assert put(server, f"/uploads/{upload}/-1", [b"data"])[0] == 404


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "No file was chosen"),
        ("a", "No file was chosen"),
        ([{"name": "a", "size": 0}], "are empty"),
        ([{"name": "a", "size": -1}], "cannot be read"),
        ([{"name": 3, "size": 1}], "cannot be read"),
        (["a"], "cannot be read"),
        ([{"name": "a", "size": 5 << 30}], "4 GB is the most"),
        ([{"name": str(i), "size": 1} for i in range(received.MOST_FILES + 1)], "are more than 20000"),
        ([{"name": "a?", "size": 1}, {"name": "a:", "size": 1}], "would both be called 'a_'"),
        ([{"name": "../..", "size": 1}], "is no file in a folder"),
        ([{"name": "a/" * 20, "size": 1}], "is no file in a folder"),
    ],
)
def test_what_is_too_much_is_refused_before_it_is_sent(server: Uploads, files: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        server.begin(OWNER, files)


def test_others_leave_room_and_what_is_old_goes(
    server: Uploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = server.begin("a" * 16, [{"name": "a", "size": 900}])
    monkeypatch.setattr(received, "ALL_BYTES", 1000)
    with pytest.raises(InputError, match="no room"):
        server.begin(OWNER, [{"name": "b", "size": 200}])
    about = tmp_path / "store" / "uploads" / first / "upload.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"created_s": time.time() - received.KEEP_S - 1}))
    server.begin(OWNER, [{"name": "b", "size": 200}])
    assert not about.exists()


def test_safe_paths() -> None:
    assert safe_path("/etc/passwd") == "etc/passwd"
    assert safe_path("..\\..\\.ssh\\id") == "_ssh/id"
    assert safe_path("a\x00b\n.npz") == "a_b_.npz"
    assert safe_path("Fri_Jul_7_09:42:23/trajectory.h5") == "Fri_Jul_7_09_42_23/trajectory.h5"
    assert len(safe_path("x" * 400 + ".hdf5")) < 120 and safe_path("x" * 400 + ".hdf5").endswith(".hdf5")


def test_ranges_both_ways() -> None:
    assert ranges_text([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8" and ranges_text([3, 1]) == "3, 1"
    assert ranges("0-2, 5", 6, "Columns") == [0, 1, 2, 5] and ranges("3, 1", 4, "Columns") == [3, 1]
    assert ranges("", 3, "Columns") == [0, 1, 2]
    for wrong in ("0-9", "x", "2-1", "1,1", "0-3, 0-3, 0-3", "-1"):
        with pytest.raises(InputError, match="Columns"):
            ranges(wrong, 4, "Columns")


FOUND: dict[str, Any] = {
    "guessed": {
        "cameras": {"exterior": {"feature": "front", "rotate": 0, "mirror": False, "bgr": False}},
        "state": [{"feature": "qpos", "indices": None}],
        "action": [{"feature": "action", "indices": [0, 1]}],
        "gripper_range": None,
        "absolute_actions": False,
        "instruction": None,
        "rate_hz": None,
        "layout": "",
        "grippers": None,
        "arms": None,
        "arms_are": "joints",
    },
    "pictures": [{"feature": "front"}, {"feature": "side"}],
    "report": {
        "features": [
            {"name": "qpos", "kind": "number", "shape": [3]},
            {"name": "action", "kind": "number", "shape": [2, 2]},
        ]
    },
}
AS_GUESSED = {
    **{"role-0": "exterior", "rotate-0": "0", "role-1": "", "state-0": "qpos", "action-0": "action"},
    **{"action-columns-0": "0-1", "gripper": "closes", "actions": "motions", "instruction": " ", "rate_hz": ""},
}


def test_a_form_left_alone_corrects_nothing() -> None:
    assert mapping_of(AS_GUESSED, FOUND) == {}


def test_a_form_gives_what_was_corrected() -> None:
    form = AS_GUESSED | {"role-1": "wrist", "rotate-1": "90", "mirror-1": ["yes"], "state-columns-0": "2, 0"}
    form |= {"gripper": "opens", "gripper_low": "0", "gripper_high": "100", "actions": "positions", "rate_hz": "15"}
    given = mapping_of(form, FOUND)
    assert given["cameras"]["wrist"] == {"feature": "side", "rotate": 90, "mirror": True, "bgr": False}
    assert given["state"] == [{"feature": "qpos", "indices": [2, 0]}] and "action" not in given
    assert (given["gripper_range"], given["absolute_actions"], given["rate_hz"]) == ([0.0, 100.0], True, 15.0)
    roles = mapping_of(AS_GUESSED | {"grippers": "1", "arms": "0-1", "arms_are": "pose"}, FOUND)
    assert roles == {"grippers": [1], "arms": [0, 1], "arms_are": "pose"}
    assert mapping_of(AS_GUESSED | {"grippers": "None"}, FOUND) == {"grippers": []}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"role-1": "exterior"}, "are both the exterior camera"),
        ({"role-1": "<b>"}, "role is exterior"),
        ({"state-0": "nothing"}, "which the dataset does not have"),
        ({"action-columns-0": "0-4"}, "expected numbers of 0 to 3"),
        ({"gripper": "opens", "gripper_low": "1", "gripper_high": "0"}, "should be below"),
        ({"rate_hz": "nan"}, "should be a number"),
        ({"grippers": "2"}, "The grippers in the action: expected numbers of 0 to 1"),
    ],
)
def test_a_wrong_form_is_a_sentence(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        mapping_of(AS_GUESSED | fields, FOUND)


class Queue:
    """Stands in for the jobs: runs what is submitted at once, as the worker would."""

    def __init__(self, store: Store) -> None:
        self._store, self.jobs = store, list[Any]()

    def submit(self, function: str, *, owner: str, **arguments: Any) -> str:
        job = SimpleNamespace(id=str(len(self.jobs)), owner=owner, function=function, arguments=arguments, error=None)
        job.result, job.state, job.ended = None, "done", True
        try:
            job.result = pipeline.RUNNABLE[function](self._store, **arguments)
        except InputError as error:
            job.state, job.error = "failed", str(error)
        self.jobs.insert(0, job)
        return job.id

    def recent(self, owner: str) -> list[JobStatus]:
        return [job for job in self.jobs if job.owner == owner]

    def active(self, owner: str) -> list[JobStatus]:
        return []


def test_from_files_to_demonstrations(tmp_path: Path, dataset_files: Any) -> None:
    store = Store(tmp_path / "store")
    context = open_context(store, Queue(store))  # type: ignore[arg-type]
    truth = dataset_files.episodes(3, frames=12)
    truth[1].state[4, 1] = float("nan")
    path = dataset_files.npz(tmp_path / "<b>mine.npz", truth)
    upload = questions.uploads.begin(context, [{"name": path.name, "size": path.stat().st_size}])
    assert put(context.uploads, f"/uploads/{upload}/0", [path.read_bytes()])[0] == 204
    questions.uploads.finish(context, upload)
    card = questions.uploads.shown(context)
    assert card is not None and (card.phase, card.episodes, card.left_out, card.chosen) == (
        "inspected",
        3,
        (1,),
        "0, 2",
    )
    assert [camera.role for camera in card.cameras] == ["exterior", "wrist"]
    assert all(camera.url.startswith("data:image/webp;base64,") for camera in card.cameras)
    shown = upload_panel(card)
    assert "<b>mine" not in shown and "Without 1, see the report." in shown and "holds NaN" in shown
    questions.uploads.take(context, {"episodes": "0, 1", **_form(card)})
    failed = questions.uploads.shown(context)
    assert failed is not None and (failed.phase, failed.cameras) == ("inspected", card.cameras)
    assert "holds NaN" in failed.error and 'role="alert"' in upload_panel(failed)
    questions.uploads.take(context, {"episodes": "0, 2", **_form(card)})
    card = questions.uploads.shown(context)
    assert card is not None and card.phase == "imported"
    assert [episode.frames for episode in store.load(card.made).episodes] == [12, 14]
    report = questions.uploads.health(context, card.made)
    assert report is not None and (report.episodes, report.usable) == (3, "with problems")
    assert questions.uploads.episode_problems(context, card.made) == {}, "the episode with a problem was not imported"
    assert not list(upload_folder(store, upload).glob("reading-*")), "temporary files are gone"
    questions.uploads.discard(context)
    assert questions.uploads.shown(context) is None and not upload_folder(store, upload).exists()
    with pytest.raises(NotFound, match="Send the files again"):
        questions.uploads.take(context, {})


def _form(card: UploadCard) -> dict[str, Any]:
    form = {f"role-{i}": camera.role for i, camera in enumerate(card.cameras)}
    form |= {f"state-{i}": one.feature for i, one in enumerate(card.state)}
    form |= {f"action-{i}": one.feature for i, one in enumerate(card.action)}
    return form | {"gripper": "closes", "actions": "motions"}


def test_hub_ids_are_ids(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    context = open_context(store, Queue(store))  # type: ignore[arg-type]
    for wrong in ("", "/etc/passwd", "../x/y", "a b/c", "http://host/x"):
        with pytest.raises(InputError, match="as owner/name"):
            questions.uploads.from_hub(context, wrong)


def test_problems_stand_at_the_imported_episodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    context = open_context(store, Queue(store))  # type: ignore[arg-type]
    findings = (
        Finding("warning", "Idle.", "", (4, 7)),
        Finding("warning", "Dark.", "", (7, 9)),
        Finding("note", "All.", ""),
    )
    monkeypatch.setattr(questions.uploads, "health", lambda *_: SimpleNamespace(findings=findings))
    stand_in = Selection((), "stands in for demonstrations: only the manifest is read")
    some = store.save("demonstrations", stand_in, params={"episodes": [2, 4, 7]})
    assert questions.uploads.episode_problems(context, some) == {1: ["Idle."], 2: ["Idle.", "Dark."]}
    every = store.save("demonstrations", stand_in, params={"episodes": None})
    assert questions.uploads.episode_problems(context, every) == {4: ["Idle."], 7: ["Idle.", "Dark."], 9: ["Dark."]}


def test_a_report_is_escaped() -> None:
    finding = {"severity": "warning", "words": "<script>", "meaning": "\"'", "episodes": []}
    report = {"name": "<i>", "usable": "with problems", "format": "NPZ", "robot": "", "episodes": 1, "frames": 2}
    report |= {"shortest": 2, "longest": 2, "rate_hz": None, "cameras": {"<u>": [4, 5]}, "state_dims": 1}
    report |= {"action_dims": 1, "instructions": ["<b>"], "problems": [finding], "examined": 1}
    shown = health(health_card(report))
    assert not any(one in shown for one in ("<script>", "<i>", "<u>", "<b><")) and "&lt;script&gt;" in shown
