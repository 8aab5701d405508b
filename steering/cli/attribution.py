"""The command that scores heads with the policy in the loop."""

from __future__ import annotations

from typing import Annotated

import typer

from steering import pipeline
from steering.cli.frame import STORE, PolicyOption, SeedOption, StoreOption, app, run
from steering.metrics import WITH_POLICY


@app.command()
def attribute(
    demonstrations: Annotated[str, typer.Argument(help="Id of the demonstrations.")],
    metric: Annotated[str, typer.Option(help=f"One of: {', '.join(WITH_POLICY)}.")] = "mean_ablation",
    frames: Annotated[int, typer.Option(help="How many frames, evenly spread over the episodes.")] = 64,
    samples: Annotated[int, typer.Option(help="Draws of noise and flow-matching time a frame.")] = 4,
    policy: PolicyOption = "embedded",
    seed: SeedOption = 0,
    store: StoreOption = STORE,
) -> None:
    """Score what each head does to the policy itself: its causal effect, its gradients, its attention."""
    options = {"metric": metric, "frames": frames, "samples": samples, "policy": policy, "seed": seed}
    run(store, pipeline.attribute, demonstrations_id=demonstrations, **options)
