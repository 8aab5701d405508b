"""Results beyond the success bars: the table of cells, its paired tests, kinds of failure and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.answers.comparison import Compared
from app.views.markup import kept_table, text
from app.words import duration, label_of
from steering.types import (
    FAILURES,
    INSTRUCTIONS,
    Cell,
    CellTest,
    FinetuneResult,
    Outcomes,
    Rollouts,
    p_number,
)

LEVEL = 0.05


def name_of(method: str) -> str:
    """`label_of` as markup."""
    return text(label_of(method))


def method_attribute(method: str) -> str:
    """The attribute by which style sheets colour a method."""
    return f'data-method="{text(method.partition("/")[0])}"'


def swatch(method: str) -> str:
    """A method's name behind its colour."""
    return f'<i class="wb-swatch"></i>{name_of(method)}'


def below(cards: str) -> str:
    """Cards one under the other, beneath what is there."""
    return f'<div class="wb-below">{cards}</div>' if cards else ""


def tables(shown: Compared) -> str:
    """Every condition of the policies of a comparison, how they failed, and what they cost."""
    aside = (
        f'<div class="wb-pair">{failures_card(shown.comparison.outcomes)}{cost_card(shown.rollouts, shown.costs)}</div>'
    )
    return below(cells_card(shown.cells, shown.tests) + aside)


def cells_card(cells: Sequence[Cell], tests: Sequence[CellTest]) -> str:
    """Task × variations × words × method: success with its Wilson interval and how it went, then every paired test."""
    rows, before = "", ""
    named = any(cell.outcomes and cell.outcomes.named for cell in cells)
    for cell in cells:
        where = condition(cell.task, cell.variations, cell.instruction)
        rows += (
            f"<tr {method_attribute(cell.rate.method)}><td>{where if where != before else ''}</td>"
            f"<td>{swatch(cell.rate.method.partition('/')[0])}</td>"
            f"<td><b>{cell.rate.successes} of {cell.rate.trials}</b></td>"
            f"<td>{100 * cell.rate.low:.0f}–{100 * cell.rate.high:.0f} %</td>{_manner(cell.outcomes, named)}</tr>"
        )
        before = where
    head = (
        "<th>Condition</th><th>Method</th><th>Success</th><th>95 % interval</th>"
        '<th title="Control steps until success: median and quartiles">Steps to success</th>'
        '<th title="Mean over failures, from the end to the goal">Left at failure</th>'
        '<th title="Scenes in which a thing that the goal does not name was touched">Wrong thing touched</th>'
        + ('<th title="Scenes in which the goal that the changed words name was reached">Named goal</th>' * named)
    )
    table = f'<table class="wb-table wb-cells" data-named><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return (
        '<section class="wb-card wb-totals" data-testid="cells">'
        "<h2>Every condition that these policies were run under</h2>"
        f"{kept_table('conditions', table)}{_tests(tests)}</section>"
    )


def condition(task: str, variations: Sequence[str], instruction: str = "original") -> str:
    """What a policy was run under, in words."""
    said = [*variations, *([INSTRUCTIONS.get(instruction, instruction)] if instruction != "original" else [])]
    where = text(task.replace("_", " "))
    return where + (f" ({text(', '.join(said))})" if said else "")


def _manner(one: Outcomes | None, named: bool) -> str:
    if one is None:
        return "<td></td>" * (3 + named)
    steps = f"{one.steps[0]:.0f} ({one.steps[1]:.0f}–{one.steps[2]:.0f})" if one.steps else "none"
    left = f"{100 * one.distance_left_m:.1f} cm" if one.distance_left_m is not None else "none"
    reached = f"<td>{f'{one.named[0]} of {one.named[1]}' if one.named else ''}</td>" if named else ""
    return f"<td>{steps}</td><td>{left}</td><td>{one.wrong_object}</td>{reached}"


def _tests(tests: Sequence[CellTest]) -> str:
    if not tests:
        return ""
    rows = ""
    for one in tests:
        first, second = name_of(one.test.first), name_of(one.test.second)
        better = first if one.test.only_first > one.test.only_second else second
        shown = f"<b>{better} is better</b>" if one.test.p_holm < LEVEL else "no difference shown"
        rows += (
            f"<tr><td>{condition(one.task, one.variations)}</td><td>{first} and {second}</td>"
            f"<td>{one.test.only_first}</td><td>{one.test.only_second}</td><td>{_p(one.test.p)}</td>"
            f"<td>{_p(one.test.p_holm)}</td><td>{shown}</td></tr>"
        )
    count = f"{len(tests)} pair{'' if len(tests) == 1 else 's'}"
    table = (
        '<table class="wb-table wb-cells" data-named data-testid="paired-tests"><thead><tr><th>Condition</th>'
        "<th>Pair</th><th>Only the first</th><th>Only the second</th><th>p</th><th>p after Holm</th>"
        f"<th>Shown</th></tr></thead><tbody>{rows}</tbody></table>"
    )
    return (
        f'<details class="wb-more"><summary>Paired tests ({count})</summary>{kept_table("paired-tests", table)}'
        '<p class="wb-muted wb-note">Exact McNemar on the same scenes; Holm over all pairs of this table. “Only” '
        "counts scenes in which that one alone succeeded.</p></details>"
    )


def _p(p: float) -> str:
    return text(p_number(p))


def failures_card(outcomes: Sequence[Outcomes]) -> str:
    """Kinds of failure by method; empty where nothing failed or nothing is known."""
    kinds = [kind for kind in FAILURES if any(kind in one.failures for one in outcomes)]
    if not kinds:
        return ""
    most = max(max(one.failures.values(), default=0) for one in outcomes)
    head = "".join(f"<th {method_attribute(one.method)}>{swatch(one.method)}</th>" for one in outcomes)
    rows = ""
    for kind in kinds:
        counts = "".join(
            f'<td {method_attribute(one.method)}><span class="wb-count" style="--share:'
            f'{one.failures.get(kind, 0) / most:.2f}">{one.failures.get(kind, 0)}</span></td>'
            for one in outcomes
        )
        rows += f"<tr><td>{text(FAILURES[kind])}</td>{counts}</tr>"
    table = f'<table class="wb-table wb-cells"><thead><tr><th>Kind</th>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return (
        '<section class="wb-card wb-totals" data-testid="failures"><h2>How failures failed</h2>'
        f"{kept_table('failures', table)}"
        '<p class="wb-muted wb-note">From the simulator\'s ground truth: how far each failed episode came.</p>'
        "</section>"
    )


def cost_card(rollouts: Sequence[Rollouts], costs: Mapping[str, FinetuneResult | None]) -> str:
    """What each method cost. costs: method -> its finetune, None for methods without one."""
    rows = ""
    for one in rollouts:
        run = costs.get(one.method)
        cells = (
            (
                f"{run.trainable_parameters:,}",
                str(run.rank or "none"),
                str(len(run.loss)),
                duration(run.train_s),
                f"{run.peak_memory_mb:,.0f} MB" if run.peak_memory_mb else "not measured",
            )
            if run
            else ("0", "", "", "none", "")
        )
        shown = "".join(f"<td>{cell}</td>" for cell in (*cells, f"{one.wall_s / max(len(one.seeds), 1):.1f} s"))
        rows += f"<tr {method_attribute(one.method)}><td>{swatch(one.method)}</td>{shown}</tr>"
    titles = ("Method", "Trainable", "Rank", "Steps", "Training", "Memory", "A scene")
    head = "".join(f"<th>{title}</th>" for title in titles)
    table = f'<table class="wb-table wb-cells"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return (
        f'<section class="wb-card" data-testid="cost"><h2>Cost</h2>{kept_table("cost", table)}'
        '<p class="wb-muted wb-note">Trainable parameters; peak memory in training; wall time on the machine that '
        "ran it, whatever else ran beside it.</p></section>"
    )


def plain_table(titles: Sequence[str], rows: Sequence[Sequence[str]], name: str = "table") -> str:
    """A table of texts, kept as name.csv."""
    head = "".join(f"<th>{text(title)}</th>" for title in titles)
    body = "".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return kept_table(
        name, f'<table class="wb-table wb-cells"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    )
