"""The report of a book in Markdown: rates with Wilson intervals by condition, verdicts, progress, and what was void."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from steering.comparison.intervals import success_rate
from steering.trials.book import Book
from steering.trials.progress import progress_verdicts, progress_words
from steering.trials.verdict import verdicts, words
from steering.types import Trial, TrialPlan


def report(book: Book, names: Mapping[str, str] | None = None) -> str:
    """Everything that the trials show. names: method -> what people call it."""
    plan, trials = book.plan, book.trials()
    counted = [trial for trial in trials if trial.outcome != "void"]
    called = {method: (names or {}).get(method, method) for method in plan.methods}
    lines = [f"# Trials of {', '.join(called.values())}", ""]
    lines += [f"- {line}" for line in sentences(plan, trials, called)]
    lines += [
        "",
        f"Evidence holds at every look up to the plan's end: {100 * plan.alpha:.3g} % is the chance that a difference "
        "is shown where there is none, however often somebody looks. The difference's interval holds at every look "
        "too; being made for every size it is wider than the test, and may still hold zero. Intervals of rates are "
        "Wilson's.",
        "",
    ]
    if plan.stages:
        lines += [f"Progress is tested apart, with another {100 * plan.alpha:.3g} %.", ""]
    lines += ["| method | condition | success | 95 % interval | progress |", "|---|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows(book, names)]
    void = len(trials) - len(counted)
    lines += ["", f"{len(counted)} trials of {len(book.slots)} planned; void and run again: {void}."]
    if book.unblinded:
        lines += ["Methods' names were asked for before the end: later trials were not blinded."]
    notes = [f"- block {t.slot.block}, {called[t.slot.method]}, {t.outcome}: {t.note}" for t in trials if t.note]
    return "\n".join([*lines, *(["", "## Notes", "", *notes] if notes else [])]) + "\n"


def sentences(plan: TrialPlan, trials: Sequence[Trial], names: Mapping[str, str] | None = None) -> list[str]:
    """What the trials say of success, then of progress. names: as `verdict.words` takes them."""
    success = [words(one, plan, names) for one in verdicts(plan, trials)]
    return [*success, *(progress_words(one, names) for one in progress_verdicts(plan, trials))]


def rows(book: Book, names: Mapping[str, str] | None = None) -> list[tuple[str, str, str, str, str]]:
    """Method, condition, successes, Wilson interval and mean progress, in words; of all conditions first."""
    plan = book.plan
    counted = [trial for trial in book.trials() if trial.outcome != "void"]
    conditions = ("all", *plan.conditions) if len(plan.conditions) > 1 else plan.conditions
    found = []
    for method in plan.methods:
        for condition in conditions:
            own = [t for t in counted if t.slot.method == method and condition in ("all", t.slot.condition)]
            if own:
                found.append(((names or {}).get(method, method), condition, *_rate(plan, own)))
    return found


def _rate(plan: TrialPlan, trials: list[Trial]) -> tuple[str, str, str]:
    rate = success_rate("", np.array([trial.outcome == "success" for trial in trials]))
    reached = [trial.progress for trial in trials if trial.progress is not None]
    progress = f"{np.mean(reached):.1f} of {len(plan.stages)}" if reached and plan.stages else ""
    return f"{rate.successes} of {rate.trials}", f"{100 * rate.low:.0f} to {100 * rate.high:.0f} %", progress
