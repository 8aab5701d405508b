"""The wheel, installed in an environment of its own and used outside the checkout, without a network."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MOST_BYTES = 100_000_000
"""Of a file on PyPI."""
NOWHERE = "http://127.0.0.1:9"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the tracked files alone, in a copy, so that nothing is left in the checkout."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout, so there is no list of tracked files")
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(out)]
    ran = subprocess.run([*command, str(copy)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an environment with the wheel; dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    (site,) = (folder / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return python.parent


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is not the checkout, no path to it, and a network that leads nowhere."""
    for name in ("PYTHONPATH", "STEERING_STORE", "STEERING_SAMPLES", "STEERING_EVIDENCE", "STEERING_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, NOWHERE)
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def _said(*command: str | Path) -> str:
    ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.stdout


def test_it_brings_one_package_and_fits_on_an_index(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {one for one in tops if not one.endswith(".dist-info")} == {"steering"}
    assert wheel.stat().st_size < MOST_BYTES
    static = {path.name for path in (ROOT / "app" / "static").rglob("*") if path.suffix in (".js", ".css")}
    assert static <= {Path(name).name for name in names if name.startswith("steering/page/app/static/")}
    assert {"steering/py.typed", "steering/page/app.py", "steering/page/assets/policy/config.json"} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.startswith("steering/page/assets/.")]


def test_the_library_answers_from_the_wheel_with_policy_and_samples(installed: Path, outside: Path) -> None:
    code = (
        "import steering; lens = steering.open(); print(steering.__file__);"
        "print(lens.score('paper').top(5)); print(lens.loss(frames=4, samples=1))"
    )
    where, heads, loss = _said(installed / "python", "-c", code).splitlines()
    assert Path(where).is_relative_to(installed.parent) and heads.startswith("Selection(5 of the VLM")
    assert 0 < float(loss) < 10


def test_the_command_answers_from_the_wheel(installed: Path, outside: Path) -> None:
    assert "Serve the page" in _said(installed / "steering", "--help")
    found = {one["subject"]: one["state"] for one in json.loads(_said(installed / "steering", "doctor", "--json"))}
    assert found["assets"] == "ok"
    made = json.loads(
        _said(installed / "steering", "record", "--task", "press_button", "--count", "1").splitlines()[-1]
    )
    assert Path(made["folder"]).is_relative_to(outside / ".workbench")


def test_the_page_is_served_from_the_wheel(installed: Path, outside: Path) -> None:
    static, log = ROOT / "app" / "static", outside / "log"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("wb") as told:
        command = [str(installed / "steering"), "app", "--port", str(port), "--store", str(outside / "store")]
        server = subprocess.Popen(command, stdout=told, stderr=told)
        try:
            page = _fetched(f"http://127.0.0.1:{port}/", server, log)
            (folder,) = set(re.findall(r"scripts/[0-9a-f]{16}", page))
            scripts = {
                path: _fetched(f"http://127.0.0.1:{port}/{folder}/{path.relative_to(static).as_posix()}", server, log)
                for path in static.rglob("*.js")  # those that a page loads later, too
            }
        finally:
            server.terminate()
            server.wait(60)
    for path, script in scripts.items():
        assert script == path.read_text(encoding="utf-8"), f"{path.name} is another in the wheel"
    assert (outside / "store").is_dir()


def _fetched(address: str, server: subprocess.Popen[bytes], log: Path) -> str:
    direct = urllib.request.build_opener(
        urllib.request.ProxyHandler({})
    )  # `urlopen` keeps the proxies of its first call
    until_s = time.monotonic() + 300
    while time.monotonic() < until_s:
        assert server.poll() is None, log.read_text(encoding="utf-8")[-3000:]
        try:
            with direct.open(address, timeout=30) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(log.read_text(encoding="utf-8")[-3000:])


def test_a_type_checker_reads_the_wheel(installed: Path, outside: Path) -> None:
    """`py.typed` is in it: without, mypy calls the import untyped."""
    consumer = shutil.copy2(ROOT / "tests" / "typed_consumer.py", outside)
    options = ["--strict", "--python-executable", str(installed / "python")]
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(consumer)],
        capture_output=True,
        text=True,
        env={**os.environ, "MYPY_CACHE_DIR": str(outside / "cache")},
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
