"""Questions by name: as docs/QUESTIONS.md shows them, by plain POST, for two visitors, for agents where that is on."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.questions.public import QUESTIONS

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "QUESTIONS.md").read_text(encoding="utf-8")
EXAMPLES = "\n".join(re.findall(r"```python\n(.*?)```", GUIDE, re.S))


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory, serve: Callable[..., Any]) -> Iterator[Any]:
    """The page over the shipped samples; its workers do nothing."""
    with serve(tmp_path_factory.mktemp("shipped"), ROOT / "assets" / "samples") as found:
        yield found


def post(page: Any, name: str, *values: object, cookie: str = "") -> Any:
    """The answer to a question, or what is wrong in words."""
    headers = {"Content-Type": "application/json", **({"Cookie": cookie} if cookie else {})}
    body = json.dumps({"data": [*values, ""]})
    _, _, answer = page.ask("POST", f"/gradio_api/run/{name}", headers, body)
    found = json.loads(answer)
    return found.get("error") or (found["data"][0] if found["data"] else None)


def test_every_example_of_the_guide_runs_and_every_question_has_one(shipped: Any) -> None:
    shown = set(re.findall(r'api_name="/(\w+)"', EXAMPLES))
    assert shown == {question.__name__ for question in QUESTIONS}
    script = EXAMPLES.replace("http://127.0.0.1:7860", f"http://127.0.0.1:{shipped.port}")
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in shipped.log.read_text()
    assert "place_cube_in_bowl" not in ran.stderr and "explains" in ran.stdout and "of 100" in ran.stdout


def test_types_and_docstrings_are_the_schema(shipped: Any) -> None:
    info = json.loads(shipped.ask("GET", "/gradio_api/info")[2])["named_endpoints"]
    assert {question.__name__ for question in QUESTIONS} == {name.removeprefix("/") for name in info}
    record = info["/record"]
    assert [one["parameter_name"] for one in record["parameters"]] == [
        "task",
        "count",
        "seed",
        "variations",
        "by",
        "policy",
    ]
    assert record["parameters"][1]["type"] == {"type": "integer"} and record["parameters"][1]["parameter_default"] == 20
    assert "scripted expert" in record["description"]
    assert "sentence" in info["/scores"]["returns"][0]["type"]["properties"]


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("record", ["fly", 5, 0, [], "expert"], "Expected task to be one of place_marker_in_mug"),
        ("record", ["pick_cube", 10**9, 0, [], "expert"], "Expected count to be a whole number of 2 to 50"),
        ("record", ["pick_cube", "5", 0, [], "expert"], "Expected count to be of type int, got '5'"),
        ("record", ["pick_cube", 5, 0, [], "adapter-0000000000000000"], "no such finetune of yours"),
        ("scores", ["demonstrations-0000000000000000", ""], "no head scores yet"),
        ("find_heads", ["adapter-0000000000000000"], "no such demonstrations"),
        ("set_error", ["x", "zz", ""], "hexadecimal digits"),
        ("stop", ["nothing"], "no such job"),
        ("report", ["../../etc/passwd"], "There is no artefact"),
    ],
)
def test_a_wrong_question_is_answered_in_words(shipped: Any, name: str, values: list[object], words: str) -> None:
    before = len(shipped.log.read_text())
    answer = post(shipped, name, *values)
    assert isinstance(answer, str) and words in answer
    assert "Traceback" not in shipped.log.read_text()[before:]


def test_too_few_values_are_named(shipped: Any) -> None:
    status, _, answer = shipped.ask(
        "POST", "/gradio_api/run/record", {"Content-Type": "application/json"}, json.dumps({"data": ["pick_cube"]})
    )
    assert status == 400 and "record takes 6 values: task, count, seed, variations, by, policy" in answer.decode()


def test_a_visitors_questions_have_the_rights_of_their_page(public: Any, browse: Callable[[Any], Any]) -> None:
    ada, eve = browse(public), browse(public)
    job = post(public, "record", "pick_cube", 5, 0, [], "expert", cookie=ada.cookie)
    assert [one["id"] for one in post(public, "jobs", cookie=ada.cookie)] == [job]
    assert "Recording demonstrations" in ada.event("watch"), "the page knows what the script asked"
    assert post(public, "jobs", cookie=eve.cookie) == []
    assert "somebody else" in post(public, "stop", job, cookie=eve.cookie)
    assert isinstance(post(public, "record", "pick_cube", 5, 1, [], "expert", cookie=ada.cookie), str)
    assert "2 jobs" in post(public, "record", "pick_cube", 5, 2, [], "expert", cookie=ada.cookie), (
        "no more than the page may"
    )
    assert post(public, "stop", job, cookie=ada.cookie) is None


@pytest.mark.slow
def test_agents_are_answered_where_that_is_on(
    shipped: Any, tmp_path: Path, serve: Callable[..., Any], browse: Callable[[Any], Any]
) -> None:
    assert shipped.ask("POST", "/gradio_api/mcp/", {"Content-Type": "application/json"}, "{}")[0] == 404
    with serve(tmp_path, ROOT / "assets" / "samples", STEERING_MCP="1", STEERING_PUBLIC="1") as page:
        visitor = browse(page)
        script = [sys.executable, str(Path(__file__).parent / "agent.py")]
        address = f"http://127.0.0.1:{page.port}/gradio_api/mcp/"
        ran = subprocess.run([*script, address, visitor.cookie], capture_output=True, text=True, timeout=600)
        assert ran.returncode == 0, ran.stderr
        tools, sets, wrong, job = ran.stdout.splitlines()
        assert set(tools.split()) == {question.__name__ for question in QUESTIONS}
        assert "place_cube_in_bowl" in sets and "Expected task to be one of" in wrong
        own = [one["id"] for one in post(page, "jobs", cookie=visitor.cookie)]
        assert len(own) == 1 and own[0] in job, "an agent is its visitor"
