"""Recording a policy from the page and by a question: who may act, what is queued, and what is shown of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app import questions
from app.questions import public
from app.questions.context import Context
from app.tabs import demonstrations, finetune
from app.views.demonstrations import record_form
from steering.errors import InputError
from steering.types import Demonstrations

Samples = tuple[Path, dict[str, str]]


def trained(context: Context, samples: Samples, method: str = "lora", **params: Any) -> str:
    """A finetune of one's own, as one of the samples; its id."""
    value = context.store.load(samples[1][method])
    manifest = context.store.manifest(samples[1][method])
    with context.store.new_folder("adapter") as folder:
        (folder / "adapter").mkdir()
        (folder / "adapter" / "adapter_config.json").write_text("{}")
        own = replace(value, folder=folder / "adapter")
        given = {**manifest.params, "seed": 0, **params}  # another than the sample
        return context.store.save("adapter", own, parents=manifest.parents, params=given, folder=folder)


def acted(context: Context, samples: Samples, adapter_id: str | None = None) -> str:
    """A set as a policy records it, in which it fails and succeeds; its id."""
    value: Demonstrations = context.store.load(samples[1]["place_cube_in_bowl"])
    won = tuple(replace(one, success=i > 1, phase=None) for i, one in enumerate(value.episodes))
    return context.store.save(
        "demonstrations",
        replace(value, episodes=won, policy="embedded"),
        parents=[adapter_id] if adapter_id else [],
        params={"task": value.task, "by": "policy", "adapter": adapter_id, "policy": context.policy},
    )


def test_ones_own_finetunes_of_this_policy_may_act(context: Context, samples: Samples) -> None:
    assert questions.demonstrations.recorders(context) == {}, "those of the samples are not one's own"
    older, own = trained(context, samples, seed=1), trained(context, samples, seed=2)
    trained(context, samples, policy="another")
    label = "LoRA, all heads, place cube in bowl"
    assert questions.demonstrations.recorders(context) == {own: label, older: label}
    form = demonstrations.show_form(context)
    assert 'name="by" value="policy"' in form and '<option value="policy" selected>The policy as it is' in form
    assert f'<option value="{own}">{label}' in form and older not in form, "of those alike the newest"
    assert "<b>" not in record_form(("pick_cube",), (), {"x": "<b>"})


def test_what_acts_is_queued(context: Context, samples: Samples) -> None:
    own = trained(context, samples)
    public.record(context, "pick_cube", 5, 3, ["lighting"])
    public.record(context, "pick_cube", 5, 3, by="policy")
    public.record(context, "pick_cube", 5, by=own)
    with pytest.raises(InputError, match="no such finetune of yours"):
        public.record(context, "pick_cube", 5, by=samples[1]["lora"])
    asked = [arguments for function, arguments in context.jobs.submitted if function == "record"]  # type: ignore[attr-defined]
    common = {"task": "pick_cube", "count": 5, "seed": 3, "variations": []}
    assert asked == [
        {**common, "variations": ["lighting"]},
        {**common, "policy": context.policy},
        {**common, "seed": 0, "policy": context.policy, "adapter_id": own},
    ]


@pytest.mark.parametrize(
    ("by", "actor", "acting"),
    [
        ("expert", "policy", {}),
        ("keyboard", "policy", {}),
        ("policy", "policy", {"policy"}),
        ("policy", None, {"policy"}),
        ("policy", "own", {"policy", "adapter_id"}),
    ],
)
def test_the_form_says_who_acts(
    context: Context, samples: Samples, by: str, actor: str | None, acting: set[str]
) -> None:
    own = trained(context, samples)
    form = {"task": "press_button", "count": "4", "by": by, "actor": own if actor == "own" else actor}
    demonstrations.start_recording(context, form)
    ((_, asked),) = context.jobs.submitted  # type: ignore[attr-defined]
    assert set(asked) - {"task", "count", "seed", "variations"} == set(acting)


def test_the_card_and_the_finetune_form_say_what_it_is(context: Context, samples: Samples) -> None:
    own = trained(context, samples)
    by_policy, by_finetune = acted(context, samples), acted(context, samples, own)
    assert questions.demonstrations.card(context, by_policy).by == "the policy"
    assert questions.demonstrations.card(context, by_finetune).by == "LoRA, all heads"
    assert "By the policy" in demonstrations.show_sets(context, [by_policy, 0])
    shown = finetune.show_costs(context, [by_policy, 0], "", None, "", {})
    assert "2 of its 3 episodes are failures of the policy that acted" in shown
    opened = [samples[1]["press_button"], 0]
    assert "failures of the policy" not in finetune.show_costs(context, opened, "", None, "", {})
