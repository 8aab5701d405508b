"""Lay out a folder that runs as a Space: `make space DIR=folder`, or `make space DIR=folder ZERO=1` for a ZeroGPU one.

What it holds: the product as git has it (app, steering, assets), exact versions, and a README with the Space's front
matter. The usual one is a Docker Space on CPU Basic, or an image for anywhere else: its server is not root, can write
nothing but its store and its caches, and asks the hub for nothing. A ZeroGPU Space has Gradio's image and lends a GPU
for each job that runs a policy (`steering.jobs.zero`), so it opens checkpoints of the hub's. The store lies in `/data`
where a bucket is mounted there, else in a folder that ends with the container. Seconds; builds nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ("app", "steering", "assets", "app.py", "LICENSE", "NOTICE", "CITATION.cff", "SECURITY.md")
PORT = 7860
TORCH = "2.11.0"
"""Of the versions that a ZeroGPU Space takes, the newest."""
PYTHON = "3.12"
"""The newest that a ZeroGPU Space takes."""
SIGN_IN = ("authlib>=1.6,<2", "itsdangerous>=2.2,<3")
"""What Gradio's sign-in needs; a Space with Gradio's image brings them."""
ABOUT = """title: Robotic Steering workbench
emoji: 🦾
colorFrom: indigo
colorTo: blue
pinned: false
license: apache-2.0
short_description: Which attention heads of a robot policy carry a task?
thumbnail: assets/screenshot.png
hf_oauth: true
tags:
  - robotics
  - interpretability
  - vision-language-action
  - attention-heads
models:
  - lerobot/pi0_base
"""
WORDS = """
# Robotic Steering workbench

Which attention heads of my robot policy carry this task, and is it enough to train only those? The embedded policy is a
small π0, the embedded simulator a twin of the paper's table. What you make here is yours alone unless you pass on its
link, and is deleted a week after you last worked with it. Sign in to find it again in another browser.
"""
DOCKER_FRONT = f"""---
{ABOUT}sdk: docker
app_port: {PORT}
suggested_hardware: cpu-basic
---
{WORDS}"""
ZERO_FRONT = f"""---
{ABOUT}  - lerobot/pi05_base
  - lerobot/smolvla_base
sdk: gradio
sdk_version: {{gradio}}
python_version: "{PYTHON}"
app_file: space.py
suggested_hardware: zero-a10g
hf_oauth_scopes:
  - read-repos
---
{WORDS}
Checkpoints of the hub open by the Policy chip, those of yours where you sign in. A job that runs one takes from the GPU
minutes of your day.
"""
ZERO_APP = """\"\"\"Start the workbench in a ZeroGPU Space.\"\"\"

import os
from pathlib import Path

DATA = Path("/data")  # a mounted bucket, else what ends with the container
FOLDER = DATA if os.access(DATA, os.W_OK) else Path("/tmp")
for name, value in {
    "STEERING_ZERO": "1",
    "STEERING_PUBLIC": "1",
    "STEERING_STORE": str(FOLDER / "workbench"),
    "HF_HUB_OFFLINE": "0",
    "HF_HOME": "/tmp/hub",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SERVER_NAME": "0.0.0.0",
    "GRADIO_SERVER_PORT": "7860",
}.items():
    os.environ.setdefault(name, value)

import spaces  # noqa: E402, F401  before torch, which it changes

from app.main import main  # noqa: E402

if __name__ == "__main__":
    main()
"""
DOCKERFILE = f"""FROM python:3.12-slim
COPY packages.txt /tmp/
RUN apt-get update && xargs -a /tmp/packages.txt apt-get install -y --no-install-recommends \\
    && rm -rf /var/lib/apt/lists/*
ARG TORCH_INDEX=
COPY requirements.txt requirements.lock /tmp/
RUN pip install --no-cache-dir "torch=={TORCH}" ${{TORCH_INDEX:+--index-url $TORCH_INDEX}} \\
    && pip install --no-cache-dir -r /tmp/requirements.txt {" ".join(f"'{one}'" for one in SIGN_IN)} \\
        -c /tmp/requirements.lock
# The code stays root's, so the server can read and not change it.
COPY --chmod=a+rX . /code
RUN python -m compileall -q /code/app /code/steering && useradd --uid 1000 --create-home visitor
USER 1000
WORKDIR /tmp
ENV PYTHONPATH=/code PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 STEERING_PUBLIC=1 OMP_NUM_THREADS=2 \\
    SYSTEM=spaces \\
    GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT={PORT} HF_HUB_OFFLINE=1 HF_HOME=/tmp/hub
EXPOSE {PORT}
HEALTHCHECK --start-period=60s CMD python -c \\
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:{PORT}/healthz')"
CMD ["sh", "/code/start.sh"]
"""
START = """#!/bin/sh
# The store lies in a mounted bucket where there is one, else in a folder that ends with the container.
folder="${STEERING_DATA:-/data}"
[ -d "$folder" ] && [ -w "$folder" ] || folder=/tmp
export STEERING_STORE="${STEERING_STORE:-$folder/workbench}"
exec python "$(dirname "$0")/app.py"
"""


def lay_out(target: Path, zero: bool = False) -> int:
    """Fill `target`, a new or empty folder; how many files it holds. Raises SystemExit for another one."""
    if target.exists() and any(target.iterdir()):
        raise SystemExit(f"{target} is not empty. Name a new folder: make space DIR=…")
    listed = subprocess.run(["git", "ls-files", "-z", *PRODUCT], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target / name)
    shutil.copyfile(ROOT / "packages.txt", target / "packages.txt")
    texts = zero_texts() if zero else docker_texts()
    for name, text in texts.items():
        (target / name).write_text(text, encoding="utf-8")
    return sum(1 for path in target.rglob("*") if path.is_file())


def docker_texts() -> dict[str, str]:
    """Name -> text, of what only a Docker Space has."""
    wanted = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("requirements.txt", "requirements.lock")}
    return {**wanted, "README.md": DOCKER_FRONT, "Dockerfile": DOCKERFILE, "start.sh": START}


def zero_texts() -> dict[str, str]:
    """Name -> text, of what only a ZeroGPU Space has; its image is built from exact versions."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    gradio = next(line.removeprefix("gradio==") for line in lock.splitlines() if line.startswith("gradio=="))
    exact = "# Of the versions of torch that ZeroGPU takes, the newest; the others as they were tested together.\n"
    exact += f"torch=={TORCH}\n" + "".join(f"{line}\n" for line in lock.splitlines() if not line.startswith("#"))
    return {"README.md": ZERO_FRONT.format(gradio=gradio), "requirements.txt": exact, "space.py": ZERO_APP}


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[2:] not in ([], ["zero"]):
        raise SystemExit("Name the folder: make space DIR=…, with ZERO=1 for a ZeroGPU Space")
    count = lay_out(Path(sys.argv[1]), zero=bool(sys.argv[2:]))
    print(
        f"{count} files in {sys.argv[1]}; `git push` them to a Space{'' if sys.argv[2:] else ', or docker build them'}."
    )
