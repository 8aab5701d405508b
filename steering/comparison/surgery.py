"""A paired run of head surgery in words. Instant."""

from __future__ import annotations

from steering.comparison.compare import LEVEL, report
from steering.comparison.effect import Effect, effect
from steering.comparison.names import method_label
from steering.types import Surgery, SurgeryRun, p_words


def surgery_report(run: SurgeryRun) -> str:
    """What was done, what it did beside the control, and the comparison, in sentences, one a line."""
    lines = [surgery_sentence(run)]
    lines += [f"{_label(one)}: {_points(one)}." for one in surgery_effects(run)]
    return "\n".join([*lines, report(run.comparison)])


def surgery_sentence(run: SurgeryRun) -> str:
    """The one sentence: successes untouched, changed and of the control, and how many scenes had ended before."""
    untouched, changed, *control = run.comparison.rates
    test = run.comparison.tests[0]
    found = "no difference shown" if test.p_holm >= LEVEL else "a difference"
    said = (
        f"{surgery_words(run.surgery, run.rate_hz)}: {changed.successes} of {changed.trials} scenes instead of "
        f"{untouched.successes}, {found} (p {p_words(test.p_holm)})"
    )
    if control:
        said += f"; as large a change of other heads of the same layers: {control[0].successes}"
    else:
        said += "; no control, as a layer has no other heads"
    before = f" {run.ended_before} had ended before." if run.ended_before else ""
    return f"{said}.{before}"


def surgery_words(surgery: Surgery, rate_hz: float) -> str:
    """E.g. `2 heads silenced from 1.5 s on`. rate_hz: control steps a second."""
    count = len(surgery.heads)
    done = {0.0: "silenced", -1.0: "turned round", 1.0: "left as they are"}
    what = done.get(surgery.factor, f"scaled by {surgery.factor:g}")
    start = f" from {surgery.from_step / rate_hz:g} s on" if surgery.from_step else ""
    return f"{count} head{'' if count == 1 else 's'} {what}{start}"


def surgery_effects(run: SurgeryRun) -> tuple[Effect, ...]:
    """Every pair's difference of success rates with its 95 % interval, in the order of the comparison's tests."""
    return tuple(effect(test, len(run.comparison.seeds)) for test in run.comparison.tests)


def _label(one: Effect) -> str:
    return f"{method_label(one.first)} against {method_label(one.second)}"


def _points(one: Effect) -> str:
    low, high = (f"{100 * end:+.0f}" for end in (one.low, one.high))
    return f"{100 * one.difference:+.0f} points (95 % interval {low} to {high})"
