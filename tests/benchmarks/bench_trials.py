"""Level and power of the tests that hold at every look, beside McNemar's exact test at a fixed end; by simulation.

    python tests/benchmarks/bench_trials.py [--runs 20000] [--quick]

Level: how often a difference is shown where there is none, looking after every block, over success rates and over how
alike the trials of a block are; and McNemar's test looked at after every block, which is what must not be done. Power:
how often a difference is shown, and after how many blocks, for the paper's cells and others, and by partial progress
beside success. Then how often "none of so
many points or more is likely" is said, where that is true and where it is false, and how often the interval misses at
any look. A minute.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.stats import binomtest

from steering.comparison.anytime import bound_evidence, needed_evidence, sign_evidence

ALPHA, MATTERS = 0.05, 0.15
RATES = ((0.5, 0.5), (0.8, 0.8), (0.95, 0.95), (0.1, 0.1))
STAGES = ((0.3, 0.5, 40), (0.35, 0.6, 40), (0.5, 0.75, 40), (0.6, 0.75, 100))
CELLS = ((0.45, 0.75, 40), (0.60, 0.85, 40), (0.75, 0.90, 40), (0.75, 0.80, 40), (0.5, 0.7, 100), (0.5, 0.6, 200))


def differences(first: float, second: float, alike: float, shape: tuple[int, int], seed: int) -> np.ndarray:
    """int [run, block]. alike: share of blocks whose start decides both trials by one draw."""
    rng = np.random.default_rng([seed, int(100 * first), int(100 * second), int(100 * alike)])
    draw = rng.random((2, *shape))
    draw[1] = np.where(rng.random(shape) < alike, draw[0], draw[1])
    return (draw[1] < second).astype(int) - (draw[0] < first)


def stages_reached(share: float, shape: tuple[int, int], seed: int) -> np.ndarray:
    """int [run, block], of three stages, each reached in `share` of the trials that reached the one before."""
    rng = np.random.default_rng([seed, int(100 * share), 5])
    return (rng.random((3, *shape)) < share).cumprod(0).sum(0)


def fixed_p(counts: np.ndarray) -> np.ndarray:
    """McNemar's exact p of [..., 2] wins and losses."""
    known = {
        tuple(pair): binomtest(int(pair[0]), int(sum(pair))).pvalue for pair in np.unique(counts, axis=0) if sum(pair)
    }
    return np.array([known.get(tuple(pair), 1.0) for pair in counts])


def line(words: str, *values: str) -> None:
    """One row of the table."""
    print(f"{words:42}" + "".join(f"{value:>16}" for value in values))


def main() -> None:
    """Print level, power, and the two other claims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--quick", action="store_true", help="few runs, only to see that it runs")
    given = parser.parse_args()
    runs = 500 if given.quick else given.runs
    limit, worst = np.log(1 / ALPHA), 0.0
    line("no difference, 200 blocks, every look", "anytime", "McNemar, peeked")
    for first, second in RATES:
        for alike in (0.0, 0.5):
            d = differences(first, second, alike, (runs, 200), 1)
            shown = (sign_evidence(d) >= needed_evidence(200, ALPHA)).any(-1).mean()
            few = d[: max(runs // 20, 100)]
            counts = np.stack([np.cumsum(few > 0, -1), np.cumsum(few < 0, -1)], -1)
            peeked = (fixed_p(counts.reshape(-1, 2)).reshape(few.shape) <= ALPHA).any(-1).mean()
            worst = max(worst, shown)
            line(f"  {first:.0%}, {alike:.0%} of blocks alike", f"{shown:.1%}", f"{peeked:.1%}")
    line("a difference", "anytime", "blocks, mean", "McNemar, end")
    for first, second, blocks in CELLS:
        for alike in (0.0, 0.5):
            d = differences(first, second, alike, (runs, blocks), 2)
            shown = sign_evidence(d) >= needed_evidence(blocks, ALPHA)
            stopped = shown.any(-1)
            used = np.where(stopped, shown.argmax(-1) + 1, blocks).mean()
            ends = fixed_p(np.stack([(d > 0).sum(-1), (d < 0).sum(-1)], -1)) <= ALPHA
            words = f"  {first:.0%} and {second:.0%}, {blocks} blocks, {alike:.0%} alike"
            line(words, f"{stopped.mean():.1%}", f"{used:.0f} of {blocks}", f"{ends.mean():.1%}")
    line("progress, 3 stages, each in so many", "progress", "success")
    for first, second, blocks in ((0.6, 0.6, 40), (0.9, 0.9, 200), *STAGES):
        reached = [stages_reached(share, (runs, blocks), seed) for seed, share in enumerate((first, second))]
        solved = (reached[1] == 3).astype(int) - (reached[0] == 3)
        needed = needed_evidence(blocks, ALPHA)
        said = [(sign_evidence(d) >= needed).any(-1).mean() for d in (reached[1] - reached[0], solved)]
        words = f"  {first:.0%} and {second:.0%}, {blocks} blocks{' (false)' if first == second else ''}"
        line(words, *(f"{share:.1%}" for share in said))
        worst = max(worst, *said) if first == second else worst
    line(f"none of {MATTERS:.0%} or more, 200 blocks", "said", "stops by (half)")
    few_runs = max(runs // 10, 200)
    for first, second in ((0.8, 0.8), (0.5, 0.5), (0.95, 0.95), (0.75, 0.9), (0.5, 0.65)):
        d = differences(first, second, 0.5, (few_runs, 200), 3)
        sides = [np.maximum.accumulate(bound_evidence(sign * d, MATTERS), -1) for sign in (1, -1)]
        said = np.minimum(*sides) >= limit
        false = abs(second - first) >= MATTERS - 1e-9
        ends = said.any(-1)
        half = f"{np.median(said.argmax(-1)[ends] + 1):.0f} of 200" if ends.any() else ""
        line(f"  {first:.0%} and {second:.0%}{' (false)' if false else ''}", f"{ends.mean():.1%}", half)
        worst = max(worst, ends.mean() if false else 0.0)
    line("the interval misses at some look, 200 blocks", "misses")
    for first, second in ((0.8, 0.8), (0.5, 0.75)):
        d, true = differences(first, second, 0.5, (few_runs, 200), 4), second - first
        missed = [(bound_evidence(sign * d, sign * true) >= np.log(2 / ALPHA)).any(-1) for sign in (1, -1)]
        misses = (missed[0] | missed[1]).mean()
        worst = max(worst, misses)
        line(f"  {first:.0%} and {second:.0%}", f"{misses:.1%}")
    if not given.quick and worst > ALPHA + 4 * np.sqrt(ALPHA / few_runs):
        raise SystemExit(f"A claim was false in {worst:.1%} of the runs, more than {ALPHA:.0%}.")


if __name__ == "__main__":
    main()
