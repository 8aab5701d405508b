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
    study: Annotated[list[str] | None, typer.Option(help="Only cells of this study; repeatable.")] = None,
    arm: Annotated[list[str] | None, typer.Option(help="Only cells of this arm; repeatable.")] = None,
    run: Annotated[bool, typer.Option("--run", help="Make the cells that are not there yet.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Say what is left and about how long it takes.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Prove the plumbing; figures mean nothing.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the results.")] = None,
    store: Annotated[Path, typer.Option(help="Folder of the artefacts.")] = EVIDENCE_STORE,
) -> None:
    """Robotic Steering against LoRA, as assets/evidence/plan.md says; then the primary contrasts of what is there.

    Their page and pictures are written beside the results.
    """
    from steering.evidence.cell_files import read_results_in
    from steering.evidence.trial import QUICK, STUDIES, TrialSettings, cells, parse_cell
    from steering.evidence.trial_cells import TRIAL, left_to_make, run_trial, screen_rules
    from steering.evidence.trial_page import write_trial
    from steering.evidence.trial_results import primary, verdict

    settings = QUICK if quick else TrialSettings()
    folder = out or (Path(store) / "quick_trial" if quick else TRIAL)
    chosen = tuple(map(parse_cell, cell)) if cell else cells(tuple(study or STUDIES), screen_rules())
    chosen = tuple(one for one in chosen if one.arm in (arm or [one.arm]))
    if plan:
        print_json(left_to_make(chosen, settings, folder))
        return
    if run:
        with Line() as line:
            run_trial(chosen, settings, store=store, out=folder, progress=Progress(line))
    results = read_results_in(folder)
    if results:
        write_trial(results, folder)
    print_json(
        {
            name: {**asdict(one), "p_holm": p, "p_equal_holm": p_equal, "verdict": verdict(one, p, p_equal)}
            for name, (one, p, p_equal) in primary(results).items()
        }
    )
