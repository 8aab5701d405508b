"""Commands that make demonstrations: record, inspect what others recorded, import and export it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from steering import pipeline
from steering.cli.frame import (
    STORE,
    Line,
    SeedOption,
    StoreOption,
    TaskOption,
    VariationsOption,
    app,
    open_folder,
    print_json,
    run,
)
from steering.errors import SteeringError
from steering.progress import Progress

PathArgument = Annotated[str, typer.Argument(help="A folder, file or zip of demonstrations, or a hub id.")]
MappingOption = Annotated[
    Path | None, typer.Option("--mapping", help="JSON file with fields that replace those guessed.")
]


@app.command()
def record(
    task: TaskOption = "place_cube_in_bowl",
    count: Annotated[int, typer.Option(help="Number of demonstrations.")] = 20,
    seed: SeedOption = 0,
    variation: VariationsOption = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="Record what this policy does, failures too: 'embedded', a folder or a hub id. Unset: the expert."
        ),
    ] = None,
    adapter: Annotated[str | None, typer.Option(help="Id of an adapter that its policy runs with.")] = None,
    store: StoreOption = STORE,
) -> None:
    """Record demonstrations of a simulator task by its scripted expert, or what a policy does in the same scenes."""
    options: dict[str, Any] = {"variations": tuple(variation or ()), "policy": policy, "adapter_id": adapter}
    run(store, pipeline.record, task=task, count=count, seed=seed, **options)


@app.command()
def inspect(
    path: PathArgument,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the whole report here.")] = None,
    mapping: MappingOption = None,
    mapping_out: Annotated[
        Path | None, typer.Option("--mapping-out", help="Write the mapping here, to be corrected and given back.")
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(help="Write each camera's first picture here (PNG): as mapped, and red and blue swapped."),
    ] = None,
    policy: Annotated[str | None, typer.Option(help="Compare with what this policy is normalised by.")] = None,
    store: StoreOption = STORE,
) -> None:
    """Say what a dataset holds and whether it is fit for head selection.

    Exit code 0: usable, 1: usable with problems, 2: not usable.
    """
    from steering.demonstrations.health import exit_code, report_text, unreadable
    from steering.demonstrations.mapping import parse, read_document, write

    memory = pipeline.mappings(open_folder(store))
    try:
        given = None if mapping is None else read_document(mapping)
        with Line() as line:
            report = pipeline.inspect_demonstrations(
                path, mapping=given, policy=policy, memory=memory, progress=Progress(line)
            )
    except SteeringError as error:
        report = unreadable(path, error)
    if json_file is not None:
        json_file.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if mapping_out is not None and "mapping" in report:
        write(mapping_out, parse(report["mapping"]))
    print(report_text(report))
    numbers = ("usable", "name", "format", "episodes", "frames", "rate_hz")
    summary: dict[str, Any] = {name: report.get(name) for name in numbers}
    print_json(summary | {"problems": [problem["kind"] for problem in report["problems"]]})
    if pictures is not None and "mapping" in report:
        pipeline.write_pictures(path, pictures, mapping=report["mapping"])
    raise typer.Exit(exit_code(report))


@app.command("import")
def import_(
    path: PathArgument,
    mapping: MappingOption = None,
    episode: Annotated[list[int] | None, typer.Option(help="An episode, from 0; repeatable. Unset: all.")] = None,
    image_px: Annotated[int, typer.Option(help="Longest side of the pictures kept; 0 keeps them as they are.")] = 224,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Leave out episodes that cannot be read, and import the others.")
    ] = False,
    bgr: Annotated[
        list[str] | None,
        typer.Option(help="A camera whose red and blue are stored swapped (exterior, wrist, …, or all); repeatable."),
    ] = None,
    store: StoreOption = STORE,
) -> None:
    """Import demonstrations from other people's files."""
    from steering.demonstrations.mapping import read_document

    given = None if mapping is None else read_document(mapping)
    options: dict[str, Any] = {"mapping": given, "episodes": episode or None, "image_px": image_px or None}
    options |= {"skip_unreadable": skip_unreadable, "bgr": bgr or ()}
    run(store, pipeline.import_demonstrations, path=path, **options)


@app.command()
def export(
    demonstrations: Annotated[str, typer.Argument(help="Id of the demonstrations.")],
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    lossless: Annotated[bool, typer.Option("--lossless", help="Keep every pixel; ten times as large.")] = False,
    store: StoreOption = STORE,
) -> None:
    """Write demonstrations as a LeRobotDataset v3.0, which lerobot reads."""
    with Line() as line:
        made = pipeline.export_demonstrations(
            open_folder(store),
            demonstrations_id=demonstrations,
            folder=folder,
            lossless=lossless,
            progress=Progress(line),
        )
    print_json({"folder": str(made), "format": "LeRobotDataset v3.0"})
