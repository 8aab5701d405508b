"""What the grid's results say: tables beside the paper's numbers, for Markdown and the page, and where they agree.

Rates are pooled over training seeds, whose own rates stand beside them; see `steering.evidence.results`. Holm's
correction runs over all pairs of a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from steering.comparison.paired import holm
from steering.evidence import paper
from steering.evidence.conditions import BASELINE, OURS, paper_cells, paper_conditions, where, words
from steering.evidence.grid import METHODS, TASKS, TRAINED_FOR_UNSEEN, UNSEEN_TASK, VARIATIONS, VARIED_TASK, parse_cell
from steering.evidence.inference import MARGIN, power
from steering.evidence.inference import holm as corrected
from steering.evidence.results import Condition, Results
from steering.evidence.seeds import by_seed
from steering.types import FAILURES, PairedTest, SuccessRate, p_number, p_words

LEVEL = 0.05


@dataclass(frozen=True)
class Table:
    """Titles of the columns, and rows of texts; rows without any figure are left out."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A part of the evidence: a table, or sentences."""

    title: str
    table: Table | None = None
    lines: tuple[str, ...] = ()


def sections(results: Results) -> tuple[Section, ...]:
    """The whole evidence of the grid; parts without any figure are left out."""
    found = (
        Section("Beside the paper", paper_table(results)),
        Section("What agrees and what does not", lines=tuple(agreement(results))),
        Section("Success by task", success_table(results)),
        Section("Variations and the unseen task", variation_table(results)),
        Section("Paired tests", test_table(results)),
        Section("With the training seed as the unit", seed_table(results)),
        Section("How the methods were made", lines=tuple(method_notes(results))),
        Section("Cost (median of the cells)", cost_table(results)),
        Section("Success against the number of heads", curve_table(results, "heads")),
        Section("Success against the number of demonstrations", curve_table(results, "demonstrations")),
        Section("How failures failed", failure_table(results)),
    )
    return tuple(one for one in found if one.lines or (one.table and one.table.rows))


def document(results: Results) -> str:
    """The whole evidence of the grid as one Markdown page."""
    made = (
        "`python -m steering evidence grid` makes this page and the cells that are missing; any cell anew: add "
        "`--cell task/method/seed --out FOLDER`."
    )
    parts = [f"# The paper's cells in the twin\n\n{made}", *_settings(results)]
    for one in sections(results):
        body = markdown(one.table) if one.table else "\n".join(f"- {line}" for line in one.lines)
        parts.append(f"## {one.title}\n\n{body}")
    return "\n\n".join(parts)


def _settings(results: Results) -> Iterator[str]:
    """What the cells share; those of the curves differ in heads or demonstrations."""
    plain = [cell["settings"] for cell in results.cells if "@" not in cell["cell"]]
    for one in plain[:1]:
        yield (
            f"Every cell, if not said otherwise: {one['demonstrations']} demonstrations, the last tenth of them held "
            f"out of training; {one['heads']} heads by the paper's score; {one['steps']} steps of {one['batch_size']} "
            f"frames; rank {one['rank']}; {one['trials']} scenes a condition, the same for all methods. Intervals: "
            "Wilson, 95 %, pooled over training seeds, a little narrow, for runs in one scene are not independent. "
            "Tests: runs of one seed are paired and whole scenes flip their sign (exact; with one seed, McNemar's); "
            "they speak of the runs that were made, not of those that other seeds would give."
        )


def markdown(table: Table) -> str:
    """The table in Markdown; empty without rows."""
    if not table.rows:
        return ""
    lines = (table.titles, ["---"] * len(table.titles), *table.rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def success_table(results: Results) -> Table:
    """Task by method: pooled success with its Wilson interval."""
    rows = [[METHODS[m].label, *(_rate(results, m, (t, t, ())) for t in TASKS)] for m in METHODS]
    return _table(["Method", *map(words, TASKS)], rows)


def variation_table(results: Results) -> Table:
    """Method by variation of one task, and the task that no training saw."""
    where: list[Condition] = [(VARIED_TASK, VARIED_TASK, (v,)) for v in VARIATIONS]
    where.append((TRAINED_FOR_UNSEEN, UNSEEN_TASK, ()))
    titles = [f"{words(VARIED_TASK)}, {v}" for v in VARIATIONS]
    titles.append(f"{words(UNSEEN_TASK)} (trained on {words(TRAINED_FOR_UNSEEN)})")
    return _table(["Method", *titles], [[METHODS[m].label, *(_rate(results, m, c) for c in where)] for m in METHODS])


def paired_tests(results: Results) -> list[tuple[Condition, PairedTest]]:
    """Robotic Steering on VLM heads against every other method, under every condition, with Holm over all of them."""
    found = []
    for condition in paper_conditions(results):
        for method in METHODS:
            test = results.test(method, OURS, condition) if method != OURS else None
            if test is not None:
                found.append((condition, test))
    corrected = holm([test for _, test in found])
    return [(condition, test) for (condition, _), test in zip(found, corrected, strict=True)]


def test_table(results: Results) -> Table:
    """Every paired test in a row."""
    rows = [
        [
            where(condition),
            METHODS[test.first].label,
            str(test.only_second),
            str(test.only_first),
            p_number(test.p),
            p_number(test.p_holm),
        ]
        for condition, test in paired_tests(results)
    ]
    titles = ["Condition", f"{METHODS[OURS].label} against", "Only it", "Only the other", "p (scenes)", "After Holm"]
    return _table(titles, rows)


def seed_table(results: Results) -> Table:
    """Robotic Steering − LoRA over training seeds: t interval, p, TOST's p, both after Holm, and power."""
    found = by_seed(results)
    different = corrected({name: one.p for name, one in found.items()})
    equal = corrected({name: one.p_equal for name, one in found.items()})
    rows = [
        [
            name,
            f"{round(100 * one.difference):+d}",
            f"{round(100 * one.low):+d} to {round(100 * one.high):+d}",
            str(one.seeds),
            p_number(different[name]),
            p_number(equal[name]),
            f"{power(MARGIN, one.spread, one.seeds):.2f}" if one.spread else "",
        ]
        for name, one in found.items()
    ]
    points = f"{100 * MARGIN:.0f} points"
    titles = [
        "Condition",
        "Steering − LoRA (points)",
        "95 % over seeds",
        "Seeds",
        "p (Holm)",
        f"p, {points} apart (Holm)",
    ]
    return _table([*titles, f"Power for {points}"], rows)


def cost_table(results: Results) -> Table:
    """What each method costs, the median of its cells."""
    rows = []
    for method, how in METHODS.items():
        cost = results.cost(method)
        if cost is None:
            continue
        total = cost["extraction_s"] + cost["selection_s"] + cost["train_s"]
        rows.append(
            [
                how.label,
                f"{cost['trainable_parameters']:,.0f}",
                f"{cost['extraction_s']:.0f}",
                f"{cost['selection_s']:.0f}",
                f"{cost['train_s']:.0f}",
                f"{total:.0f}",
                f"{cost['peak_memory_mb']:.0f}",
            ]
        )
    titles = ["Method", "Trainable parameters", "Extraction (s)", "Selection (s)", "Training (s)", "All (s)"]
    return _table([*titles, "Peak memory (MB)"], rows)


def paper_table(results: Results) -> Table:
    """The paper's LoRA and Robotic Steering beside the twin's, cell by cell."""
    rows = []
    for condition, (lora, steering) in paper_cells() if results.cells else ():
        ours = [results.rate(method, condition) for method in (BASELINE, OURS)]
        gain = f"{round(100 * (ours[1].rate - ours[0].rate)):+d}" if ours[0] and ours[1] else ""
        rows.append(
            [
                where(condition),
                f"{lora:g}",
                f"{steering:g}",
                f"{steering - lora:+g}",
                *(f"{100 * one.rate:.0f}" if one else "" for one in ours),
                gain,
            ]
        )
    titles = [
        "Success (%)",
        "Paper: LoRA",
        "Paper: Steering",
        "Gain",
        "Twin: LoRA",
        "Twin: Steering (VLM heads)",
        "Gain",
    ]
    return _table(titles, rows)


def agreement(results: Results) -> list[str]:
    """Whether the twin shows each claim of the paper, the contrary, or no difference; then what each control shows."""
    tests = paired_tests(results)
    tested = {condition: test for condition, test in tests if test.first == BASELINE}
    lines = []
    for condition, (lora, steering) in paper_cells():
        test = tested.get(condition)
        if test is None:
            continue
        claim = f"{where(condition)}: the paper has Robotic Steering above LoRA by {steering - lora:g} points"
        pairs = zip(results.by_seed(OURS, condition), results.by_seed(BASELINE, condition), strict=False)
        gains = ", ".join(f"{100 * (ours - theirs):+.0f}" for ours, theirs in pairs)
        found = f"{gains} points by seed, p {p_words(test.p_holm)} after Holm"
        if test.p_holm >= LEVEL:
            verdict = "the twin shows no difference"
        else:
            verdict = "the twin agrees" if test.only_second > test.only_first else "the twin shows the contrary"
        lines.append(f"{claim}; {verdict} ({found}).")
    return [
        *lines,
        *_cost_claims(results),
        *(_against(one, tests, results) for one in _others(tests)),
        *_swing(results),
    ]


def _cost_claims(results: Results) -> Iterator[str]:
    costs = [results.cost(method) for method in (BASELINE, OURS)]
    if not costs[0] or not costs[1]:
        return
    fewer = costs[0]["trainable_parameters"] / max(costs[1]["trainable_parameters"], 1)
    yield (
        f"Trainable parameters: {paper.PARAMETERS[0] / paper.PARAMETERS[1]:.1f} times fewer in the paper, "
        f"{fewer:.1f} times in the twin, where LoRA trains the feed-forward layers too."
    )
    training = results.seconds_ratio(OURS, BASELINE, ("train_s",))
    everything = results.seconds_ratio(OURS, BASELINE, ("extraction_s", "selection_s", "train_s"))
    if training and everything:
        yield (
            f"Time: {100 * (1 - paper.TRAIN_MIN[1] / paper.TRAIN_MIN[0]):.0f} % less in the paper (training alone); in "
            f"the twin {_less(*training)} in training, {_less(*everything)} with extraction and selection (median over "
            "pairs of cells, with quartiles)."
        )


def method_notes(results: Results) -> Iterator[str]:
    """What a reader of the names should know of how the methods were made, from the cells themselves."""
    made = {(cell["cell"]): cell for cell in results.cells if "@" not in cell["cell"]}
    expert = [sum(h[0] == "expert" for h in c["heads"]) for key, c in made.items() if "/steering_both/" in key]
    if expert:
        yield (
            f"{METHODS['steering_both'].label}: one ranking of both stacks' scores, which are not on one scale: "
            f"{min(expert)} to {max(expert)} of its heads are expert heads."
        )
    matched = [
        cell["cost"]["trainable_parameters"] / made[ours]["cost"]["trainable_parameters"]
        for key, cell in made.items()
        if "/lora_rank_matched/" in key and (ours := key.replace("lora_rank_matched", OURS)) in made
    ]
    if matched:
        yield (
            f"{METHODS['lora_rank_matched'].label}: the whole rank that comes nearest, {min(matched):.2f} to "
            f"{max(matched):.2f} times the trainable parameters of {METHODS[OURS].label}."
        )
    if any("/random/" in key for key in made):
        yield (
            f"{METHODS['random'].label}: drawn outside the chosen heads wherever a layer has enough others, so that "
            "the two sets share as little as they can."
        )


def _others(tests: Sequence[tuple[Condition, PairedTest]]) -> list[str]:
    found = {test.first for _, test in tests}
    return [method for method in METHODS if method in found and method not in (BASELINE, "zero_shot")]


def _against(other: str, tests: Sequence[tuple[Condition, PairedTest]], results: Results) -> str:
    """In how many conditions `OURS` is better and worse than `other` after Holm."""
    pairs = [(condition, test) for condition, test in tests if test.first == other]
    shown = [test for _, test in pairs if test.p_holm < LEVEL]
    better = sum(test.only_second > test.only_first for test in shown)
    alone = all(len(results.by_seed(other, condition)) == 1 for condition, _ in pairs)
    return (
        f"{METHODS[OURS].label} against {METHODS[other].label}: better in {better} of {len(pairs)} conditions, worse "
        f"in {len(shown) - better}, no difference shown in {len(pairs) - len(shown)}{' (one training seed)' * alone}."
    )


def _swing(results: Results) -> Iterator[str]:
    """How far the training seeds of one method lie apart at most."""
    every = [(method, condition) for method in METHODS for condition in paper_conditions(results)]
    apart = [(max(rates) - min(rates), one) for one in every if len(rates := results.by_seed(*one)) > 1]
    if apart:
        points, (method, condition) = max(apart)
        said = ", ".join(f"{100 * rate:.0f}" for rate in results.by_seed(method, condition))
        yield (
            f"Training seeds of one method lie up to {100 * points:.0f} points apart ({METHODS[method].label}, "
            f"{where(condition)}: {said} %): single runs that differ by less say little."
        )


def curve(results: Results, axis: str) -> dict[str, list[tuple[int, SuccessRate]]]:
    """Method -> (number of heads or demonstrations, success), in rising order. The settings' own number counts too."""
    found: dict[str, dict[int, SuccessRate]] = {}
    task = next((parse_cell(c["cell"]).task for c in results.cells if f"@{axis}=" in c["cell"]), None)
    for cell in results.cells:
        made = parse_cell(cell["cell"])
        if made.task != task or (made.variant != made.method and f"@{axis}=" not in made.variant):
            continue
        rate = results.rate(made.variant, (made.task, made.task, ()))
        if rate is not None and METHODS[made.method].finetune != "zero_shot":
            found.setdefault(made.method, {})[cell["settings"][axis]] = rate
    return {method: sorted(points.items()) for method, points in found.items() if len(points) > 1}


def curve_table(results: Results, axis: str) -> Table:
    """Success against `heads` or `demonstrations`."""
    lines = curve(results, axis)
    numbers = sorted({number for points in lines.values() for number, _ in points})
    rows = [[METHODS[m].label, *(_percent(dict(points).get(n)) for n in numbers)] for m, points in lines.items()]
    return _table(["Method", *(f"{number} {axis}" for number in numbers)], rows)


def failure_table(results: Results) -> Table:
    """Kinds of failure of each method, over the five tasks as trained."""
    rows = []
    for method, how in METHODS.items():
        runs = [one for task in TASKS for one in results.details(method, (task, task, ()))]
        kinds = [kind for one in runs for kind in one["failure"]]
        if runs:
            rows.append([how.label, str(len(kinds)), *(str(kinds.count(kind) or "") for kind in FAILURES)])
    return _table(["Method", "Episodes", *FAILURES.values()], rows)


def _rate(results: Results, method: str, condition: Condition) -> str:
    rates = results.by_seed(method, condition)
    seeds = f"; seeds {', '.join(f'{100 * rate:.0f}' for rate in rates)}" if len(rates) > 1 else ""
    return _percent(results.rate(method, condition), seeds)


def _percent(rate: SuccessRate | None, more: str = "") -> str:
    if rate is None:
        return ""
    return f"{100 * rate.rate:.0f} % ({100 * rate.low:.0f} to {100 * rate.high:.0f}; n = {rate.trials}{more})"


def _less(ratio: float, low: float, high: float) -> str:
    """E.g. `26 % less (19 to 32)`; low, high: quartiles of the ratio."""
    return f"{100 * (1 - ratio):.0f} % less ({100 * (1 - high):.0f} to {100 * (1 - low):.0f})"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    return Table(tuple(titles), tuple(tuple(row) for row in rows if any(row[1:])))
