"""What the Finetune step asks for: its form, what each method would train, take and need, and the equal command.

Part of the gateway. Counting comes from `app.costs`, seconds and memory from `app.training_estimate`; a whole answer
takes some milliseconds on the embedded policy and some tens at π0's size. No torch.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import session
from app.training_estimate import estimate_of
from app.views.finetune import CONTROL_LABELS
from app.views.laboratory_menu import TrainingEstimate
from steering import pipeline
from steering.errors import InputError, SteeringError
from steering.finetune.plan import FULL_BYTES
from steering.finetune.presets import PRESETS
from steering.models.free_memory import system_bytes
from steering.types import FFN_CHOICES, METHOD_LABELS, METHODS_OF_HEADS, PRECISIONS, STACKS, FinetuneSettings, Head

if TYPE_CHECKING:
    from app.service import Workbench

CONTROLS = ("random", "bottom", "other_task")
OFFERS = ("steering", "lora", "lora_rank_matched", "dense_heads", *CONTROLS, "full")
RANKS = (2, 4, 8, 16, 32, 64)
BATCHES = (4, 8, 16, 24, 32, 64)
MAX_STEPS = 3000
MAX_HELDOUT = 100
_GPU = Path("/proc/driver/nvidia/gpus")
_NEED_HEADS = ("steering", "lora_rank_matched", "dense_heads", *CONTROLS)


@dataclass(frozen=True)
class Asked:
    """The form. preset: what `settings` started from. heldout: the last so many episodes; None: a tenth."""

    methods: tuple[str, ...] = ("steering", "lora")
    preset: str = "default"
    settings: FinetuneSettings = FinetuneSettings()
    heldout: int | None = None


@dataclass(frozen=True)
class Running:
    """A training that runs, in its newest numbers; None before they are known."""

    name: str
    step: int
    steps: int
    left_s: float | None
    samples_per_s: float | None
    peak_memory_mb: float | None
    loss: float | None
    heldout: float | None


@dataclass(frozen=True)
class Outlook:
    """What a method would train and take. parameters: group -> count. off: why it cannot be trained, empty where it
    can; missing: what it still needs, such as heads. rank: of its adapters where it is another than asked.
    """

    parameters: Mapping[str, int] = dataclasses.field(default_factory=dict)
    heads: int | None = None
    share: float | None = None
    training: TrainingEstimate | None = None
    rank: int | None = None
    notices: tuple[str, ...] = ()
    missing: str = ""
    off: str = ""

    @property
    def total(self) -> int:
        """Trainable parameters."""
        return sum(self.parameters.values())


def read(form: Mapping[str, Any]) -> Asked:
    """The form's fields, each within its bounds: they come from the client."""
    preset = next((name for name in PRESETS if name == form.get("preset")), "default")
    base = PRESETS[preset]

    def among(name: str, choices: Sequence[Any]) -> Any:
        return next((choice for choice in choices if str(choice) == str(form.get(name))), getattr(base, name))

    def whole(name: str, low: int, high: int) -> int:
        return session.whole(form.get(name), low, high, getattr(base, name))

    def real(name: str, low: float, high: float, default: float) -> float:
        try:
            value = float(str(form.get(name)))
        except ValueError:
            return default
        return min(max(value, low), high) if math.isfinite(value) else default

    steps, batch, rank = whole("steps", 1, MAX_STEPS), among("batch_size", BATCHES), among("rank", RANKS)
    settings = FinetuneSettings(
        steps=steps,
        batch_size=batch,
        rank=rank,
        alpha=real("alpha", 0.1, 1024, base.alpha / base.rank * rank),  # unset it follows the rank
        learning_rate=real("learning_rate", 1e-7, 0.1, base.learning_rate),
        warmup_steps=min(base.warmup_steps, max(1, steps // 5)),
        noise_samples=whole("noise_samples", 1, 16),
        seed=whole("seed", 0, 999_999),
        shared_kv="shared_kv" in _ticked(form, base.shared_kv, "shared_kv"),
        ffn=among("ffn", FFN_CHOICES),
        projections="projections" in _ticked(form, base.projections, "projections"),
        accumulation=min(whole("accumulation", 1, 64), batch),
        precision=among("precision", PRECISIONS),
        keep_best="keep_best" in _ticked(form, base.keep_best, "keep_best"),
        patience=session.whole(form.get("patience"), 0, 50, 0) or None,
    )
    methods = Asked().methods if "methods" not in form else tuple(session.names(form["methods"], OFFERS))
    heldout = session.whole(form["heldout"], 0, MAX_HELDOUT, 0) if str(form.get("heldout", "")).strip() else None
    return Asked(methods, preset, settings, heldout)


def _ticked(form: Mapping[str, Any], default: bool, name: str) -> Sequence[str]:
    found = form.get("options")
    return found if isinstance(found, list) else [name] * default


def fields(asked: Asked) -> dict[str, Any]:
    """The form's fields of `asked`, as the browser keeps them: `read` takes them back."""
    values = asdict(asked.settings)
    options = [name for name in ("shared_kv", "projections", "keep_best") if values.pop(name)]
    values.pop("warmup_steps"), values.pop("evaluations")
    base = PRESETS[asked.preset]
    if asked.settings.alpha == base.alpha / base.rank * asked.settings.rank:
        values["alpha"] = ""
    values["patience"] = values["patience"] or 0
    values["heldout"] = "" if asked.heldout is None else asked.heldout
    return {
        **{k: str(v) for k, v in values.items()},
        "options": options,
        "methods": list(asked.methods),
        "preset": asked.preset,
    }


def from_preset(asked: Asked, preset: str) -> Asked:
    """The form with the settings of a preset; methods, seed and held-out episodes stay."""
    settings = dataclasses.replace(PRESETS[preset], seed=asked.settings.seed)
    return dataclasses.replace(asked, preset=preset, settings=settings)


class Training:
    """Answers of the Finetune step over the workbench `bench`."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def outlook(self, demonstrations_id: str, measure: str, heads: Sequence[Head], asked: Asked) -> dict[str, Outlook]:
        """Method -> what it would train and take, for every method on offer."""
        return {name: self._outlook(name, demonstrations_id, measure, heads, asked.settings) for name in OFFERS}

    def _outlook(
        self, name: str, demonstrations_id: str, measure: str, heads: Sequence[Head], settings: FinetuneSettings
    ) -> Outlook:
        size = self._bench.size
        method = "steering" if name in CONTROLS else name
        try:
            chosen = self.heads_of(name, demonstrations_id, measure, heads, settings.seed)
            planned = size.plan(method, settings, chosen)
        except SteeringError as error:
            return Outlook(missing=str(error))
        groups = size.groups(method, settings, chosen)
        total = sum(groups.values())
        off = self._too_large(size.parameters) if name == "full" else ""
        return Outlook(
            parameters=groups,
            heads=len(chosen) if method in METHODS_OF_HEADS and method != "lora_rank_matched" else None,
            share=total / size.parameters if size.parameters else None,
            training=None if off else estimate_of(self._bench, method, settings, chosen),
            rank=planned.rank if planned.rank != settings.rank else None,
            notices=planned.notices,
            off=off,
        )

    @staticmethod
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

    def heads_of(
        self, name: str, demonstrations_id: str, measure: str, heads: Sequence[Head], seed: int
    ) -> tuple[Head, ...]:
        """The heads that a method trains: the selected ones, those of a control, or none where it takes all."""
        if name not in _NEED_HEADS:
            return ()
        if not heads:
            raise InputError("No head is selected. Select heads on the map first.")
        if name not in CONTROLS:
            return tuple(heads)
        relevance = self._bench.relevance(demonstrations_id, measure)
        if relevance is None:
            raise InputError("A control needs scores of the heads. Press Find heads first.")
        from steering.selection import controls, rules

        count, stacks = len(heads), _stacks(heads)
        if name == "random":
            best = rules.top_k(relevance, count, stacks)
            return controls.random_heads(best, self._bench.size.head_shape, seed, relevance.inert).heads
        if name == "bottom":
            return controls.bottom(relevance, count, stacks).heads
        return self._bench.laboratory.other_task(demonstrations_id, measure, count, stacks)

    def start(self, owner: str, demonstrations_id: str, measure: str, heads: Sequence[Head], asked: Asked) -> list[str]:
        """Queue a finetune of each method; ids of the jobs."""
        if not demonstrations_id:
            raise InputError("Open demonstrations first.")
        if not asked.methods:
            raise InputError("Tick at least one method to train.")
        off = self._too_large(self._bench.size.parameters) if "full" in asked.methods else ""
        if off:
            raise InputError(f"A full finetune does not fit. {off}")
        held = self.heldout(demonstrations_id, asked)
        chosen = [(name, self._selection(name, demonstrations_id, measure, heads, asked)) for name in asked.methods]
        return [
            self._bench.jobs.submit(
                "finetune",
                owner=owner,
                demonstrations_id=demonstrations_id,
                method="steering" if name in CONTROLS else name,
                selection_id=selection_id,
                settings=asdict(asked.settings),
                policy=self._bench.policy,
                **({} if held is None else {"heldout_episodes": held}),
            )
            for name, selection_id in chosen
        ]

    def heldout(self, demonstrations_id: str, asked: Asked) -> list[int] | None:
        """Indices of the held-out episodes; None: as the training chooses. Raises InputError where none is left."""
        if asked.heldout is None:
            return None
        count = len(self._bench.card(demonstrations_id).frames)
        if asked.heldout >= count:
            raise InputError(
                f"These are {count} episodes, and {asked.heldout} of them held out leave none to train on. Lower it."
            )
        return list(range(count - asked.heldout, count))

    def _selection(
        self, name: str, demonstrations_id: str, measure: str, heads: Sequence[Head], asked: Asked
    ) -> str | None:
        if name not in _NEED_HEADS:
            return None
        self.heads_of(name, demonstrations_id, measure, heads, asked.settings.seed)  # says what is missing
        arguments = self._arguments(name, demonstrations_id, measure, heads, asked)
        if arguments is None:
            raise InputError("Selected heads need scores of these demonstrations. Press Find heads first.")
        return pipeline.select(self._bench.store, **arguments)

    def _arguments(
        self, name: str, demonstrations_id: str, measure: str, heads: Sequence[Head], asked: Asked
    ) -> dict[str, Any] | None:
        """Arguments of `pipeline.select` for a method's heads; None where nothing is scored."""
        relevance_id = self._bench.relevance_id(demonstrations_id, measure)
        if relevance_id is None:
            return None
        rows = [[head.stack, head.layer, head.head] for head in sorted(heads)]
        if name not in CONTROLS:
            return {"relevance_id": relevance_id, "rule": "manual", "heads": rows}
        given: dict[str, Any] = {"relevance_id": relevance_id, "rule": name, "count": len(heads)}
        given["stacks"] = list(_stacks(heads))
        if name == "random":
            given["seed"] = asked.settings.seed
        if name == "other_task":
            given["other_id"] = self._bench.laboratory.other_relevance(demonstrations_id, measure)
        return given

    def running(self, owner: str) -> list[Running]:
        """The trainings of an owner that run now."""
        found = []
        for status in self._bench.jobs.recent(owner):
            if status.function == "finetune" and status.state == "running" and status.metrics:
                newest = status.metrics[-1]
                errors = [one["heldout_error"] for one in status.metrics if "heldout_error" in one]
                found.append(
                    Running(
                        name=self.name_of(status.arguments),
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

    def name_of(self, arguments: Mapping[str, Any]) -> str:
        """What people call the training of a job: its method, or the control that it is."""
        name = self.curve_of(arguments)
        return METHOD_LABELS.get(name, name)

    def curve_of(self, arguments: Mapping[str, Any]) -> str:
        """What the training of a job is called in figures: its method, or the label of the control that it is."""
        control = control_of(self._bench.store, arguments.get("selection_id"))
        return CONTROL_LABELS.get(control) or str(arguments.get("method", ""))

    def preview(self, demonstrations_id: str, measure: str, heads: Sequence[Head], asked: Asked) -> tuple[str, str]:
        """What does the same on the command line, and in Python; empty where there is nothing to run."""
        if not demonstrations_id or not asked.methods:
            return "", ""
        commands, calls = (
            [f"export STEERING_STORE={shlex.quote(self._store)}"],
            [
                "from steering import pipeline",
                "from steering.samples import open_store",
                "",
                f"store = open_store({self._store!r})",
            ],
        )
        changed = _changed(asked)
        for name in asked.methods:
            arguments = None
            if name in _NEED_HEADS:
                if not heads:
                    continue
                arguments = self._arguments(name, demonstrations_id, measure, heads, asked)
                if arguments is None:
                    continue
                commands.append(f"SELECTION=$({_select_command(arguments, self._bench.digits(heads))})")
                calls.append(f"selection = pipeline.select(store, {_keywords(arguments)})")
            method = "steering" if name in CONTROLS else name
            held = None if asked.heldout is None else self.heldout(demonstrations_id, asked)
            commands.append(_command(demonstrations_id, method, arguments is not None, changed, held, self._source))
            given: dict[str, Any] = {"demonstrations_id": demonstrations_id, "method": method}
            call = _keywords(given) + (", selection_id=selection" if arguments is not None else "")
            call += f", settings={changed!r}" + ("" if held is None else f", heldout_episodes={held!r}")
            calls.append(f"adapter = pipeline.finetune(store, {call}, policy={self._source!r})")
        return "\n".join(commands), "\n".join(calls)

    @property
    def _source(self) -> str:
        return self._bench.policy

    @property
    def _store(self) -> str:
        root = self._bench.store.root
        return str(root.relative_to(Path.cwd())) if root.is_relative_to(Path.cwd()) else str(root)


def control_of(store: Any, selection_id: object) -> str:
    """The control that a stored selection is, of CONTROLS; empty where it is none."""
    if not isinstance(selection_id, str):
        return ""
    try:
        rule = str(store.manifest(selection_id).params.get("rule"))
    except SteeringError:
        return ""
    return rule if rule in CONTROLS else ""


def _stacks(heads: Sequence[Head]) -> tuple[str, ...]:
    return tuple(stack for stack in STACKS if any(head.stack == stack for head in heads))


def _changed(asked: Asked) -> dict[str, Any]:
    """The settings as pipeline.finetune takes them: the preset, and what differs from it."""
    base = asdict(PRESETS[asked.preset])
    differing = {name: value for name, value in asdict(asked.settings).items() if value != base[name]}
    if "rank" in differing:  # on the command line alpha would follow it
        differing["alpha"] = asked.settings.alpha
    return {**({"preset": asked.preset} if asked.preset != "default" else {}), **differing}


def _keywords(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def _select_command(arguments: Mapping[str, Any], digits: str) -> str:
    words = ["python -m steering select", arguments["relevance_id"]]
    if arguments["rule"] == "manual":
        words += ["--hex", digits]
    else:
        words += ["--rule", arguments["rule"], "--count", str(arguments["count"])]
        words += [word for stack in arguments["stacks"] for word in ("--stack", stack)]
        words += ["--other", arguments["other_id"]] if "other_id" in arguments else []
        words += ["--seed", str(arguments["seed"])] if "seed" in arguments else []
    taken = "python -c 'import json, sys; print(json.load(sys.stdin)[\"artefact\"])'"
    return f"{' '.join(words)} | {taken}"


def _command(
    demonstrations_id: str, method: str, selected: bool, changed: Mapping[str, Any], held: list[int] | None, source: str
) -> str:
    words = ["python -m steering finetune", demonstrations_id, "--method", method]
    words += ["--selection $SELECTION"] if selected else []
    for name, value in changed.items():
        flag = f"--{name.replace('_', '-')}"
        if name == "warmup_steps":  # the command shortens it with the steps, as the form does
            continue
        words += [flag] if value is True else [flag, shlex.quote(str(value))]
    words += [word for episode in held or () for word in ("--heldout", str(episode))]
    words += [] if source == "embedded" else ["--policy", shlex.quote(source)]
    return " ".join(words)
