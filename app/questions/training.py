"""What each method would train, take and need, the queue of trainings, and the equal command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from app.answers.training import Outlook, Running
from app.damage import unless_damaged
from app.questions import choosing, demonstrations, head_sets, measures
from app.questions.context import Context
from app.questions.methods import control_of
from app.questions.training_command import (
    SelectArguments,
    changed_settings,
    finetune_command,
    keywords,
    place,
    select_command,
)
from app.questions.training_estimate import estimate_of
from app.questions.training_form import CONTROLS, OFFERS, Asked
from app.visitors import owner
from app.words import without_places
from steering import hub, pipeline
from steering.errors import InputError, SteeringError
from steering.finetune.plan import FULL_BYTES
from steering.models.free_memory import system_bytes
from steering.types import (
    CONTROL_LABELS,
    HEAD_RESTRICTED,
    METHOD_LABELS,
    FinetuneSettings,
    Head,
    Origin,
    in_order,
    origin_word,
    origin_words,
)

_GPU = Path("/proc/driver/nvidia/gpus")


_NEED_HEADS = ("steering", "lora_rank_matched", "dense_heads", *CONTROLS)


def outlook(
    context: Context,
    demonstrations_id: str,
    measure: str,
    heads: Sequence[Head],
    asked: Asked,
    origin: Origin | None = None,
) -> dict[str, Outlook]:
    """Method -> what it would train and take, for every method on offer. origin: where `heads` come from."""
    return {name: _outlook(context, name, demonstrations_id, measure, heads, asked.settings, origin) for name in OFFERS}


def heads_of(
    context: Context, name: str, demonstrations_id: str, measure: str, heads: Sequence[Head], seed: int
) -> tuple[Head, ...]:
    """The heads that a method trains: the selected ones, those of a control, or none where it takes all."""
    if name not in _NEED_HEADS:
        return ()
    if not heads:
        raise InputError("No head is selected. Select heads on the map first.")
    if name not in CONTROLS:
        return tuple(heads)
    relevance = measures.relevance(context, demonstrations_id, measure)
    if relevance is None:
        raise measures.no_scores(context, demonstrations_id)
    from steering.selection import controls, rules

    count, stacks = len(heads), _stacks(heads)
    if name == "random":
        best = rules.top_k(relevance, count, stacks)
        return controls.random_heads(best, context.size.head_shape, seed, relevance.inert).heads
    if name == "bottom":
        return controls.bottom(relevance, count, stacks).heads
    return choosing.other_task(context, demonstrations_id, measure, count, stacks)


def start(
    context: Context,
    demonstrations_id: str,
    measure: str,
    heads: Sequence[Head],
    asked: Asked,
    origin: Origin | None = None,
) -> list[str]:
    """Queue a finetune of each method; ids of the jobs. origin: where `heads` come from, as `outlook`."""
    if not demonstrations_id:
        raise InputError("Open demonstrations first.")
    if not asked.methods:
        raise InputError("Tick at least one method to train.")
    off = _too_large(context.size.parameters) if "full" in asked.methods else ""
    if off:
        raise InputError(f"A full finetune does not fit. {off}")
    held = heldout(context, demonstrations_id, asked)
    chosen = [
        (name, _selection(context, name, demonstrations_id, measure, heads, asked, origin)) for name in asked.methods
    ]
    return [
        context.submit(
            "finetune",
            demonstrations_id=demonstrations_id,
            method="steering" if name in CONTROLS else name,
            selection_id=selection_id,
            settings=asdict(asked.settings),
            policy=context.policy,
            **({} if held is None else {"heldout_episodes": held}),
        )
        for name, selection_id in chosen
    ]


def heldout(context: Context, demonstrations_id: str, asked: Asked) -> list[int] | None:
    """Indices of the held-out episodes; None: as the training chooses. Raises InputError where none is left."""
    if asked.heldout is None:
        return None
    count = len(demonstrations.card(context, demonstrations_id).frames)
    if asked.heldout >= count:
        raise InputError(
            f"These are {count} episodes, and {asked.heldout} of them held out leave none to train on. Lower it."
        )
    return list(range(count - asked.heldout, count))


def imitated(context: Context, demonstrations_id: str) -> str:
    """What a training on a set would imitate of a policy's failures, a sentence; empty where there is nothing."""
    found = unless_damaged(demonstrations.summary, context, demonstrations_id) if demonstrations_id else None
    return "" if found is None else found.imitated


def running(context: Context) -> list[Running]:
    """The trainings of whoever asks that run now."""
    found = []
    for status in context.jobs.recent(owner()):
        if status.function == "finetune" and status.state == "running" and status.metrics:
            newest = status.metrics[-1]
            errors = [one["heldout_error"] for one in status.metrics if "heldout_error" in one]
            found.append(
                Running(
                    name=name_of(context, status.arguments),
                    step=int(newest.get("step", 0)),
                    steps=int(status.arguments.get("settings", {}).get("steps", 0)),
                    left_s=newest.get("left_s"),
                    samples_per_s=newest.get("samples_per_s"),
                    peak_memory_mb=newest.get("peak_memory_mb"),
                    loss=newest.get("loss"),
                    heldout=errors[-1] if errors else None,
                )
            )
    return found


def name_of(context: Context, arguments: Mapping[str, object]) -> str:
    """What people call the training of a job: its method, or the control that it is."""
    name = curve_of(context, arguments)
    return METHOD_LABELS.get(name, name)


def curve_of(context: Context, arguments: Mapping[str, object]) -> str:
    """What the training of a job is called in figures: its method, or the label of the control that it is."""
    control = unless_damaged(control_of, context.store, arguments.get("selection_id")) or ""
    return CONTROL_LABELS.get(control) or str(arguments.get("method", ""))


def preview(
    context: Context,
    demonstrations_id: str,
    measure: str,
    heads: Sequence[Head],
    asked: Asked,
    origin: Origin | None = None,
) -> tuple[str, str]:
    """What does the same on the command line, and in Python; empty where there is nothing to run."""
    if not demonstrations_id or not asked.methods:
        return "", ""
    commands, calls = (
        [f"export STEERING_STORE={shlex.quote(_store(context))}"],
        [
            "from steering import pipeline",
            "from steering.samples import open_store",
            "",
            f"store = open_store({_store(context)!r})",
        ],
    )
    changed = changed_settings(asked)
    for name in asked.methods:
        arguments = None
        if name in _NEED_HEADS:
            if not heads:
                continue
            arguments = _arguments(context, name, demonstrations_id, measure, heads, asked, origin)
            if arguments is None:
                continue
            commands.append(f"SELECTION=$({select_command(arguments, head_sets.digits_of(context, heads))})")
            calls.append(f"selection = pipeline.select(store, {keywords(arguments)})")
        method = "steering" if name in CONTROLS else name
        held = None if asked.heldout is None else heldout(context, demonstrations_id, asked)
        commands.append(
            finetune_command(demonstrations_id, method, arguments is not None, changed, held, _source(context))
        )
        given = {"demonstrations_id": demonstrations_id, "method": method}
        call = keywords(given) + (", selection_id=selection" if arguments is not None else "")
        call += f", settings={changed!r}" + ("" if held is None else f", heldout_episodes={held!r}")
        calls.append(f"adapter = pipeline.finetune(store, {call}, policy={_source(context)!r})")
    return "\n".join(commands), "\n".join(calls)


def _outlook(
    context: Context,
    name: str,
    demonstrations_id: str,
    measure: str,
    heads: Sequence[Head],
    settings: FinetuneSettings,
    origin: Origin | None,
) -> Outlook:
    size = context.size
    method = "steering" if name in CONTROLS else name
    try:
        chosen = heads_of(context, name, demonstrations_id, measure, heads, settings.seed)
        planned = size.plan(method, settings, chosen)
    except SteeringError as error:
        return Outlook(missing=without_places(str(error)))
    groups = size.groups(method, settings, chosen)
    total = sum(groups.values())
    off = _too_large(size.parameters) if name == "full" else ""
    return Outlook(
        parameters=groups,
        heads=len(chosen) if method in HEAD_RESTRICTED else None,
        share=total / size.parameters if size.parameters else None,
        training=None if off else estimate_of(context, method, settings, chosen),
        rank=planned.rank if planned.rank != settings.rank else None,
        notices=planned.notices,
        off=off,
        **_origin(context, name, demonstrations_id, measure, origin),
    )


def _origin(context: Context, name: str, demonstrations_id: str, measure: str, origin: Origin | None) -> dict[str, str]:
    """Where the heads of a method come from, and what is to be known of it where that is not what is open."""
    if name not in _NEED_HEADS:
        return {}
    if name in CONTROLS:
        origin = head_sets.by_rule(context, demonstrations_id, measure, name)
    own = origin is not None and origin.demonstrations == demonstrations_id
    judged = name not in CONTROLS and name in HEAD_RESTRICTED
    remark = "" if own or not judged else pipeline.origin_notice(origin, demonstrations_id)
    return {"origin": origin_words(origin), "remark": remark}


def _too_large(parameters: int | None) -> str:
    """Why a full finetune does not fit; empty where it does, or where a GPU decides when it starts."""
    if parameters is None:
        return "The weights of this policy are not here, so its size is not known."
    need, free = parameters * FULL_BYTES, system_bytes()
    if need <= free or _GPU.is_dir():
        return ""
    return (
        f"Needs about {need / 1e9:.1f} GB of memory ({FULL_BYTES} bytes a parameter); {free / 1e9:.1f} GB are "
        "free here. Use a machine with more memory, a smaller policy, or one of the others."
    )


def _selection(
    context: Context,
    name: str,
    demonstrations_id: str,
    measure: str,
    heads: Sequence[Head],
    asked: Asked,
    origin: Origin | None,
) -> str | None:
    if name not in _NEED_HEADS:
        return None
    heads_of(context, name, demonstrations_id, measure, heads, asked.settings.seed)  # says what is missing
    arguments = _arguments(context, name, demonstrations_id, measure, heads, asked, origin)
    if arguments is None:
        raise measures.no_scores(context, demonstrations_id)
    return pipeline.select(context.store, **arguments)


def _arguments(
    context: Context,
    name: str,
    demonstrations_id: str,
    measure: str,
    heads: Sequence[Head],
    asked: Asked,
    origin: Origin | None,
) -> SelectArguments | None:
    """Arguments of `pipeline.select` for a method's heads; None where nothing is scored."""
    relevance_id = measures.relevance_id(context, demonstrations_id, measure)
    if relevance_id is None:
        return None
    rows: list[list[str | int]] = [[head.stack, head.layer, head.head] for head in sorted(heads)]
    if name not in CONTROLS:
        return {"relevance_id": relevance_id, "rule": "manual", "heads": rows, "origin": origin_word(origin)}
    given: SelectArguments = {"relevance_id": relevance_id, "rule": name, "count": len(heads)}
    given["stacks"] = list(_stacks(heads))
    if name == "random":
        given["seed"] = asked.settings.seed
    if name == "other_task":
        given["other_id"] = choosing.other_relevance(context, demonstrations_id, measure)
    return given


def _source(context: Context) -> str:
    """The policy in use as a command elsewhere names it, where a hub id is fetched with one's own login."""
    return place(hub.shown(context.policy))


def _store(context: Context) -> str:
    return place(str(context.store.root))


def _stacks(heads: Sequence[Head]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(head.stack for head in in_order(heads)))
