"""Scores of heads on the command line: from activations, demonstrations, or a file of the authors' release."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Annotated

import typer

from steering import figures, pipeline
from steering.cli.frame import STORE, Line, PolicyOption, StoreOption, app, open_folder, print_json, summary
from steering.errors import InputError, NotFound, unknown_name
from steering.manifest import MANIFEST
from steering.progress import Progress
from steering.store import Store
from steering.types import PAPER_SET_SIZE, Relevance


@app.command()
def score(
    path: Annotated[
        str, typer.Argument(help="Id or folder of activations or demonstrations, or the authors' activations (HDF5).")
    ],
    preset: Annotated[
        str | None,
        typer.Option(
            help="paper: as published. default: strict, what heads tell of what state and time leave open. Unset: the "
            "strict one, or the published one where episodes are too few or the robot's state is not there."
        ),
    ] = None,
    metric: Annotated[str, typer.Option(help="knn or ridge.")] = "knn",
    k: Annotated[list[int] | None, typer.Option(help="Numbers of neighbours; may be given several times.")] = None,
    keyframes: Annotated[
        bool | None, typer.Option("--keyframes/--all-frames", help="Frames that count; unset: as the preset does.")
    ] = None,
    target: Annotated[
        str, typer.Option(help="What heads should tell: action, chunk, state, gripper, object or instruction.")
    ] = "action",
    phase: Annotated[str, typer.Option(help="whole, approach, grasp, transport or release.")] = "whole",
    include_inert: Annotated[
        bool, typer.Option("--include-inert", help="May choose heads that cannot move an action, as the release does.")
    ] = False,
    stack: Annotated[
        str | None, typer.Option(help="Whose best heads the JSON selects: vlm (as the paper trains), expert, ….")
    ] = None,
    task: Annotated[str | None, typer.Option(help="The task in an HDF5 file that holds several.")] = None,
    out: Annotated[
        Path | None, typer.Option("--json", help="Write scores and selection here, a table (.csv) and figure beside.")
    ] = None,
    policy: PolicyOption = "embedded",
    store: StoreOption = STORE,
) -> None:
    """Score how well each head's output predicts the demonstrated action, each episode from the others."""
    opened = open_folder(store)
    with Line() as line:
        progress = Progress(line)
        activations_id = _activations(opened, path, task, policy, progress.part(0, 0.7))
        made = pipeline.score(
            opened,
            activations_id=activations_id,
            preset=preset,
            metric=metric,
            ks=tuple(k) if k else None,
            keyframes=keyframes,
            target=target,
            phase=phase,
            include_inert=include_inert,
            progress=progress.part(0.7, 1),
        )
    line_of_json = summary(opened, made)
    if out is not None:
        line_of_json["files"] = _write(opened, made, stack, out)
    print_json(line_of_json)


def _activations(store: Store, path: str, task: str | None, policy: str, progress: Progress) -> str:
    """The id of the activations that `path` names, or that are captured of the demonstrations that it names."""
    from steering.relevance.authors_file import is_authors_file

    place = Path(path)
    if is_authors_file(place):
        return pipeline.import_activations(store, place, task)
    artefact = path
    if place.is_dir():
        if not (place / MANIFEST).is_file():
            raise InputError(f"{place} is a folder, but not of activations or demonstrations of this workbench.")
        artefact = place.resolve().name
        if store.folder(artefact) != place.resolve():
            raise InputError(f"{artefact} lies in another store; give its folder with --store.")
    elif place.exists():
        raise InputError(f"{place.name} is not an HDF5 file, the only kind of file that can be scored.")
    elif place.suffix or len(place.parts) > 1:
        raise NotFound(f"There is no file or folder {path}.")
    if store.manifest(artefact).kind != "demonstrations":
        return artefact
    return pipeline.capture(store, demonstrations_id=artefact, policy=policy, progress=progress)


def _write(store: Store, relevance_id: str, stack: str | None, out: Path) -> list[str]:
    """Write JSON, table and figure; their paths. The JSON has the authors' keys for the selection at its top."""
    from steering.relevance import tables
    from steering.selection import exchange

    relevance: Relevance = store.load(relevance_id)
    movable = [name for s, name in enumerate(relevance.shape.names) if not relevance.inert[s].all()]
    chosen = stack or movable[0]
    if chosen not in movable:
        raise unknown_name("stack of movable heads", chosen, movable)
    count = min(PAPER_SET_SIZE, int((~relevance.inert[relevance.shape.index(chosen)]).sum()))
    selection_id = pipeline.select(store, relevance_id=relevance_id, count=count, stacks=(chosen,))
    selection = pipeline.selection_of(store, selection_id)
    table, figure = out.with_suffix(".csv"), out.with_suffix(".html")
    out.parent.mkdir(parents=True, exist_ok=True)
    content = tables.document(relevance) | {"params": dict(store.manifest(relevance_id).params)}
    content |= json.loads(exchange.to_json(selection))
    out.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(tables.rows(relevance, selection.heads))
    figures.head_map(relevance, selection.heads).write_html(figure, include_plotlyjs=True)
    return [str(out), str(table), str(figure)]
