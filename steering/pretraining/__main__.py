"""`python -m steering.pretraining`: the stages that made the embedded policy, each resumable.

collect     noisy expert episodes, labelled                           (shards in FOLDER/data)
vision      vision tower on dense labels                              (FOLDER/vision.pt)
grounding   VLM on the places of the named things                     (FOLDER/grounding.pt)
behaviour   flow matching on the expert's chunks                      (FOLDER/behaviour.pt)
correct     episodes driven by the policy, labelled by the expert     (FOLDER/corrections)
export      the policy as a Hugging Face folder
evaluate    the closed-loop figures of the model card                 (JSON)
"""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from steering.models.architecture import SmallPI0
from steering.models.loading import save_policy
from steering.models.pi0 import PI0Policy
from steering.models.preprocessing import Statistics
from steering.pretraining.behaviour import Training, examples, train_behaviour
from steering.pretraining.card_text import insert_figures
from steering.pretraining.collect import collect_shard, policy_driver
from steering.pretraining.corpus import load_shards, shard_statistics
from steering.pretraining.initial import initial_policy
from steering.pretraining.model_card import FIGURES, measure
from steering.pretraining.vision import train_vision
from steering.progress import Progress, Report

Folder = Annotated[Path, typer.Option(help="Where shards and checkpoints are kept.")]
commands = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)


def _show(report: Report) -> None:
    figures = " ".join(f"{name} {value:.4g}" for name, value in report.metrics.items())
    typer.echo(f"{report.fraction:4.0%} {report.message} {figures}", err=True)


def _untrained(folder: Path, shard_limit: int | None = None) -> PI0Policy:
    """The initial policy with the statistics of the data, fixed at the first call."""
    path = folder / "statistics.npz"
    if not path.exists():
        statistics = shard_statistics(load_shards([folder / "data"], shard_limit))
        np.savez(path, **{name: getattr(statistics, name) for name in Statistics.__dataclass_fields__})
    with np.load(path, allow_pickle=False) as arrays:
        return initial_policy(SmallPI0(), Statistics(**arrays))


def _with_tower(folder: Path) -> PI0Policy:
    policy = _untrained(folder)
    tower = policy.model.model.vlm.vision_tower
    tower.load_state_dict(torch.load(folder / "vision.pt", weights_only=True)["tower"])
    tower.eval()
    return policy


def _trained(folder: Path, checkpoint: str) -> PI0Policy:
    policy = _with_tower(folder)
    weights = torch.load(folder / checkpoint, weights_only=True)["average"]
    prefix = "model."
    policy.model.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})
    policy.model.eval().requires_grad_(False)
    return policy


def _collect_many(folder: Path, name: str, first: int, stop: int, stride: int, density: float, checkpoint: str) -> None:
    torch.set_num_threads(1)
    driver = policy_driver(_trained(folder, checkpoint)) if checkpoint else None
    out = folder / name
    out.mkdir(parents=True, exist_ok=True)
    for index in range(first, stop, stride):
        collect_shard(out / f"shard_{index:04d}.npz", index, density, driver)
        typer.echo(f"shard {index} of {stop}", err=True)


def _in_processes(processes: int, folder: Path, name: str, shards: range, density: float, checkpoint: str) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(
            target=_collect_many,
            args=(folder, name, shards.start + i, shards.stop, processes, density, checkpoint),
        )
        for i in range(processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise typer.Exit(1)


@commands.command()
def collect(
    folder: Folder = Path("runs/pretraining"), shards: int = 240, density: float = 0.4, processes: int = 2
) -> None:
    """Noisy expert episodes in the pretraining families, 25 a shard."""
    _in_processes(processes, folder, "data", range(0, shards), density, "")


@commands.command()
def vision(folder: Folder = Path("runs/pretraining"), steps: int = 6000) -> None:
    """Train the vision tower on dense labels."""
    policy = _untrained(folder)
    shard = load_shards([folder / "data"])
    figures = train_vision(policy.model.model.vlm.vision_tower, shard, folder, steps=steps, progress=Progress(_show))
    typer.echo(json.dumps(figures))


@commands.command()
def grounding(folder: Folder = Path("runs/pretraining"), steps: int = 2000) -> None:
    """Teach the VLM where the named things are."""
    policy = _with_tower(folder)
    data = examples(policy, load_shards([folder / "data"]))
    settings = Training(steps, behaviour=False, batch_size=128)
    train_behaviour(policy, data, folder / "grounding.pt", settings, Progress(_show))


@commands.command()
def behaviour(
    folder: Folder = Path("runs/pretraining"),
    steps: int = 8000,
    name: str = "behaviour",
    start: str = "grounding",
    peak: float = 1e-3,
) -> None:
    """Behaviour cloning by flow matching, from the checkpoint `start`, on the data and any corrections."""
    policy = _with_tower(folder)
    folders = [f for f in (folder / "data", folder / "corrections") if f.is_dir()]
    data = examples(policy, load_shards(folders))
    settings = Training(steps, behaviour=True, peak=peak)
    train_behaviour(policy, data, folder / f"{name}.pt", settings, Progress(_show), folder / f"{start}.pt")


@commands.command()
def correct(
    folder: Folder = Path("runs/pretraining"),
    checkpoint: str = "behaviour.pt",
    first: int = 10_000,
    shards: int = 60,
    density: float = 0.4,
    processes: int = 2,
) -> None:
    """Collect episodes that the policy drives, labelled by the expert."""
    _in_processes(processes, folder, "corrections", range(first, first + shards), density, checkpoint)


@commands.command()
def export(
    out: Annotated[Path, typer.Argument(help="The policy's folder.")],
    folder: Folder = Path("runs/pretraining"),
    checkpoint: str = "behaviour.pt",
) -> None:
    """Write the policy as a Hugging Face folder."""
    policy = _trained(folder, checkpoint)
    save_policy(policy.model, policy.preprocessor.tokenizer, policy.preprocessor.statistics, out)


@commands.command()
def evaluate(
    policy: Annotated[str, typer.Argument(help="`embedded`, a folder or a hub id.")] = "embedded",
    out: Path = Path("runs/model_card"),
    trials: int = 100,
    only: Annotated[str, typer.Option(help=f"One group of figures: {', '.join(FIGURES)}.")] = "",
) -> None:
    """Measure the model card's figures and write them to OUT/figures.json, one cell at a time (resumable)."""
    groups = [only] if only else list(FIGURES)
    measure(policy, out, trials, groups, Progress(_show))


@commands.command()
def card(
    card_file: Annotated[Path, typer.Argument(help="The model card whose figures are replaced.")],
    figures: Path = Path("runs/model_card/figures.json"),
) -> None:
    """Put the measured figures into the model card."""
    card_file.write_text(insert_figures(card_file.read_text(), json.loads(figures.read_text())))


if __name__ == "__main__":
    commands()
