"""Children that are asked and answer: whole messages, worded ends, nobody left behind."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from steering.child import MOST_LINE_BYTES, Child, Gone, Message, Silent, environment

ECHO = """
from steering.child import Parent
parent = Parent()
print("a library prints this", flush=True)
while (asked := parent.receive()) is not None:
    if "exit" in asked.fields:
        raise SystemExit(asked.fields["exit"])
    parent.send(asked.fields, asked.blobs)
"""


@pytest.fixture
def echo() -> Iterator[Child]:
    child = Child(("-c", ECHO), quiet=True)
    yield child
    child.end()


def test_plain_values_and_blobs_come_back_whole_and_in_order(echo: Child) -> None:
    big = os.urandom(3 << 20)  # more than any pipe holds
    for number in range(3):
        echo.send({"number": number, "words": "π0\nand a line"}, [b"", big, b"\n{"])
    for number in range(3):
        message = echo.receive(60)
        assert message.fields == {"number": number, "words": "π0\nand a line"}
        assert list(message.blobs) == [b"", big, b"\n{"]
    with pytest.raises(Silent):
        echo.receive(0.05)


def test_an_end_is_told_with_its_status_every_time(echo: Child) -> None:
    echo.send({"exit": 7})
    for _ in range(2):
        with pytest.raises(Gone) as end:
            echo.receive(60)
        assert end.value.code == 7
    with pytest.raises(Gone):
        echo.send({"too": "late"}, [bytes(1 << 20)])
    assert not echo.alive


def test_a_killed_one_is_told_by_its_signal(echo: Child) -> None:
    echo.send({})
    echo.receive(60)
    os.kill(echo.pid, signal.SIGKILL)
    with pytest.raises(Gone) as end:
        echo.receive(60)
    assert end.value.code == -signal.SIGKILL


@pytest.mark.parametrize(
    "said",
    [
        "print('no JSON')",
        "print('[1, 2]')",
        "print('{}')",
        "print('{\"sizes\": [-1]}')",
        "print('{\"sizes\": [99999999999999]}')",
        'print(\'{"sizes": [10]}\', end="\\n123", flush=True)',
        'print(\'{"sizes": "x"}\')',
        f"print('x' * {MOST_LINE_BYTES + 10})",
    ],
    ids=lambda said: said[:30],
)
def test_what_is_no_message_counts_as_an_end(said: str) -> None:
    child = Child(("-c", f"{said}\nimport sys; sys.stdout.flush()"), quiet=True)
    try:
        with pytest.raises(Gone):
            child.receive(60)
    finally:
        child.end()


def test_one_that_talks_nonsense_and_goes_on_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steering.child.END_S", 0.2)
    child = Child(("-c", "import time; print('nonsense', flush=True); time.sleep(90)"), quiet=True)
    with pytest.raises(Gone) as end:
        child.receive(60)
    assert end.value.code == -signal.SIGKILL
    child.end()


def test_several_share_an_inbox() -> None:
    inbox: queue.SimpleQueue[tuple[Child, Message | None]] = queue.SimpleQueue()
    children = [Child(("-c", ECHO), quiet=True, inbox=inbox) for _ in range(2)]
    for number, child in enumerate(children):
        child.send({"number": number})
    heard = {}
    for _ in children:
        child, message = inbox.get(timeout=60)
        assert message is not None
        heard[id(child)] = message.fields["number"]
    assert heard == {id(child): number for number, child in enumerate(children)}
    for child in children:
        child.end()
        assert not child.alive


def test_it_ends_by_itself_when_nothing_more_is_asked(echo: Child) -> None:
    echo.no_more()
    assert echo.wait(60) == 0
    with pytest.raises(Gone):
        echo.send({})


def test_it_ends_when_its_parent_is_killed() -> None:
    code = (
        f"from steering.child import Child; import time; print(Child(('-c', {ECHO!r})).pid, flush=True); time.sleep(90)"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(), text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.kill()
        until_s = time.monotonic() + 60
        while _runs(pid):
            assert time.monotonic() < until_s, "the child outlived its parent"
            time.sleep(0.05)


def test_it_ends_without_a_word_when_it_answers_a_parent_that_is_gone() -> None:
    late = "from steering.child import Parent; parent = Parent(); parent.receive(); parent.send({'much': 'x' * 10**6})"
    code = f"import os; from steering.child import Child; Child(('-c', {late!r})); os._exit(0)"
    ran = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert not ran.stderr, "the child keeps this end open for as long as it runs"


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_parent_that_says_nothing_in_time_is_no_next_message() -> None:
    waiting = "from steering.child import Parent; p = Parent(); p.send({'heard': p.receive(0.2) is not None})"
    child = Child(("-c", waiting), quiet=True)
    assert child.receive(60).fields == {"heard": False}
    child.end()
