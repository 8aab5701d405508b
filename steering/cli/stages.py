"""One command a stage, the whole way at once, and the samples."""

from __future__ import annotations

from pathlib import Path
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
    WorkersOption,
    app,
    cluster_of,
    print_json,
    run,
)
from steering.progress import Progress
from steering.samples import MAX_BYTES, SAMPLES, TASKS
from steering.samples import example as make_example
from steering.samples import precompute as make_samples


@app.command()
def capture(
    demonstrations: Annotated[str, typer.Argument(help="Id of the demonstrations.")],
    policy: PolicyOption = "embedded",
    vlm_token: Annotated[str, typer.Option(help="Token at which the VLM's heads are read.")] = "last_prefix",
    expert_token: Annotated[str, typer.Option(help="The expert's token: state or first_action.")] = "first_action",
    timestep: Annotated[
        list[float] | None, typer.Option(help="Flow-matching time, 1 (default) is pure noise; repeatable: averaged.")
    ] = None,
    samples: Annotated[int, typer.Option(help="Noise draws a frame that outputs are averaged over.")] = 1,
    stride: Annotated[int, typer.Option(help="Every how many frames.")] = 1,
    seed: SeedOption = 0,
    engine: EngineOption = "local",
    workers: WorkersOption = 2,
    address: AddressOption = None,
    gpus: GpusOption = 0.0,
    store: StoreOption = STORE,
) -> None:
    """Capture the output of every attention head over demonstrations."""
    times = timestep or [1.0]
    options: dict[str, Any] = {"vlm_token": vlm_token, "expert_token": expert_token, "samples": samples}
    options |= {"stride": stride, "timestep": times[0] if len(times) == 1 else times}
    options |= {"cluster": cluster_of(engine, workers, address, gpus)}
    run(store, pipeline.capture, demonstrations_id=demonstrations, policy=policy, seed=seed, **options)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for every artefact and demo.json.")],
    task: TaskOption = "place_cube_in_bowl",
    stack: Annotated[list[str] | None, typer.Option(help="Stacks to select from: vlm, expert; repeatable.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Prove the plumbing in 90 s; figures mean nothing.")] = False,
    seed: SeedOption = 0,
    policy: PolicyOption = "embedded",
) -> None:
    """Go the whole way on one task: 20 demonstrations to success rates of three methods. Ten minutes on two cores."""
    from steering.demo import QUICK, DemoSettings, run_demo

    with Line() as line:
        settings = QUICK if quick else DemoSettings()
        stacks = tuple(stack) if stack else None
        summary = run_demo(
            out, task=task, stacks=stacks, policy=policy, seed=seed, settings=settings, progress=Progress(line)
        )
    print_json({**summary, "quick": quick})


@app.command()
def precompute(
    out: Annotated[Path, typer.Option(help="Folder of the sample store; replaced.")] = SAMPLES,
    task: Annotated[list[str] | None, typer.Option(help="Tasks; the page opens the first. Repeatable.")] = None,
    count: Annotated[int, typer.Option(help="Demonstrations a task.")] = 20,
    attention_episodes: Annotated[int, typer.Option(help="Episodes a task with attention weights.")] = 2,
    max_mb: Annotated[float, typer.Option(help="Refuse to make more than this.")] = MAX_BYTES / 1e6,
    policy: PolicyOption = "embedded",
    seed: SeedOption = 0,
) -> None:
    """Make the samples of the first screen: demonstrations, relevance, selection and attention."""
    with Line() as line:
        made = make_samples(
            out,
            tasks=tuple(task or TASKS),
            count=count,
            attention_episodes=attention_episodes,
            policy=policy,
            seed=seed,
            max_bytes=int(max_mb * 1e6),
            progress=Progress(line),
        )
    print_json({"artefacts": made})


@app.command()
def example(
    work: Annotated[Path, typer.Option(help="Folder in which everything is made; the same one goes on.")] = Path(
        ".workbench/example"
    ),
    out: Annotated[Path, typer.Option(help="Folder of the sample store.")] = SAMPLES,
    trials: Annotated[int, typer.Option(help="Number of scenes.")] = 100,
    films: Annotated[int, typer.Option(help="How many of them to film.")] = 6,
    policy: PolicyOption = "embedded",
) -> None:
    """Make the comparison that Compare opens with: train both methods on the samples, run all in the same scenes."""
    with Line() as line:
        made = make_example(work, out, trials=trials, films=films, policy=policy, progress=Progress(line))
    print_json({"artefacts": made})
