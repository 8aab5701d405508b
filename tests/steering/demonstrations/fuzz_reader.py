"""Reads the datasets named on stdin, one path a line, and says on stdout how each ended: the child of the fuzz test.

A line is JSON: `outcome` is `valid`, `refused` or the name of an exception that should not have come out.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path

from steering.demonstrations.guessing import guess
from steering.demonstrations.health import examine, report_text
from steering.demonstrations.importing import import_episodes
from steering.demonstrations.readers.registry import open_dataset
from steering.errors import SteeringError


def read(path: Path) -> tuple[str, str]:
    """Open, report and import: everything that a user's file goes through."""
    try:
        with open_dataset(path) as dataset:
            guessed = guess(dataset)
            document = examine(dataset, guessed).document()
            json.dumps(document)
            report_text(document)
            made = import_episodes(dataset, guessed.mapping).demonstrations
        for episode in made.episodes:
            assert episode.frames == len(episode.action) == len(episode.state) > 0
            assert all(images.shape[0] == episode.frames for images in episode.cameras.values())
        return "valid", ""
    except SteeringError as error:
        return "refused", str(error)
    except Exception as error:  # the test fails with its name
        return type(error).__name__, str(error)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        began_s = time.monotonic()
        outcome, words = read(Path(line.rstrip("\n")))
        print(json.dumps({"outcome": outcome, "words": words, "seconds": time.monotonic() - began_s}), flush=True)
