"""What a run leaves behind: an ordinary PEFT adapter, or, of a full finetune, a checkpoint in the model's own format.

`PeftModel.from_pretrained(model, folder)` loads the one, `from_pretrained` of transformers' π0 the other, and
`steering.models.loading.load_policy(source, adapter=folder)` both. Beside the weights lie the statistics that normalise
states and actions (`steering.models.kept_statistics`). A card beside the weights (README.md, as hubs show
it) says what was trained and where the heads come from.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from peft import PeftModel
from safetensors.torch import save_model

from steering.models.checkpoint import WEIGHTS
from steering.models.kept_statistics import write_statistics
from steering.models.policy import SteerablePolicy
from steering.types import HEAD_RESTRICTED, METHOD_LABELS, Robot, Selection, origin_words, stack_label

CARD = "README.md"


def save(
    peft_model: PeftModel | None,
    policy: SteerablePolicy,
    folder: Path,
    method: str,
    selection: Selection | None,
    robot: Robot | None = None,
) -> None:
    """Write what is attached to the policy (`None`: all its weights) to `folder`, its statistics, and its card."""
    if peft_model is None:
        config: Any = policy.model.config
        if hasattr(config, "save_pretrained"):
            config.save_pretrained(folder)
        save_model(policy.model, str(folder / WEIGHTS), metadata={"format": "pt"})
    else:
        peft_model.peft_config["default"].base_model_name_or_path = policy.name
        peft_model.save_pretrained(str(folder), save_embedding_layers=False)
    write_statistics(folder, policy.preprocessor.statistics)
    (folder / CARD).write_text(card(policy.name, method, selection, robot), encoding="utf-8")


def card(policy_name: str, method: str, selection: Selection | None, robot: Robot | None = None) -> str:
    """The card in Markdown: method, policy, robot, and of selected heads which they are and where they come from."""
    label = METHOD_LABELS[method]
    kind = "a full finetune" if method == "full" else "a PEFT adapter"
    lines = ["---", f"base_model: {json.dumps(policy_name, ensure_ascii=False)}"]
    lines += [] if method == "full" else ["library_name: peft"]
    lines += ["tags: [robotics, robotic-steering]", "---", "", f"# {label} on {policy_name}", ""]
    lines += [f"Made by the Robotic Steering workbench: {kind}.", ""]
    lines += robot_lines(robot) if robot is not None else []
    lines += head_lines(method, selection)
    return "\n".join(lines).rstrip() + "\n"


def head_lines(method: str, selection: Selection | None) -> list[str]:
    """Which heads a card names, and where they come from."""
    if selection is None:
        return []
    role = "Heads that were trained" if method in HEAD_RESTRICTED else "Heads whose parameters its rank was matched to"
    lines = [f"{role}: {len(selection.heads)}. Where they come from: {origin_words(selection.origin)}.", ""]
    for stack, heads in selection.by_stack.items():
        named = ", ".join(f"{head.layer}.{head.head}" for head in heads)
        lines.append(f"- {stack_label(stack)}, layer.head: {named}")
    return lines


def robot_lines(robot: Robot, *, undone: bool = False) -> list[str]:
    """What the robot is called, its columns, and which of them it counts the other way round than the policy.

    undone: the statistics that go along give them as the robot does.
    """
    lines = [f"Robot: {plain(robot.name)}.", ""] if robot.name else []
    for what, names in (("State", robot.state_names), ("Action", robot.action_names)):
        lines += [f"{what}, in this order: {', '.join(map(plain, names))}.", ""] if names else []
    if robot.turned:
        columns = robot.grippers(len(robot.action_roles))
        said = ", ".join(plain(robot.names("action", len(robot.action_roles))[i]) for i in columns)
        here = "the statistics here give it as the robot does, by a negative scale"
        there = f"where the policy says x, the robot takes {sum(robot.turned):g} - x"
        lines += [f"Turned over for training: {said}; {here if undone else there}.", ""]
    return lines


def plain(name: str) -> str:
    """A name from somebody's data, in one line and without markup."""
    return re.sub(r"[^\w.,:/+ -]+", " ", name).strip()[:60]
