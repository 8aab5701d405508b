"""Commands that say how well a policy does: in the simulator, and on held-out demonstrations."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from steering import pipeline
from steering.cli.frame import (
    STORE,
    AddressOption,
    EngineOption,
    GpusOption,
    Line,
    PolicyOption,
    SeedOption,
    StoreOption,
    TaskOption,
    VariationsOption,
    WorkersOption,
    app,
    cluster_of,
    open_folder,
    print_json,
    run,
    summary,
)
from steering.progress import Progress
from steering.types import INSTRUCTIONS


@app.command()
def rollout(
    task: TaskOption = "place_cube_in_bowl",
    adapter: Annotated[str | None, typer.Option(help="Id of an adapter; without one the policy as it is.")] = None,
    trials: Annotated[int, typer.Option(help="Number of scenes.")] = 20,
    variation: VariationsOption = None,
    instruction: Annotated[str, typer.Option(help=f"What the policy is told: {', '.join(INSTRUCTIONS)}.")] = "original",
    videos: Annotated[int, typer.Option(help="How many of the first scenes to film.")] = 6,
    processes: Annotated[int | None, typer.Option(help="Of the simulation; unset: as cores allow.")] = None,
    seed: SeedOption = 0,
    engine: EngineOption = "local",
    workers: WorkersOption = 2,
    address: AddressOption = None,
    gpus: GpusOption = 0.0,
    policy: PolicyOption = "embedded",
    store: StoreOption = STORE,
) -> None:
    """Run the policy in the simulator. The same seed gives every method the same scenes."""
    method = open_folder(store).manifest(adapter).params["method"] if adapter else "zero_shot"
    options: dict[str, Any] = {"trials": trials, "seed": seed, "variations": tuple(variation or ()), "videos": videos}
    options |= {
        "instruction": instruction,
        "processes": processes,
        "cluster": cluster_of(engine, workers, address, gpus),
    }
    run(store, pipeline.rollout, task=task, method=method, adapter_id=adapter, policy=policy, **options)


@app.command()
def compare(
    rollouts: Annotated[list[str], typer.Argument(help="Ids of rollouts on the same scenes.")],
    store: StoreOption = STORE,
) -> None:
    """Success rates with Wilson intervals, exact paired tests with Holm's correction, and how the failures failed."""
    from steering.comparison.compare import report
    from steering.comparison.outcomes import table

    opened = open_folder(store)
    made = pipeline.compare(opened, rollouts_ids=rollouts)
    comparison = opened.load(made)
    print(report(comparison), table([comparison]), sep="\n\n")
    print_json(summary(opened, made))


@app.command("open-loop")
def open_loop(
    demonstrations: Annotated[str, typer.Argument(help="Id of the demonstrations.")],
    adapter: Annotated[list[str] | None, typer.Option(help="Id of an adapter to compare; repeatable.")] = None,
    episode: Annotated[
        list[int] | None,
        typer.Option(help="A held-out episode, from 0; repeatable. Unset: those that finetuning left."),
    ] = None,
    stride: Annotated[int, typer.Option(help="Every how many frames.")] = 5,
    seed: SeedOption = 0,
    policy: PolicyOption = "embedded",
    store: StoreOption = STORE,
) -> None:
    """Predicted against demonstrated action chunks on held-out episodes, the untouched policy first."""
    from steering.comparison.open_loop import open_loop_report

    opened = open_folder(store)
    adapters: dict[str, str | None] = {"zero_shot": None}
    for one in adapter or ():
        method = opened.manifest(one).params["method"]
        adapters[method if method not in adapters else f"{method} {one[-4:]}"] = one
    options: dict[str, Any] = {"episodes": episode, "stride": stride, "seed": seed, "policy": policy}
    with Line() as line:
        made = pipeline.open_loop(
            opened, demonstrations_id=demonstrations, adapters=adapters, progress=Progress(line), **options
        )
    print(open_loop_report(opened.load(made), pipeline.open_loop_notices(opened, made)))
    print_json(summary(opened, made))
