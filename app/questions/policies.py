"""Policies that can be worked with, and opening another one."""

from __future__ import annotations

from app.answers.policies import PolicyRow
from app.policies import FOLDER, SERVER
from app.questions.context import Context
from app.visitors import owner
from steering.models.checkpoint import EMBEDDED


def choices(context: Context) -> list[PolicyRow]:
    """Every policy that can be chosen here; `used`: the one that this question was asked with."""
    return [
        PolicyRow(
            one.key,
            one.name,
            _place(one.key),
            one.size.head_shape if one.size else None,
            one.size.parameters if one.size else None,
            one.key == context.policies.key,
        )
        for one in context.policies.choices()
    ]


def open_policy(context: Context, key: str, demonstrations_id: str = "") -> str:
    """Queue the check of a policy, after which questions can be asked with it; the job's id. key: as `choices` has it,
    or the id of one on the Hugging Face hub. demonstrations_id: what to try it on.
    """
    return context.policies.open(owner(), key, demonstrations_id)


def _place(key: str) -> str:
    if key == EMBEDDED:
        return "embedded"
    return "folder" if key.startswith((FOLDER, SERVER)) else "hub"
