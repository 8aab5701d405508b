"""The command of the trial: `python -m steering evidence trial`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from steering.cli.evidence import EVIDENCE_STORE, evidence
from steering.cli.frame import Line, print_json
from steering.progress import Progress


@evidence.command()
def trial(
    cell: Annotated[list[str] | None, typer.Option(help="Only this cell, training/arm/seed; repeatable.")] = None,
    arm: Annotated[list[str] | None, typer.Option(help="Only cells of this arm; repeatable.")] = None,
    run: Annotated[bool, typer.Option("--run", help="Make the cells that are not there yet.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Say what is left and about how long it takes.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Prove the plumbing; figures mean nothing.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the results.")] = None,
    store: Annotated[Path, typer.Option(help="Folder of the artefacts.")] = EVIDENCE_STORE,
) -> None:
    """Robotic Steering against LoRA, as assets/evidence/plan.md says; then the primary contrasts of what is there.

    Their forest plot is written beside the results.
    """
    from steering.evidence.cell_files import read_results_in
    from steering.evidence.drawing import forest_figure
    from steering.evidence.trial import QUICK, TrialSettings, cells, parse_cell, primary, verdict
    from steering.evidence.trial_cells import TRIAL, left_to_make, run_trial

    settings = QUICK if quick else TrialSettings()
    folder = out or (Path(store) / "quick_trial" if quick else TRIAL)
    chosen = tuple(parse_cell(one) for one in cell) if cell else cells()
    chosen = tuple(one for one in chosen if one.arm in (arm or [one.arm]))
    if plan:
        print_json(left_to_make(chosen, settings, folder))
        return
    if run:
        with Line() as line:
            run_trial(chosen, settings, store=store, out=folder, progress=Progress(line))
    found = primary(read_results_in(folder))
    if found:
        drawn = forest_figure({name: one for name, (one, _, _) in found.items()})
        figures = folder.parent / f"{folder.name}_figures"
        figures.mkdir(exist_ok=True)
        (figures / "forest.json").write_text(drawn.to_json() + "\n", encoding="utf-8")
    print_json(
        {
            name: {**asdict(one), "p_holm": p, "p_equal_holm": p_equal, "verdict": verdict(one, p, p_equal)}
            for name, (one, p, p_equal) in found.items()
        }
    )
