"""What `make space` lays out is whole, pinned, run by nobody who may change it, and starts."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import ModuleType

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


@pytest.mark.slow
def test_it_starts_and_changes_nothing_of_its_code(space: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    before = {path: path.stat().st_mtime_ns for path in space.rglob("*")}
    settings = {"STEERING_DATA": str(tmp_path), "GRADIO_SERVER_PORT": str(port), "PYTHONPATH": str(space)}
    settings |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
    server = subprocess.Popen(
        ["sh", str(space / "start.sh")], cwd=tmp_path, env={**os.environ, **settings, "STEERING_PUBLIC": "1"}
    )
    try:
        until_s = time.monotonic() + 300  # a busy machine is no failure
        while True:
            try:
                answer = urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=30)
                break
            except (urllib.error.URLError, OSError):
                assert server.poll() is None and time.monotonic() < until_s
                time.sleep(0.2)
        assert answer.status == 200 and (tmp_path / "workbench").is_dir()
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/config", timeout=60).read().decode()
        assert '\\"hub\\":false' in page, "no field for hub ids, which open nothing here"
    finally:
        server.terminate()
        server.wait()
    assert {path: path.stat().st_mtime_ns for path in space.rglob("*")} == before
