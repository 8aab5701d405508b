"""Train by a method, and count beforehand what it would train."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from steering import figures, pipeline
from steering.cli.frame import (
    STORE,
    Line,
    PolicyOption,
    SeedOption,
    StoreOption,
    app,
    open_folder,
    print_json,
    summary,
)
from steering.errors import InputError
from steering.loggers import LOGGERS, logged
from steering.progress import Progress
from steering.types import METHODS, Selection

Method = Annotated[str, typer.Option(help=", ".join(METHODS))]
SelectionOption = Annotated[
    str | None, typer.Option("--selection", help="Id of the selection, for steering, dense_heads, lora_rank_matched.")
]
Preset = Annotated[
    str,
    typer.Option(
        help="default, paper (the authors' recipe), paper_ffn (with every FFN), release (all that it trains) "
        "or openpi_lora (with --method lora)."
    ),
]
Rank = Annotated[int | None, typer.Option(help="Rank of the adapters; alpha follows it unless given.")]
SharedKV = Annotated[bool, typer.Option("--shared-kv", help="Also keys and values of the selected layers.")]
FFN = Annotated[str | None, typer.Option(help="Also the FFN of none, selected or all layers.")]
Projections = Annotated[bool, typer.Option("--projections", help="Also the state and action projections, whole.")]
TimeMLP = Annotated[bool, typer.Option("--time-mlp", help="Also the layers that the flow-matching time passes, whole.")]
HeadFactors = Annotated[bool, typer.Option("--head-factors", help="Low-rank factors of its own for every head.")]
ExpertRank = Annotated[int | None, typer.Option(help="Rank in the action expert, where it is another.")]


@app.command()
def finetune(
    demonstrations: Annotated[str, typer.Argument(help="Id of the demonstrations.")],
    method: Method = "steering",
    selection: SelectionOption = None,
    preset: Preset = "default",
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Frames a step.")] = None,
    rank: Rank = None,
    alpha: Annotated[float | None, typer.Option(help="Scales the change by alpha / rank.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak, after warm-up.")] = None,
    noise_samples: Annotated[int | None, typer.Option(help="Noise samples of each prefix.")] = None,
    shared_kv: SharedKV = False,
    ffn: FFN = None,
    projections: Projections = False,
    time_mlp: TimeMLP = False,
    head_factors: HeadFactors = False,
    expert_rank: ExpertRank = None,
    accumulation: Annotated[int | None, typer.Option(help="Parts that a batch is computed in.")] = None,
    precision: Annotated[str | None, typer.Option(help="Of autocast: bfloat16 or float32.")] = None,
    keep_best: Annotated[
        bool, typer.Option("--keep-best", help="Keep the weights of the lowest held-out error.")
    ] = False,
    patience: Annotated[int | None, typer.Option(help="Stop after as many evaluations without a better one.")] = None,
    heldout: Annotated[list[int] | None, typer.Option(help="Episode to hold out; repeatable. Unset: a tenth.")] = None,
    no_heldout: Annotated[bool, typer.Option("--no-heldout", help="Hold out none: train on every episode.")] = False,
    seed: SeedOption = 0,
    log_to: Annotated[
        str | None, typer.Option(help=f"Also log to one of {', '.join(LOGGERS)}, which is to be installed.")
    ] = None,
    log_folder: Annotated[Path, typer.Option(help="Where TensorBoard's files go.")] = Path("runs"),
    policy: PolicyOption = "embedded",
    store: StoreOption = STORE,
) -> None:
    """Train heads, LoRA or everything. The same command goes on where an interrupted one stopped.

    On several GPUs: accelerate launch --module steering finetune ...
    """
    settings = _settings(
        preset,
        steps=steps,
        batch_size=batch_size,
        rank=rank,
        alpha=alpha,
        learning_rate=learning_rate,
        noise_samples=noise_samples,
        shared_kv=shared_kv or None,
        ffn=ffn,
        projections=projections or None,
        time_mlp=time_mlp or None,
        head_factors=head_factors or None,
        expert_rank=expert_rank,
        accumulation=accumulation,
        precision=precision,
        keep_best=keep_best or None,
        patience=patience,
        seed=seed,
    )
    opened = open_folder(store)
    told = {"method": method, "demonstrations": demonstrations, "policy": policy, **settings}
    with Line() as line, logged(log_to, "robotic-steering", told, log_folder, line) as sink:
        made = pipeline.finetune(
            opened,
            demonstrations_id=demonstrations,
            method=method,
            selection_id=selection,
            settings=settings,
            heldout_episodes=_held_out(heldout, no_heldout),
            policy=policy,
            progress=Progress(sink),
        )
    print_json(summary(opened, made))


@app.command(name="change")
def head_change(
    adapter: Annotated[str, typer.Argument(help="Id of the adapter, as finetune prints it.")],
    preset: Annotated[
        str,
        typer.Option(help="paper: as published. default: strict, what heads tell of what state and time leave open."),
    ] = "default",
    out: Annotated[Path | None, typer.Option("--figure", help="Write the two head maps here, as Plotly JSON.")] = None,
    store: StoreOption = STORE,
) -> None:
    """Score every head before and after a finetune, on the demonstrations that it was trained on."""
    opened = open_folder(store)
    with Line() as line:
        made = pipeline.head_change(opened, adapter_id=adapter, preset=preset, progress=Progress(line))
    change = opened.load(made)
    if out is not None:
        out.write_text(figures.head_change(change).to_json() + "\n", encoding="utf-8")
    print_json(summary(opened, made) | {"change": pipeline.change_lines(change)})


@app.command()
def parameters(
    method: Method = "steering",
    selection: SelectionOption = None,
    preset: Preset = "default",
    rank: Rank = None,
    shared_kv: SharedKV = False,
    ffn: FFN = None,
    projections: Projections = False,
    time_mlp: TimeMLP = False,
    head_factors: HeadFactors = False,
    expert_rank: ExpertRank = None,
    policy: PolicyOption = "embedded",
    store: StoreOption = STORE,
) -> None:
    """Count what a method would train, by group, from the policy's configuration alone."""
    flags = {"shared_kv": shared_kv or None, "ffn": ffn, "projections": projections or None}
    flags |= {"time_mlp": time_mlp or None, "head_factors": head_factors or None}
    settings = _settings(preset, rank=rank, expert_rank=expert_rank, **flags)
    chosen = open_folder(store).load(selection) if selection else None
    heads = chosen.heads if isinstance(chosen, Selection) else ()
    groups = pipeline.trainable_parameters(method, heads=heads, settings=settings, policy=policy)
    print_json({"method": method, "parameters": groups, "total": sum(groups.values())})


def _held_out(heldout: list[int] | None, none: bool) -> list[int] | None:
    """Episodes to hold out; None: as the training chooses."""
    if heldout and none:
        raise InputError("Episodes are given by --heldout, and --no-heldout holds out none. Give one of them.")
    return [] if none else heldout or None


def _settings(preset: str, **given: Any) -> dict[str, Any]:
    """What was given, on top of the preset; alpha follows the rank, and the warm-up a short run."""
    base = pipeline.finetune_settings({"preset": preset})
    fields = {name: value for name, value in given.items() if value is not None}
    if "rank" in fields:
        fields.setdefault("alpha", base.alpha / base.rank * fields["rank"])
    steps = fields.get("steps", base.steps)
    fields["warmup_steps"] = min(base.warmup_steps, max(1, steps // 5))
    return dataclasses.asdict(pipeline.finetune_settings({"preset": preset, **fields}))
