"""An adapter's strength as a question: what is queued, what is refused, and what the runs answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app import questions
from app.questions import public
from app.questions.context import Context
from app.tabs import compare
from steering.comparison.intervals import success_rate
from steering.errors import SteeringError
from steering.types import StrengthSweep

Samples = tuple[Path, dict[str, str]]
WON = {"place_cube_in_bowl": (0, 3, 4), "push": (4, 4, 1), "place": (3, 3, 3)}


def keep(context: Context, adapter_id: str, method: str = "lora") -> str:
    """Keeps made-up runs of an adapter; their id."""
    rates = {name: tuple(success_rate(method, np.arange(4) < one) for one in won) for name, won in WON.items()}
    value = StrengthSweep(method, "place_cube_in_bowl", (0.0, 0.5, 1.0), rates)
    return context.store.save("strength", value, parents=[adapter_id], params={"seed": 2})


def test_a_finetune_is_queued_at_the_strengths_that_were_asked_for(context: Context, samples: Samples) -> None:
    public.strength(context, samples[1]["lora"])
    public.strength(context, samples[1]["steering"], "quarters", scenes=5, seed=3)
    (function, first), (_, second) = context.jobs.submitted  # type: ignore[attr-defined]
    assert function == "sweep_strength" and first["adapter_id"] == samples[1]["lora"]
    assert (first["strengths"], first["trials"], first["seed"]) == ([0, 0.5, 1], 10, 0)
    assert (second["strengths"], second["trials"], second["seed"]) == ([0, 0.25, 0.5, 0.75, 1], 5, 3)
    for adapter_id, wrong in (
        (samples[1]["comparison"], {}),
        ("", {}),
        (samples[1]["lora"], {"shares": "thirds"}),
        (samples[1]["lora"], {"scenes": 0}),
        (samples[1]["lora"], {"scenes": 1000}),
    ):
        with pytest.raises(SteeringError):
            public.strength(context, adapter_id, **wrong)
    assert len(context.jobs.submitted) == 2  # type: ignore[attr-defined]


def test_the_runs_answer_in_a_sentence_with_their_seed_date_and_heads(context: Context, samples: Samples) -> None:
    assert public.strengths(context) == []
    made = keep(context, samples[1]["lora"])
    (found,) = public.strengths(context)
    assert (found.id, found.adapter_id, found.strengths) == (made, samples[1]["lora"], (0, 0.5, 1))
    assert found.sentence == (
        "LoRA, all heads, as trained, against the policy without it, of 4 scenes each: place cube in bowl, its own "
        "task, 4 instead of 0; of what was known, push 1 instead of 4, place 3 instead of 3."
    )
    date = context.store.manifest(made).created[:10]
    assert found.origins == (f"Run on {date}; scenes of the seeds 102000 to 102003; trained with seed 0.",)
    keep(context, samples[1]["steering"], "steering")
    assert any(line.startswith("Robotic Steering: 20 heads.") for line in public.strengths(context)[0].origins)


def test_compare_shows_the_runs_of_what_was_trained_on_what_is_open(context: Context, samples: Samples) -> None:
    """And offers them for demonstrations of a task of the simulator alone."""
    opened, other = [samples[1]["place_cube_in_bowl"], 0], [samples[1]["press_button"], 0]
    (card,) = [one for one in compare.show(context, opened, "") if 'data-testid="strength"' in str(one)]
    assert 'data-action="strength"' in card and samples[1]["lora"] in card and "strength-knob" not in card
    assert not any('data-testid="strength"' in str(one) for one in compare.show(context, other, ""))
    keep(context, samples[1]["lora"])
    trained = questions.comparison.trained(context, opened[0])
    assert questions.strength.newest(context, {}) is None
    found = questions.strength.newest(context, trained)
    (card,) = [one for one in compare.show(context, opened, "") if 'data-testid="strength"' in str(one)]
    assert found is not None and found.sentence in card and f'value="{samples[1]["lora"]}" selected' in card
    assert card.count("<circle") == 9 and card.count("<tr data-x") == 3 and 'max="2"' in card
    assert "<b>3 of 4</b> <small>30–95 %</small>" in card and 'data-values="3|4|0.3006|0.9544"' in card
