"""What a comparison shows in a sentence, in squares, and as differences with their intervals."""

from __future__ import annotations

import re

import numpy as np
import pytest

from app import questions
from app.answers.comparison import Beside
from app.questions.compare_sentence import compare_sentence, effect_words, effects, pair_of, squares
from app.views import compare_evidence, comparison
from steering.comparison.compare import compare
from steering.types import Rollouts, p_words


def ran(method: str, won: str) -> Rollouts:
    success = np.array([one == "1" for one in won])
    return Rollouts(method, "pick_cube", (), tuple(range(7, 7 + len(won))), success, np.full(len(won), 40, np.int32))


def test_robotic_steering_and_lora_lead_whatever_else_ran() -> None:
    value = compare([ran("zero_shot", "0" * 20), ran("lora", "1" * 20), ran("steering", "1" * 18 + "00")])
    assert pair_of(value) is not None
    assert compare_sentence(value) == (
        "Robotic Steering 18 against LoRA, all heads 20 of 20 scenes: no difference shown (p = .50). Beside them: "
        "Zero-shot 0."
    )


def test_a_difference_that_the_test_shows_is_said() -> None:
    value = compare([ran("zero_shot", "0" * 20), ran("steering", "1" * 20)])
    assert compare_sentence(value) == (
        "Robotic Steering 20 against Zero-shot 0 of 20 scenes: Robotic Steering is better (p < .001)."
    )


def test_one_method_alone_has_nothing_beside_it() -> None:
    value = compare([ran("lora", "10")])
    assert compare_sentence(value) == "LoRA, all heads succeeded in 1 of 2 scenes; nothing to compare it with."
    assert effects(value) == () and questions.comparison.shown_effects(value) == []


def test_every_scene_and_method_has_a_square_in_the_scenes_order() -> None:
    one, two = ran("zero_shot", "0110"), ran("lora", "1111")
    drawn = squares([one, two], [{8: "film"}, {}])
    assert [[square.success for square in row] for row in drawn] == [[False, True, True, False], [True] * 4]
    assert [(square.seed, square.number, square.filmed) for square in drawn[0]][:2] == [(7, 1, False), (8, 2, True)]
    assert not any(square.filmed for square in drawn[1])


def test_differences_stand_with_their_intervals() -> None:
    value = compare([ran("zero_shot", "1" * 10 + "0" * 10), ran("steering", "1" * 15 + "0" * 5)])
    ((found),) = effects(value)
    assert effect_words(found) == ("Zero-shot against Robotic Steering: \u221225 points (\u221244 to \u22121)")
    shown = comparison.success(value, ["So."], (), questions.comparison.shown_effects(value))
    assert "Zero-shot against Robotic Steering" in shown and 'class="wb-card wb-totals"' in shown
    left, width, dot = (float(x) for x in re.findall(r"(?:left|width):([\d.]+)%", shown.split("wb-effect-track")[1]))
    assert dot == pytest.approx(50 - 12.5) and left < dot < left + width < 50


def test_the_sentence_waits_for_the_vote_and_the_purpose_does_not() -> None:
    assert "wb-totals" in comparison.leading("purpose", "A 1 against B 2.") and "wb-totals" not in comparison.leading(
        "x"
    )
    assert "&lt;b&gt;" in comparison.leading("x", "<b>")


@pytest.mark.parametrize(
    ("p", "words"),
    [
        (2e-9, "< .001"),
        (0.0004, "< .001"),
        (0.0042, "= .004"),
        (0.0312, "= .031"),
        (0.5, "= .50"),
        (0.999, "= 1"),
        (1, "= 1"),
    ],
)
def test_p_in_words(p: float, words: str) -> None:
    assert p_words(p) == words


def test_dumbbells_stand_where_their_numbers_are() -> None:
    shown = compare_evidence.dumbbells(
        [Beside("press <button>", (45.0, 75.0), (100.0, 99.5)), Beside("x", (1.0, 2.0), None)]
    )
    assert 'cx="45.0%"' in shown and 'x1="45.0%" x2="75.0%"' in shown and 'cx="99.5%"' in shown
    assert (
        "press &lt;button&gt;: paper 45 to 75 %, twin 100 to 100 %" in shown
        and "x: paper 1 to 2 %, twin not run" in shown
    )
    assert shown.count("<circle") == 6 and compare_evidence.dumbbells([]) == ""
