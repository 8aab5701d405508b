"""Registers every public question as an endpoint of its own name: for Gradio's client, plain POST, and agents by MCP.

Each stands in the context of whoever asks, as the page's events do, and says its errors in words. Types and docstrings
of the questions are the endpoints' schema. Answered without the queue, in milliseconds.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import gradio as gr
import orjson
from gradio.events import api

from app import untrusted
from app.questions.context import Context
from app.questions.public import QUESTIONS
from app.tabs.events import asked_by_event, in_words
from steering.errors import InputError


def register(context: Context) -> None:
    """Every question as an endpoint of the page, inside its `gr.Blocks`."""
    for question in QUESTIONS:
        api(_endpoint(context, question), api_name=question.__name__, queue=False)


def _endpoint(context: Context, question: Callable[..., object]) -> Callable[..., Any]:
    signature = inspect.signature(question)
    parameters = [one for name, one in signature.parameters.items() if name != "context"]
    hints = get_type_hints(question)

    def answer(sent_by: gr.Request, *given: Any) -> Any:
        *values, policy = given
        with asked_by_event(sent_by):
            try:
                for one, value in zip(parameters, values, strict=True):
                    _check(one.name, value, hints[one.name])
                with context.policies.using(untrusted.as_id(policy)):
                    found = question(context, *values)
                return orjson.loads(orjson.dumps(found, option=orjson.OPT_SERIALIZE_NUMPY))
            except Exception as error:
                raise gr.Error(in_words(error), print_exception=False) from None

    sent = inspect.Parameter("sent_by", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    key = inspect.Parameter("policy", inspect.Parameter.POSITIONAL_OR_KEYWORD, default="")
    answer.__name__, answer.__doc__ = question.__name__, question.__doc__
    answer.__signature__ = inspect.Signature([sent, *parameters, key], return_annotation=hints["return"])  # type: ignore[attr-defined]
    types = {name: hint for name, hint in hints.items() if name != "context"}
    answer.__annotations__ = {**types, "sent_by": gr.Request, "policy": str}
    return answer


def _check(name: str, value: object, hint: Any) -> None:
    """Raises InputError for a value of another type than the question takes."""
    if not _fits(value, hint):
        raise InputError(f"Expected {name} to be of type {getattr(hint, '__name__', hint)}, got {str(value)[:40]!r}.")


def _fits(value: object, hint: Any) -> bool:
    if get_origin(hint) is UnionType:
        return any(_fits(value, one) for one in get_args(hint))
    if get_origin(hint) is list:
        return isinstance(value, list) and all(_fits(one, get_args(hint)[0]) for one in value)
    return type(value) is hint
