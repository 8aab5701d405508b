"""The samples that the page opens with: demonstrations and what the embedded policy makes of them, made beforehand.

`python -m steering precompute` makes `assets/samples`, a small read-only store. It holds what the first screen shows
and leaves out the activations, which are large; the manifests name them as parents and say which weights and versions
made everything. The page opens the newest scored set, so the first of `tasks` is made last.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from steering import pipeline
from steering.errors import InputError
from steering.progress import Progress
from steering.store import Store
from steering.types import PAPER_SET_SIZE

SAMPLES = Path(__file__).resolve().parents[1] / "assets" / "samples"
MAX_BYTES = 30_000_000
TASKS = ("place_cube_in_bowl",)


def open_store(root: Path | str) -> Store:
    """The user's store at `root` with the samples underneath."""
    return Store(root, readonly=(SAMPLES,))


def precompute(
    out: Path = SAMPLES,
    *,
    tasks: Sequence[str] = TASKS,
    count: int = 20,
    attention_episodes: int = 2,
    keyframes: bool | None = None,
    heads: int = PAPER_SET_SIZE,
    policy: str = "embedded",
    seed: int = 0,
    max_bytes: int = MAX_BYTES,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Make the samples in `out` from nothing and return their ids.

    What was there is replaced only when everything has succeeded.
    """
    progress = progress or Progress()
    with tempfile.TemporaryDirectory() as temporary:
        work, made = Store(Path(temporary) / "work"), Path(temporary) / "samples"
        kept: list[str] = []
        for i, task in enumerate(reversed(tasks)):
            part = progress.part(i / len(tasks), (i + 1) / len(tasks))
            demonstrations = pipeline.record(work, task=task, count=count, seed=seed, progress=part.part(0, 0.3))
            activations = pipeline.capture(
                work, demonstrations_id=demonstrations, policy=policy, progress=part.part(0.3, 0.6)
            )
            relevance = pipeline.score(
                work, activations_id=activations, keyframes=keyframes, progress=part.part(0.6, 0.7)
            )
            kept += [demonstrations, relevance, pipeline.select(work, relevance_id=relevance, count=heads)]
            for episode in range(min(attention_episodes, count)):
                of_episode = part.part(0.7 + 0.3 * episode / attention_episodes, 1)
                kept.append(
                    pipeline.attention(
                        work, demonstrations_id=demonstrations, episode=episode, policy=policy, progress=of_episode
                    )
                )
        for artefact in kept:
            shutil.copytree(work.folder(artefact), made / "artefacts" / artefact)
        size = sum(file.stat().st_size for file in made.rglob("*") if file.is_file())
        if size > max_bytes:
            raise InputError(
                f"The samples would take {size / 1e6:.1f} MB and may take {max_bytes / 1e6:.0f} MB; "
                "record fewer episodes (--count) or fewer tasks."
            )
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(made, out)
    return tuple(kept)
