"""The figures of `steering.evidence.heads` in words and tables, in Markdown, ready for the notes. Instant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from steering.types import STACK_LABELS, STACKS, p_number

_MEASURES = {
    "paper": "k-NN, paper preset",
    "default": "k-NN, default preset",
    "ridge": "linear probe",
    "attribution_patching": "attribution patching",
    "gradient_activation": "gradient × activation",
}
PRESETS = ("paper", "default")


def report(document: Mapping[str, Any]) -> str:
    """The whole document as Markdown."""
    tasks, settings = document["tasks"], document["settings"]
    size = settings["set_size"]
    parts = [
        "## Heads: what relevance finds on the bench",
        f"{settings['demonstrations']} demonstrations a task, policy `{document['policy']['name']}` (weights "
        f"`{document['policy']['weights'][:12]}`), seed {settings['seed']}; sets of {size} heads. Scores are explained "
        "variance of held-out episodes: of the action under the paper preset, of what robot state and time leave open "
        "of it under the default. Ablation effects are increases of the flow-matching loss over "
        f"{settings['frames']} frames. A negative number means what it says.",
        *_section("Scores and chance", _scores(tasks)),
        *_section("The set as a whole, beside controls", _sets(tasks)),
        *_section("Relevance against the true effect of ablation", _agreement(tasks)),
        *_section("Does the chosen set matter more to the policy?", _concentration(tasks)),
        *_section("Inert heads", _inert(tasks)),
        *_section("Would other demonstrations choose the same heads?", _replication(tasks)),
        *(_section("What tasks share", _shared(document["between"])) if document["between"] else ()),
        *_section("Cost", _cost(tasks)),
    ]
    return "\n\n".join(parts) + "\n"


def _section(title: str, lines: Iterator[str]) -> tuple[str, str]:
    return f"### {title}", "\n".join(lines)


def _scores(tasks: Mapping[str, Any]) -> Iterator[str]:
    yield "Significant: family-wise p < 0.05, max-statistic over heads. In the null, what changes places"
    yield "between episodes is the action under the paper preset, what state and time leave open of it under default."
    yield "Frames that count: " + "; ".join(f"{_name(task)} {_frames(found)}" for task, found in tasks.items()) + "."
    yield ""
    columns = ("task", "preset", "heads of", "best head", "its score (95 %)", "median", "above 0", "significant", "k")
    rows = []
    for task, preset, stack, one in _stacks(tasks):
        low, high = one["best_interval"]
        rows.append(
            (
                _name(task),
                preset,
                STACK_LABELS[stack],
                one["best_head"],
                f"{one['best_score']:.3f} ({low:.3f} to {high:.3f})",
                f"{one['median_score']:.3f}",
                f"{one['above_zero']} of {one['movable']}",
                f"{one['above_null']} of {one['movable']}",
                one["best_k"],
            )
        )
    yield from _table(columns, rows)


def _sets(tasks: Mapping[str, Any]) -> Iterator[str]:
    yield "Explained variance of the concatenated set; the best were chosen on the same episodes, which flatters them."
    yield "Nested: error of episodes that took no part in the choice, as explained variance."
    yield ""
    columns = ("task", "preset", "heads of", "best", "nested", "random, same layers", "worst", "all heads")
    rows = []
    for task, preset, stack, one in _stacks(tasks):
        scores, zero = one["set_scores"], _zero(tasks[task]["presets"][preset], preset)
        nested = "" if preset == "paper" else f"{1 - one['set_error_when_chosen'] / zero:.3f}"
        random = scores["random"]
        rows.append(
            (
                _name(task),
                preset,
                STACK_LABELS[stack],
                f"{scores['best']:.3f}",
                nested,
                f"{sum(random) / len(random):.3f} ({min(random):.3f} to {max(random):.3f})",
                f"{scores['worst']:.3f}",
                f"{scores['all']:.3f}",
            )
        )
    yield from _table(columns, rows)


def _agreement(tasks: Mapping[str, Any]) -> Iterator[str]:
    yield "Spearman's ρ over the movable heads of a stack, 95 % bootstrap interval over heads. The loss may also fall"
    yield "when a head is ablated; the change of the predicted action has no sign."
    for kind, title in (("loss", "increase of the loss"), ("action", "change of the predicted action")):
        yield ""
        rows = []
        for task, found in tasks.items():
            for stack in STACKS:
                cells = [_interval(found["agreement"][kind][stack][name]) for name in _MEASURES]
                rows.append((_name(task), STACK_LABELS[stack], *cells))
        yield from _table((f"{title}: task", "heads of", *_MEASURES.values()), rows)


def _concentration(tasks: Mapping[str, Any]) -> Iterator[str]:
    yield "Mean increase of the loss when one head of the set is ablated, beside the mean over all heads of the stack."
    yield "p: share of random sets of the same size whose mean is as large."
    yield ""
    rows = []
    for task, preset, stack, one in _stacks(tasks):
        effect, loss = one["ablation_of_set"], tasks[task]["ablation"]["loss"]
        rows.append(
            (
                _name(task),
                preset,
                STACK_LABELS[stack],
                f"{effect['chosen']:.2e}",
                f"{effect['by_chance']:.2e}",
                f"{effect['p']:.3f}",
                f"{loss:.4f}",
            )
        )
    yield from _table(("task", "preset", "heads of", "chosen", "all", "p", "loss of the whole policy"), rows)
    yield ""
    largest_of: list[tuple[str, ...]] = []
    for task, found in tasks.items():
        for stack, one in found["ablation"]["stacks"].items():
            largest = ", ".join(f"{head} {effect:.1e}" for head, effect in one["largest"].items())
            largest_of.append((_name(task), STACK_LABELS[stack], largest, f"{one['clear']} of {one['movable']}"))
    yield from _table(("task", "heads of", "largest effects", "more than 2 standard errors above 0"), largest_of)


def _inert(tasks: Mapping[str, Any]) -> Iterator[str]:
    rows = []
    for task, found in tasks.items():
        one = found["inert"]
        heads = f"{one['heads'][0]} to {one['heads'][-1]} ({len(one['heads'])})" if one["heads"] else "none"
        rows.append(
            (
                _name(task),
                heads,
                f"{one['largest_gradient']:g}",
                f"{one['largest_effect']:g}",
                one["movable_without_gradient"],
            )
        )
    columns = ("task", "inert heads", "their largest gradient", "their largest effect", "other heads without gradient")
    yield from _table(columns, rows)


def _replication(tasks: Mapping[str, Any]) -> Iterator[str]:
    yield "Two independent recordings; as many demonstrations are drawn from each, scored apart and compared."
    yield "S of Nogueira: 1 = the same set, 0 = as random sets. ρ: Spearman over all movable heads. Means over draws;"
    yield "one draw where it takes the whole recording."
    yield ""
    counts = list(dict.fromkeys(n for *_, one in _stacks(tasks) for n in one["replication"]))
    if not counts:
        yield "No stack has more movable heads than the set takes."
        return
    of_counts = (f"{n} demonstrations" for n in counts)
    columns = ("task", "preset", "heads of", *of_counts, "S by bootstrap in one recording")
    rows = []
    for task, preset, stack, one in _stacks(tasks):
        cells = []
        for n in counts:
            found = one["replication"].get(n)
            cells.append(f"S {found['stability'][1]:.2f}, ρ {found['rho'][1]:.2f}" if found else "")
        rows.append((_name(task), preset, STACK_LABELS[stack], *cells, _interval_of(one["bootstrap_stability"])))
    yield from _table(columns, rows)


def _shared(between: Mapping[str, Any]) -> Iterator[str]:
    for name, one in between.items():
        preset, stack = name.split(" ")
        yield f"{STACK_LABELS[stack]}, {preset} preset: pairs of tasks."
        yield ""
        rows = [
            (
                f"{_name(pair['tasks'][0])} and {_name(pair['tasks'][1])}",
                pair["shared"],
                f"{pair['expected']:.1f}",
                f"{pair['jaccard']:.2f}",
                f"{pair['expected_jaccard']:.2f}",
                p_number(pair["p"]),
            )
            for pair in one["pairs"]
        ]
        yield from _table(("tasks", "shared", "by chance", "Jaccard", "by chance", "p"), rows)
        counted, expected = (one["heads_in_tasks"][key] for key in ("counted", "expected"))
        yield ""
        yield (
            "Heads in 0, 1, … of the tasks' sets: "
            + ", ".join(map(str, counted))
            + "; by chance "
            + ", ".join(f"{value:.1f}" for value in expected)
            + "."
        )
        yield ""


def _cost(tasks: Mapping[str, Any]) -> Iterator[str]:
    yield "Seconds by the wall, on the machine and under the load that made this."
    yield ""
    steps = list(dict.fromkeys(step for found in tasks.values() for step in found["seconds"]))
    rows = [
        (_name(task), *(f"{found['seconds'][step]:.0f}" for step in steps), f"{sum(found['seconds'].values()):.0f}")
        for task, found in tasks.items()
    ]
    yield from _table(("task", *(step.replace("_", " ") for step in steps), "all"), rows)


def _frames(found: Mapping[str, Any]) -> str:
    """How many frames each preset scores."""
    of_preset = (f"{name} {'keyframes' if one['keyframes'] else 'all'}" for name, one in found["presets"].items())
    return f"{found['frames']} ({', '.join(of_preset)})"


def _stacks(tasks: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
    for task, found in tasks.items():
        for preset in PRESETS:
            for stack in STACKS:
                yield task, preset, stack, found["presets"][preset]["stacks"][stack]


def _zero(preset: Mapping[str, Any], name: str) -> float:
    """Error of the baseline at which the preset's score is 0."""
    return float(preset["baselines"]["mean_action" if name == "paper" else "state_time"])


def _interval(values: Sequence[float]) -> str:
    middle, low, high = values
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def _interval_of(values: Sequence[float | None]) -> str:
    low, middle, high = values
    return "" if middle is None or low is None or high is None else _interval((middle, low, high))


def _name(task: str) -> str:
    return task.replace("_", " ")


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield "| " + " | ".join("" if cell is None else str(cell) for cell in row) + " |"
