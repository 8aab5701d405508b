"""What `make space` lays out is whole, pinned, run by nobody who may change it, and starts."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("space", ROOT / "scripts" / "space.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory, script: ModuleType) -> Path:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so there is no list of what belongs to the product")
    folder = tmp_path_factory.mktemp("space") / "folder"
    script.lay_out(folder)
    return folder


def test_the_front_matter_is_whole(space: Path) -> None:
    front = yaml.safe_load((space / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert (front["sdk"], front["license"], front["suggested_hardware"]) == ("docker", "apache-2.0", "cpu-basic")
    assert {"title", "emoji", "tags", "models", "app_port"} <= front.keys()
    assert len(front["short_description"]) <= 60 and (space / front["thumbnail"]).is_file()
    assert front["hf_oauth"] is True


@pytest.fixture(scope="module")
def zero(tmp_path_factory: pytest.TempPathFactory, script: ModuleType, space: Path) -> Path:
    folder = tmp_path_factory.mktemp("zero") / "folder"
    script.lay_out(folder, zero=True)
    return folder


def test_a_zerogpu_space_is_whole(zero: Path) -> None:
    front = yaml.safe_load((zero / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert (front["sdk"], front["suggested_hardware"], front["python_version"]) == ("gradio", "zero-a10g", "3.12")
    assert front["hf_oauth"] is True and front["hf_oauth_scopes"] == ["read-repos"] and front["license"]
    assert {"lerobot/pi0_base", "lerobot/pi05_base"} <= set(front["models"]) and (zero / front["thumbnail"]).is_file()
    assert len(front["short_description"]) <= 60 and (zero / front["app_file"]).is_file() and front["tags"]
    wanted = (zero / "requirements.txt").read_text().splitlines()
    assert f"gradio=={front['sdk_version']}" in wanted, "the image brings the version that was tested"
    assert all("==" in line for line in wanted if not line.startswith("#")), "exact versions alone"
    torch = [line.removeprefix("torch==") for line in wanted if line.startswith("torch==")]
    assert len(torch) == 1 and (2, 8) <= tuple(map(int, torch[0].split(".")[:2])) <= (2, 11)
    assert not (zero / "Dockerfile").exists() and (zero / "packages.txt").is_file()


def test_a_zerogpu_space_takes_spaces_before_torch_and_sets_its_switches(zero: Path, tmp_path: Path) -> None:
    stand_in = tmp_path / "stand_in"
    (stand_in / "app").mkdir(parents=True)
    (stand_in / "spaces.py").write_text("import sys\nassert 'torch' not in sys.modules\nprint('spaces')\n")
    (stand_in / "app" / "__init__.py").write_text("")
    (stand_in / "app" / "main.py").write_text(
        "import os\ndef main():\n    print(*(os.environ[one] for one in "
        "('STEERING_ZERO', 'STEERING_PUBLIC', 'HF_HUB_OFFLINE', 'STEERING_STORE')))\n"
    )
    shutil.copyfile(zero / "space.py", stand_in / "space.py")
    environment = {**os.environ, "STEERING_STORE": "kept"}
    for name in ("STEERING_ZERO", "STEERING_PUBLIC", "HF_HUB_OFFLINE"):
        environment.pop(name, None)
    command = [sys.executable, str(stand_in / "space.py")]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["spaces", "1", "1", "0", "kept"]


def test_it_holds_the_product_alone(space: Path) -> None:
    assert {"app", "steering", "assets", "app.py", "Dockerfile", "start.sh"} <= {path.name for path in space.iterdir()}
    assert not {"tests", ".git", "scripts", ".venv", ".workbench"} & {path.name for path in space.iterdir()}
    assert (space / "requirements.lock").read_bytes() == (ROOT / "requirements.lock").read_bytes()


def test_the_image_is_pinned_and_its_server_is_not_root(space: Path, script: ModuleType) -> None:
    lines = (space / "Dockerfile").read_text().splitlines()
    user = lines.index("USER 1000")
    assert not any(line.startswith(("COPY", "RUN", "USER")) for line in lines[user + 1 :]), "the code stays root's"
    text = "\n".join(lines)
    assert f"torch=={script.TORCH}" in text and "-c /tmp/requirements.lock" in text and "STEERING_PUBLIC=1" in text


def test_a_folder_that_is_not_empty_is_left_alone(space: Path, script: ModuleType) -> None:
    with pytest.raises(SystemExit, match="not empty"):
        script.lay_out(space)


def test_the_store_lies_in_the_bucket_where_there_is_one(space: Path, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$STEERING_STORE"\n')
    python.chmod(0o755)
    bucket = tmp_path / "data"
    bucket.mkdir()

    def store(**settings: str) -> str:
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **settings}
        command = ["sh", str(space / "start.sh")]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    assert store(STEERING_DATA=str(bucket)) == f"{bucket}/workbench"
    assert store(STEERING_DATA=str(tmp_path / "none")) == "/tmp/workbench"
    assert store(STEERING_DATA=str(bucket), STEERING_STORE="elsewhere") == "elsewhere"


SPACES = """import multiprocessing

def GPU(duration):
    def decorate(function):
        def call(*given):
            fork = multiprocessing.get_context("fork").Process(target=function, args=given)
            fork.start()
            fork.join(duration(*given))
        return call
    return decorate
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["docker", "zero"])
def test_it_starts_and_changes_nothing_of_its_code(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    space: Path = request.getfixturevalue("space" if kind == "docker" else "zero")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    before = {path: path.stat().st_mtime_ns for path in space.rglob("*")}
    (tmp_path / "stand_in").mkdir()
    (tmp_path / "stand_in" / "spaces.py").write_text(SPACES)
    settings = {"STEERING_DATA": str(tmp_path), "GRADIO_SERVER_PORT": str(port)}
    settings |= {"PYTHONPATH": f"{space}:{tmp_path / 'stand_in'}", "PYTHONDONTWRITEBYTECODE": "1"}
    settings |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    if kind == "zero":
        settings |= {
            "STEERING_STORE": str(tmp_path / "workbench"),
            "GRADIO_SERVER_NAME": "127.0.0.1",
            "HF_HUB_OFFLINE": "0",
        }
    command = ["sh", str(space / "start.sh")] if kind == "docker" else [sys.executable, str(space / "space.py")]
    settings["STEERING_PUBLIC"] = "1"
    server = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        assert any(line.startswith("The workbench is at") for line in server.stdout), "it ended before it began"
        answer = urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=30)
        assert answer.status == 200 and (tmp_path / "workbench").is_dir()
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/config", timeout=60).read().decode()
        assert f'\\"hub\\":{"false" if kind == "docker" else "true"}' in page, "fields for hub ids where they open"
        if kind == "zero":
            visitor = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

            def ask(name: str, *values: object) -> Any:
                request = urllib.request.Request(f"http://127.0.0.1:{port}/gradio_api/run/{name}")
                request.add_header("Content-Type", "application/json")
                with visitor.open(request, json.dumps({"data": [*values, ""]}).encode(), timeout=60) as found:
                    return json.loads(found.read())["data"][0]

            wanted = {ask("record", "pick_cube", 2, 0, [], "expert"), ask("open_policy", "embedded", "")}
            until_s = time.monotonic() + 400
            while {one["id"] for one in ask("jobs") if one["state"] == "done"} != wanted:
                assert time.monotonic() < until_s, ask("jobs")
                time.sleep(0.5)
    finally:
        server.terminate()
        server.communicate()
    assert {path: path.stat().st_mtime_ns for path in space.rglob("*")} == before
