"""The command that makes the evidence about heads: `python -m steering evidence heads --out DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steering.cli.evidence import EVIDENCE_STORE, evidence
from steering.cli.frame import Line, PolicyOption, SeedOption, print_json
from steering.progress import Progress


@evidence.command()
def heads(
    out: Annotated[Path, typer.Option(help="Folder for heads.json, heads.md and the figures.")],
    tasks: Annotated[list[str] | None, typer.Option(help="A bench task; repeatable. Unset: all five.")] = None,
    demonstrations: Annotated[int, typer.Option(help="Of each task, in each of the two recordings.")] = 20,
    html: Annotated[bool, typer.Option("--html", help="Also figures.html, one page of 5 MB.")] = False,
    seed: SeedOption = 0,
    policy: PolicyOption = "embedded",
    store: Annotated[Path, typer.Option(help="Folder of the artefacts.")] = EVIDENCE_STORE,
) -> None:
    """Score, ablate and replicate on every task: what relevance finds, how sure it is, and what tasks share.

    About 6 minutes a task on two shared cores. The same command goes on where an interrupted one stopped.
    """
    from steering.evidence.grid import TASKS
    from steering.evidence.heads import HeadSettings, run_heads

    counts = tuple(sorted({max(2, round(demonstrations * share)) for share in (0.25, 0.5, 0.75, 1)}))
    settings = HeadSettings(demonstrations=demonstrations, counts=counts, policy=policy, seed=seed)
    with Line() as line:
        run_heads(
            out,
            store=store,
            tasks=tuple(tasks or TASKS),
            settings=settings,
            html=html,
            progress=Progress(line),
        )
    print_json({"page": str(out / "heads.md"), "numbers": str(out / "heads.json"), "tasks": len(tasks or TASKS)})
