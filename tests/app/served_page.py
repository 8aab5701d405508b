"""The page over a store without workers, served until it is ended: `served_page.py STORE SAMPLES PORT`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.main import launch  # noqa: E402
from app.page import build  # noqa: E402
from app.questions.context import open_context  # noqa: E402
from app.visitors import party  # noqa: E402
from steering.jobs.client import Jobs  # noqa: E402
from steering.store import Store  # noqa: E402


def main() -> None:
    store = Store(sys.argv[1], readonly=[Path(sys.argv[2])])
    jobs = Jobs(store, party=party, worker_command=(sys.executable, "-c", "import time; time.sleep(60)"))
    context = open_context(store, jobs)
    page = build(context)
    launch(page, context, int(sys.argv[3]))
    try:
        page.block_thread()
    finally:
        jobs.close()


if __name__ == "__main__":
    main()
