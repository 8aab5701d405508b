"""Lay out a folder that runs as a Docker Space on CPU Basic, or anywhere else as an image: `make space DIR=folder`.

What it holds: the product as git has it (app, steering, assets), exact versions, a Dockerfile whose server is not root
and can write nothing but its store and its caches, and a README with the Space's front matter. The store lies in
`/data` where a bucket is mounted there, else in a folder that ends with the container. Seconds; builds nothing.
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
FRONT = f"""---
title: Robotic Steering workbench
emoji: 🦾
colorFrom: indigo
colorTo: blue
sdk: docker
app_port: {PORT}
pinned: false
license: apache-2.0
short_description: Which attention heads of a robot policy carry a task?
thumbnail: assets/screenshot.png
suggested_hardware: cpu-basic
tags:
  - robotics
  - interpretability
  - vision-language-action
  - attention-heads
models:
  - lerobot/pi0_base
---

# Robotic Steering workbench

Which attention heads of my robot policy carry this task, and is it enough to train only those? The embedded policy is a
small π0, the embedded simulator a twin of the paper's table. What you make here is yours alone unless you pass on its
link, and is deleted a week after you last worked with it.
"""
DOCKERFILE = f"""FROM python:3.12-slim
COPY packages.txt /tmp/
RUN apt-get update && xargs -a /tmp/packages.txt apt-get install -y --no-install-recommends \\
    && rm -rf /var/lib/apt/lists/*
ARG TORCH_INDEX=
COPY requirements.txt requirements.lock /tmp/
RUN pip install --no-cache-dir "torch=={TORCH}" ${{TORCH_INDEX:+--index-url $TORCH_INDEX}} \\
    && pip install --no-cache-dir -r /tmp/requirements.txt -c /tmp/requirements.lock
# The code stays root's, so the server can read and not change it.
COPY --chmod=a+rX . /code
RUN python -m compileall -q /code/app /code/steering && useradd --uid 1000 --create-home visitor
USER 1000
WORKDIR /tmp
ENV PYTHONPATH=/code PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 STEERING_PUBLIC=1 OMP_NUM_THREADS=2 \\
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


def lay_out(target: Path) -> int:
    """Fill `target`, a new or empty folder; how many files it holds. Raises SystemExit for another one."""
    if target.exists() and any(target.iterdir()):
        raise SystemExit(f"{target} is not empty. Name a new folder: make space DIR=…")
    listed = subprocess.run(["git", "ls-files", "-z", *PRODUCT], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target / name)
    for name in ("requirements.txt", "requirements.lock", "packages.txt"):
        shutil.copyfile(ROOT / name, target / name)
    for name, text in (("README.md", FRONT), ("Dockerfile", DOCKERFILE), ("start.sh", START)):
        (target / name).write_text(text, encoding="utf-8")
    return sum(1 for path in target.rglob("*") if path.is_file())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("Name the folder: make space DIR=…")
    print(f"{lay_out(Path(sys.argv[1]))} files in {sys.argv[1]}; `git push` them to a Space, or docker build them.")
