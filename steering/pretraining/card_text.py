"""The model card's text, from measured figures only."""

from __future__ import annotations

from collections.abc import Mapping

Figures = Mapping[str, Mapping[str, Mapping[str, float]]]

_GROUPS = {
    "families": "Pretraining families, fresh scenes",
    "bench_zero_shot": "Bench tasks, zero-shot",
    "bench_adapted": "Bench tasks after 20 demonstrations with LoRA on all heads",
    "exterior_black": "Families, exterior camera blacked out",
    "both_black": "Families, both cameras blacked out",
    "other_colour": "Families, another colour named (success still counted for the first)",
}


def figures_table(figures: Figures) -> str:
    """Every group as a Markdown table: successes of trials and the 95 % Wilson interval, in percent."""
    parts = []
    for group, title in _GROUPS.items():
        cells = figures.get(group)
        if not cells:
            continue
        parts += [f"### {title}", "", "| | successes | rate | 95 % Wilson interval |", "|---|---|---|---|"]
        for name, cell in cells.items():
            rate = cell["successes"] / cell["trials"]
            interval = f"{cell['low']:.0%} to {cell['high']:.0%}"
            parts.append(f"| {name} | {cell['successes']:.0f} of {cell['trials']:.0f} | {rate:.0%} | {interval} |")
        total = sum(c["successes"] for c in cells.values()) / sum(c["trials"] for c in cells.values())
        parts += [f"| *mean* | | {total:.0%} | |", ""]
    return "\n".join(parts)


def insert_figures(card: str, figures: Figures) -> str:
    """`card` with the part between its two figure marks replaced. Raises ValueError when a mark is missing."""
    start, end = "<!-- figures -->", "<!-- /figures -->"
    before, found, rest = card.partition(start)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"Expected the marks {start} and {end} in the model card.")
    return f"{before}{start}\n\n{figures_table(figures)}\n{end}{after}"
