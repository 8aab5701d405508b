"""The static twin: plain files with relative addresses, and nothing of the machine or the store in them."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from app.lessons import LESSONS
from app.questions.context import Context, open_context
from app.twin.__main__ import run
from app.twin.parts import SERVED, opened
from app.twin.publish import HANDOUT, publish
from steering.cli.main import app
from steering.errors import InputError, NotFound
from steering.store import Store

ROOT = Path(__file__).parents[2]
ELSEWHERE = re.compile(r"""(?:src|href)=["'](?!data:|files/|scripts/|#)([^"']*)""")


def told(page: str, name: str) -> dict:
    return json.loads(re.search(rf'id="{name}">(.*?)</script>', page, re.S)[1])


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory, samples: tuple[Path, dict[str, str]]) -> Path:
    folder = tmp_path_factory.mktemp("twin")
    context = open_context(Store(folder / "store", readonly=[samples[0]]), None)  # type: ignore[arg-type]
    made = publish(context, folder / "out", opened(context))
    assert made.files == sum(one.is_file() for one in made.folder.rglob("*")) and made.episodes == (3, 1)
    assert made.bytes == sum(one.stat().st_size for one in made.folder.rglob("*") if one.is_file()) and not made.notes
    return folder / "out"


def test_every_address_is_relative_and_its_file_is_there(twin: Path) -> None:
    page = (twin / "index.html").read_text()
    assert not ELSEWHERE.findall(page)
    named = set(re.findall(r"(?:files|scripts)/[\w./-]+\.\w+", page))
    assert len(named) > 40 and not [one for one in named if not (twin / one).is_file()]
    shown = told(page, "wb-twin")
    assert {one["suffix"] for one in ({"suffix": path.suffix} for path in (twin / "files").iterdir())} >= {
        ".webp",
        ".gz",
    }
    assert set(shown["episodes"]) == {"0", "1", "2"} and shown["episodes"]["0"]["attention"].startswith("files/")
    targets = {key for fields in shown["moves"].values() for values in fields.values() for key in values.values()}
    assert targets == set(shown["maps"]) == set(shown["moves"])


def test_nothing_of_the_machine_is_written(twin: Path) -> None:
    private = (str(twin.parents[1]), str(Path.home()) + "/", str(ROOT), "previews/", "media/", "localhost", "127.0.0.1")
    for path in (one for one in twin.rglob("*") if one.suffix in (".html", ".js", ".json", ".md", ".csv")):
        text = path.read_text("utf-8")
        assert not [one for one in private if one in text], path.name
        assert not re.search(r"https?://(?!www\.w3\.org/)", text), path.name


def test_the_handout_holds_all_that_it_needs(twin: Path) -> None:
    page = (twin / HANDOUT).read_text()
    assert not re.search(r'"(?:files|scripts)/', page) and '<link rel="modulepreload' not in page
    shown, known = told(page, "wb-twin"), told(page, "wb-imports")["imports"]
    assert list(shown["episodes"]) == ["0"] and [one["index"] for one in shown["episodes"]["0"]["episodes"]] == [0]
    sources = {name: base64.b64decode(url.partition(",")[2]).decode() for name, url in known.items()}
    wanted = {
        one for text in sources.values() for one in re.findall(r"""(?:from|import)\s*\(?\s*"([^"]+\.js)\"""", text)
    }
    assert wanted and wanted <= set(sources) and "wb/twin/host.js" in sources
    plain = (ROOT / "app/static/shared/page.js").read_text()
    assert sources["wb/static/shared/page.js"] == plain  # it imports nothing, so it is the page's own to the byte


def test_lessons_that_need_a_server_are_left_out(twin: Path) -> None:
    shown = told((twin / "index.html").read_text(), "wb-twin")
    left = {one.id for one in LESSONS} - {one["id"] for one in shown["lessons"]}
    assert (
        left == {one.id for one in LESSONS if SERVED & {task.done for task in one.tasks}} and len(shown["lessons"]) > 2
    )


def test_the_readme_lays_it_out_as_a_static_space(twin: Path) -> None:
    front = yaml.safe_load((twin / "README.md").read_text().split("---")[1])
    assert (front["sdk"], front["app_file"], front["license"]) == ("static", "index.html", "apache-2.0")
    assert len(front["short_description"]) <= 60 and "robotics" in front["tags"] and front["title"]


def test_what_cannot_be_published_is_said(
    context: Context, make_bench: Callable[[bool], Context], tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("kept")
    with pytest.raises(InputError, match="not an empty folder"):
        publish(context, tmp_path / "full", opened(context))
    assert (tmp_path / "full" / "mine.txt").read_text() == "kept"
    with pytest.raises(NotFound, match="no comparison 'none'"):
        opened(context, "", ["none"])


def test_the_command_starts_it_with_what_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[Sequence[str], Mapping[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda _, command, environment: started.append((command, environment)))
    asked = ["publish", str(tmp_path / "out"), "--demonstrations", "none", "--comparison", "a", "--comparison", "b"]
    app([*asked, "--store", str(tmp_path / "s")], standalone_mode=False)
    ((_, flag, module, options), environment) = started[0]
    assert (flag, module) == ("-m", "app.twin") and environment["PYTHONPATH"].split(os.pathsep)[0] == str(ROOT)
    assert json.loads(options)["comparisons"] == ["a", "b"]
    with pytest.raises(NotFound, match="no demonstrations 'none'"):
        run(**json.loads(options))
