"""`python -m app.twin OPTIONS`, as `python -m steering publish` starts it. OPTIONS: JSON, see `run`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from app.questions.context import open_context  # noqa: E402  Gradio reads the settings above when it is imported
from app.twin.parts import opened  # noqa: E402
from app.twin.publish import HANDOUT, publish  # noqa: E402
from steering.errors import SteeringError  # noqa: E402
from steering.jobs.client import Jobs  # noqa: E402
from steering.samples import open_store  # noqa: E402


def run(store: str, folder: str, demonstrations: str, comparisons: list[str], policy: str) -> dict[str, Any]:
    """Write the twin of the store's folder; what was written, for people."""
    root = open_store(store)
    context = open_context(root, Jobs(root), policy)
    shown = opened(context, demonstrations, comparisons)
    made = publish(context, Path(folder), shown)
    return {
        "folder": folder,
        "demonstrations": shown.demonstrations,
        "comparisons": shown.comparisons,
        "files": made.files,
        "megabytes": round(made.bytes / 1e6, 1),
        "episodes": made.episodes[0],
        HANDOUT: {"megabytes": round(made.handout_bytes / 1e6, 1), "episodes": made.episodes[1]},
        **({"notes": made.notes} if made.notes else {}),
    }


if __name__ == "__main__":
    try:
        print(json.dumps(run(**json.loads(sys.argv[1]))))
    except SteeringError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)
