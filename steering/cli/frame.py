"""What every command shares: the typer application, common options, progress on stderr, one line of JSON at the end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

import steering.cli
from steering.cluster import Cluster
from steering.errors import unknown_name
from steering.progress import Progress, Report
from steering.samples import open_store
from steering.store import Store

app = typer.Typer(
    help=steering.cli.__doc__,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

StoreOption = Annotated[
    Path, typer.Option("--store", envvar="STEERING_STORE", help="Folder that keeps every artefact.")
]
PolicyOption = Annotated[
    str, typer.Option("--policy", help="'embedded', the folder of a π0 in transformers format, or a hub id.")
]
SeedOption = Annotated[int, typer.Option(help="The same seed gives the same result.")]
VariationsOption = Annotated[
    list[str] | None, typer.Option("--variation", help="lighting, form or distractors; may be given several times.")
]
EngineOption = Annotated[str, typer.Option(help="local: in this process. ray: in parts on a cluster.")]
WorkersOption = Annotated[int, typer.Option(help="Cores of a Ray cluster that is started here.")]
AddressOption = Annotated[
    str | None, typer.Option(help="Address of a Ray cluster that runs; unset: one is started here.")
]
GpusOption = Annotated[float, typer.Option(help="GPUs that a part on the cluster has, or its share of one.")]
TaskOption = Annotated[str, typer.Option(help="A bench task, e.g. place_cube_in_bowl, press_button, pick_cube.")]
STORE = Path(".workbench")
ENGINES = ("local", "ray")


def open_folder(root: Path) -> Store:
    """The store at `root`, with the samples below it."""
    return open_store(root)


def run(root: Path, function: Callable[..., str], **arguments: Any) -> None:
    """Run a stage on the store `root` and print what it made."""
    store = open_folder(root)
    with Line() as line:
        made = function(store, progress=Progress(line), **arguments)
    print_json(summary(store, made))


def cluster_of(engine: str, workers: int, address: str | None, gpus: float) -> Cluster | None:
    """Where work runs; None for this process. Raises NotFound for an unknown engine."""
    if engine not in ENGINES:
        raise unknown_name("engine", engine, ENGINES)
    return Cluster(workers, address, gpus) if engine == "ray" else None


def summary(store: Store, artefact_id: str) -> dict[str, Any]:
    """What an artefact is and what it was made from, for the last line of a command."""
    manifest = store.manifest(artefact_id)
    if old := store.old_words(artefact_id):
        print(old, file=sys.stderr)
    return {
        "artefact": artefact_id,
        "folder": str(store.folder(artefact_id)),
        "parents": list(manifest.parents),
        "params": dict(manifest.params),
        "versions": dict(manifest.versions),
        "stages": store.stages(artefact_id),
    }


def print_json(value: object) -> None:
    """One line of JSON on stdout."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


class Line:
    """Progress on stderr: one line that is rewritten on a terminal, a new line every 5 s elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._every_s = 0.1 if self._terminal else 5.0
        self._last_s = -1e9

    def __enter__(self) -> Line:
        return self

    def __call__(self, report: Report) -> None:
        """Show `report`, at most ten times a second."""
        now_s = time.monotonic()
        if now_s - self._last_s < self._every_s:
            return
        self._last_s = now_s
        left = f", {report.left_s:.0f} s left" if report.left_s is not None else ""
        numbers = "".join(f" {name}={value:.4g}" for name, value in report.metrics.items())
        text = f"{report.fraction:4.0%} {report.message}{numbers}{left}"
        print(f"\r\x1b[K{text}" if self._terminal else text, end="" if self._terminal else "\n", file=sys.stderr)
        sys.stderr.flush()

    def __exit__(self, *_: object) -> None:
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr)
