"""The samples that the page opens with: demonstrations and what the embedded policy makes of them, made beforehand.

`python -m steering precompute` makes `assets/samples`, a small read-only store. It holds what the first screen shows
and answers at once: head outputs, the paper's score and the strict one, each with intervals and its course over time,
a measure that runs the policy, a selection by the strict score, and attention. The manifests say which weights and
versions made it. The page opens the newest scored set, so the first of `tasks` is made last. Left out are the
neighbours, which are large and found again in seconds.

`python -m steering example` adds what Compare opens with: the untouched policy, Robotic Steering and LoRA, trained on
the sample demonstrations and run in the same scenes, with their adapters. It resumes where it was stopped.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from steering import pipeline
from steering.assets import ASSETS
from steering.errors import InputError, NotFound
from steering.progress import Progress
from steering.store import Store
from steering.types import PAPER_SET_SIZE, FinetuneSettings

SAMPLES = ASSETS / "samples"
MAX_BYTES = 70_000_000
MAX_EXAMPLE_BYTES = 5_000_000
EXAMPLE_SETTINGS = FinetuneSettings(steps=500)
TASKS = ("place_cube_in_bowl",)
PRESETS = ("paper", "default")
WITH_POLICY = "gradient_activation"
OVER_TIME_K = 20


def open_store(root: Path | str) -> Store:
    """The user's store at `root` with the samples underneath."""
    return Store(root, readonly=(SAMPLES,))


def sample_demonstrations() -> str:
    """The id of the newest sample demonstrations, which the page opens with. Raises NotFound where there are none."""
    if not (SAMPLES / "artefacts").is_dir():
        raise NotFound("There are no samples here. Make them (`python -m steering precompute`) or open your own.")
    return Store(SAMPLES).find("demonstrations")[0].id


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
                work, demonstrations_id=demonstrations, policy=policy, progress=part.part(0.3, 0.5)
            )
            neighbours = pipeline.neighbours(work, activations_id=activations, progress=part.part(0.5, 0.55))
            measured = pipeline.attribute(
                work,
                demonstrations_id=demonstrations,
                metric=WITH_POLICY,
                policy=policy,
                progress=part.part(0.55, 0.6),
            )
            kept += [demonstrations, activations, measured]
            for preset in PRESETS:
                relevance = pipeline.score(
                    work, activations_id=activations, preset=preset, keyframes=keyframes, progress=part.part(0.6, 0.65)
                )
                trust = pipeline.trust(work, relevance_id=relevance, progress=part.part(0.65, 0.75))
                over_time = pipeline.over_time(work, neighbours_id=neighbours, k=OVER_TIME_K, preset=preset)
                asked = {"k": OVER_TIME_K, "preset": preset, "target": "action"}
                kept += [relevance, trust, work.save("over_time", over_time, parents=(activations,), params=asked)]
            kept.append(pipeline.select(work, relevance_id=relevance, count=heads))
            for episode in range(min(attention_episodes, count)):
                of_episode = part.part(0.75 + 0.25 * episode / attention_episodes, 1)
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


def example(
    work: Path,
    out: Path = SAMPLES,
    *,
    settings: FinetuneSettings = EXAMPLE_SETTINGS,
    trials: int = 100,
    films: int = 6,
    seed: int = 0,
    policy: str = "embedded",
    max_bytes: int = MAX_EXAMPLE_BYTES,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Add one comparison to the samples in `out`, made from their newest selection, and return the ids added.

    work: folder of a store in which everything is made; what is there already is not made again. An example that `out`
    holds is replaced. About 15 minutes on two cores.
    """
    progress = progress or Progress()
    store = Store(work, readonly=(out,))
    selections = store.find("selection")
    if not selections:
        raise InputError(f"There is no head selection in {out.name}; make the samples first (precompute).")
    selection = selections[0].id
    relevance = store.manifest(store.manifest(selection).parents[0])
    demonstrations = relevance.parents[-1]
    adapters: dict[str, str | None] = {"zero_shot": None}
    for i, method in enumerate(("steering", "lora")):
        adapters[method] = pipeline.finetune(
            store,
            demonstrations_id=demonstrations,
            method=method,
            selection_id=selection if method == "steering" else None,
            settings=settings,
            policy=policy,
            progress=progress.part(0.25 * i, 0.25 * (i + 1)),
        )
    comparison = pipeline.evaluate(
        store,
        task=store.load(demonstrations).task,
        adapters=adapters,
        trials=trials,
        seed=seed,
        videos=films,
        policy=policy,
        progress=progress.part(0.5, 1.0),
    )
    made = (*(one for one in adapters.values() if one), *store.manifest(comparison).parents, comparison)
    size = sum(file.stat().st_size for one in made for file in store.folder(one).rglob("*") if file.is_file())
    if size > max_bytes:
        raise InputError(
            f"The example would take {size / 1e6:.1f} MB and may take {max_bytes / 1e6:.1f} MB; film fewer scenes."
        )
    for kind in ("comparison", "rollouts", "adapter"):
        for folder in (out / "artefacts").glob(f"{kind}-*"):
            if folder.name not in made:
                shutil.rmtree(folder)
    for one in made:
        if not (out / "artefacts" / one).exists():
            shutil.copytree(store.folder(one), out / "artefacts" / one)
    return made
