"""Commands that say how well a policy does: in the simulator, and on held-out demonstrations."""

from __future__ import annotations

from collections.abc import Sequence
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
from steering.cli.selection import head_named
from steering.progress import Progress
from steering.store import Store
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
    opened = open_folder(store)
    _print_comparison(opened, pipeline.compare(opened, rollouts_ids=rollouts))


@app.command()
def evaluate(
    task: TaskOption = "place_cube_in_bowl",
    adapter: Annotated[
        list[str] | None,
        typer.Option(help="Id of an adapter, or zero_shot for the policy as it is; repeatable, two or more."),
    ] = None,
    trials: Annotated[int, typer.Option(help="Number of scenes; the most of them with --stop-early.")] = 20,
    stop_early: Annotated[
        bool, typer.Option("--stop-early", help="Stop once every two methods are told apart, or hardly differ.")
    ] = False,
    matters: Annotated[
        float, typer.Option(help="With --stop-early: the difference of success rates that matters, 0 to 1.")
    ] = 0.2,
    variation: VariationsOption = None,
    instruction: Annotated[str, typer.Option(help=f"What the policy is told: {', '.join(INSTRUCTIONS)}.")] = "original",
    videos: Annotated[int, typer.Option(help="How many scenes to film, those where the methods differ first.")] = 6,
    seed: SeedOption = 0,
    policy: PolicyOption = "embedded",
    store: StoreOption = STORE,
) -> None:
    """Run several methods in the same scenes and compare them, as the page's Compare step does."""
    opened = open_folder(store)
    options: dict[str, Any] = {"trials": trials, "seed": seed, "variations": tuple(variation or ()), "videos": videos}
    options |= {"instruction": instruction, "policy": policy, "matters": matters if stop_early else None}
    named = _named(opened, [None if one == pipeline.ZERO_SHOT else one for one in adapter or (pipeline.ZERO_SHOT,)])
    with Line() as line:
        made = pipeline.evaluate(opened, task=task, adapters=named, progress=Progress(line), **options)
    _print_comparison(opened, made)


@app.command()
def surgery(
    head: Annotated[list[str], typer.Option(help="A head to change, STACK.LAYER.HEAD; repeatable.")],
    factor: Annotated[
        float, typer.Option(help="Of the heads' outputs: 0 silences, -1 turns round, 1 changes nothing.")
    ] = 0.0,
    from_s: Annotated[float, typer.Option(help="Second of a scene from which they change, in quarters.")] = 0.0,
    task: TaskOption = "place_cube_in_bowl",
    adapter: Annotated[str | None, typer.Option(help="Id of an adapter; without one the policy as it is.")] = None,
    trials: Annotated[int, typer.Option(help="Number of scenes.")] = 20,
    variation: VariationsOption = None,
    videos: Annotated[int, typer.Option(help="How many scenes to film, those where the runs differ first.")] = 3,
    seed: SeedOption = 0,
    policy: PolicyOption = "embedded",
    store: StoreOption = STORE,
) -> None:
    """Change heads while scenes run, beside the same scenes untouched and beside other heads changed as much."""
    from steering.comparison.surgery import surgery_report

    opened = open_folder(store)
    heads = [(one.stack, one.layer, one.head) for one in map(head_named, head)]
    options: dict[str, Any] = {"trials": trials, "seed": seed, "variations": tuple(variation or ()), "videos": videos}
    options |= {"factor": factor, "from_s": from_s, "adapter_id": adapter, "policy": policy}
    with Line() as line:
        made = pipeline.operate(opened, task=task, heads=heads, progress=Progress(line), **options)
    print(surgery_report(opened.load(made)))
    print_json(summary(opened, made))


@app.command()
def strength(
    adapter: Annotated[str, typer.Argument(help="Id of an adapter.")],
    strengths: Annotated[
        list[float] | None,
        typer.Option("--strength", help="Share of its change of every weight, 0 to 1; repeatable. Unset: quarters."),
    ] = None,
    family: Annotated[
        list[str] | None, typer.Option(help="Of the pretraining: pick, place, push, press; repeatable.")
    ] = None,
    trials: Annotated[int, typer.Option(help="Number of scenes, each of the task and of every family.")] = 20,
    seed: SeedOption = 0,
    store: StoreOption = STORE,
) -> None:
    """What an adapter gains on its task against what it forgets, at several strengths; push and place unless named."""
    opened = open_folder(store)
    options: dict[str, Any] = {"trials": trials, "seed": seed}
    options |= {"strengths": strengths} if strengths else {}
    options |= {"families": family} if family else {}
    with Line() as line:
        made = pipeline.sweep_strength(opened, adapter_id=adapter, progress=Progress(line), **options)
    found = opened.load(made)
    for row in (("strength", *found.heads()), *found.rows()):
        print("  ".join(f"{cell:<24}" for cell in row).rstrip())
    print_json(summary(opened, made))


def _print_comparison(store: Store, comparison_id: str) -> None:
    from steering.comparison.compare import report
    from steering.comparison.outcomes import table

    comparison = store.load(comparison_id)
    print(report(comparison), table([comparison]), sep="\n\n")
    print_json(summary(store, comparison_id))


def _named(store: Store, adapters: Sequence[str | None]) -> dict[str, str | None]:
    """Method -> adapter, None for the untouched policy; a second adapter of a method is told apart by its id."""
    found: dict[str, str | None] = {}
    for one in adapters:
        method = pipeline.ZERO_SHOT if one is None else store.manifest(one).params["method"]
        found[method if method not in found else f"{method} {one[-4:] if one else ''}"] = one
    return found


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
    adapters = _named(opened, [None, *(adapter or ())])
    options: dict[str, Any] = {"episodes": episode, "stride": stride, "seed": seed, "policy": policy}
    with Line() as line:
        made = pipeline.open_loop(
            opened, demonstrations_id=demonstrations, adapters=adapters, progress=Progress(line), **options
        )
    print(open_loop_report(opened.load(made), pipeline.open_loop_notices(opened, made)))
    print_json(summary(opened, made))
