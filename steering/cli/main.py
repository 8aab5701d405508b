"""The entry point: imports the commands, so that they register, and words errors."""

from __future__ import annotations

import sys

from steering.cli import attribution as attribution
from steering.cli import check as check
from steering.cli import demonstrations as demonstrations
from steering.cli import doctor as doctor
from steering.cli import evaluation as evaluation
from steering.cli import evidence as evidence
from steering.cli import evidence_depth as evidence_depth
from steering.cli import evidence_heads as evidence_heads
from steering.cli import evidence_screen as evidence_screen
from steering.cli import evidence_trial as evidence_trial
from steering.cli import exporting as exporting
from steering.cli import finetuning as finetuning
from steering.cli import opening as opening
from steering.cli import page as page
from steering.cli import publish as publish
from steering.cli import score as score
from steering.cli import selection as selection
from steering.cli import server as server
from steering.cli import serving as serving
from steering.cli import stages as stages
from steering.cli import trials as trials
from steering.cli.frame import app
from steering.errors import SteeringError


def main() -> None:
    """Run the command line; print a SteeringError as one sentence."""
    try:
        app()
    except SteeringError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("Stopped; finished results are kept.", file=sys.stderr)
        sys.exit(130)
