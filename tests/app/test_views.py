"""Views without a browser: what the page is told, and that hostile text stays text."""

from __future__ import annotations

import gzip
import io
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from app.views import comparison, demonstrations, finetune, frame_player, head_map, header, jobs, markup
from steering.types import Comparison as ComparisonValue
from steering.types import Head, HeadShape, PairedTest, Rollouts, SuccessRate

HOSTILE = "<img src=x onerror=alert(1)>\"'${alert(2)}"
COST = {"vlm": {"per_layer": 256, "per_head": 64}, "expert": {"per_layer": 256, "per_head": 64}}
SHAPE = HeadShape(8, 8, 32)


def test_head_map_ranks_movable_heads_and_marks_inert_ones(sample_store: ModuleType) -> None:
    relevance = sample_store.relevance(3)
    data = head_map.head_map("k", 1, relevance, None, [Head("expert", 2, 5)], COST, 16)
    scores = relevance.score[0][~relevance.inert[0]]
    for i in range(56):
        assert data["rank"][i] == 1 + np.sum(scores > relevance.score[0].reshape(-1)[i])
    assert data["ranked"] == [56, 64]
    assert [i for i, inert in enumerate(data["inert"]) if inert] == list(range(56, 64))
    assert data["selected"] == [64 + 2 * 8 + 5]
    assert data["score"][data["focus"]] == pytest.approx(relevance.score.max(), abs=1e-4)
    assert data["stacks"][0]["high"] == pytest.approx(scores.max(), abs=1e-4)


def test_head_map_never_focuses_an_inert_head(sample_store: ModuleType) -> None:
    relevance = sample_store.relevance(3)
    score = relevance.score.copy()
    score[0, -1, 0] = 9.0
    data = head_map.head_map("k", 1, replace(relevance, score=score), None, [], COST, 16)
    assert not data["inert"][data["focus"]]
    assert data["stacks"][0]["high"] < 9


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (0.21, "no better than the mean action"),
        (0.10, "explains 50\u00a0% of the action's variance, more than joint state and time alone (28\u00a0%)"),
        (0.145, "about as much as joint state and time alone"),
        (0.19, "less than joint state and time alone"),
    ],
)
def test_sentence_compares_with_state_and_time(sample_store: ModuleType, error: float, words: str) -> None:
    relevance = sample_store.relevance(3)
    errors = np.full_like(relevance.error, error)
    mass = np.array([0.1, 0.7, 0.1, 0.05, 0.05])
    sentence = head_map.sentence(replace(relevance, error=errors), Head("expert", 1, 1), mass)
    assert words in sentence
    assert sentence.startswith("Looks mostly at the wrist camera (70\u00a0%).")


def test_sentence_of_an_inert_head_says_so(sample_store: ModuleType) -> None:
    assert head_map.sentence(sample_store.relevance(3), Head("vlm", 7, 0), None).startswith("Inert")


def test_selection_from_the_client_keeps_only_known_heads() -> None:
    indices = [0, 0, 127, 128, -1, 3.0, "5", None, True, 10**12]
    assert head_map.selection_of(indices, SHAPE) == (Head("vlm", 0, 0), Head("expert", 7, 7))


def test_phase_parts_cover_the_episode() -> None:
    parts = frame_player.phase_parts(np.array([0, 0, 1, 1, 1, 3], np.int8))
    assert [(p["name"], p["start"], p["end"]) for p in parts] == [
        ("approach", 0, 2),
        ("grasp", 2, 5),
        ("release", 5, 6),
    ]
    assert frame_player.phase_parts(None) == []


def test_sprite_sheet_holds_every_frame_in_its_place() -> None:
    frames = np.zeros((13, 16, 16, 3), np.uint8)
    frames += (20 * np.arange(13, dtype=np.uint8))[:, None, None, None]
    sheet = np.asarray(Image.open(io.BytesIO(frame_player.sprite_sheet(frames))).convert("RGB"))
    assert sheet.shape == (32, 160, 3)
    for i in range(13):
        row, column = divmod(i, frame_player.COLUMNS)
        assert abs(int(sheet[row * 16 + 8, column * 16 + 8, 0]) - 20 * i) <= 4


def test_attention_file_is_image_then_mass(sample_store: ModuleType) -> None:
    attention = sample_store.attention(0, 3)
    raw = np.frombuffer(gzip.decompress(frame_player.attention_file(attention)), np.uint8)
    image, mass = raw[: attention.image.size], raw[attention.image.size :]
    shown = image.reshape(*attention.image.shape[1:], -1)
    assert np.abs(shown.astype(int) - np.moveaxis(attention.image, 0, -1)).max() <= frame_player.LEVELS // 2
    assert np.abs(mass.reshape(*attention.mass.shape[1:], -1) / 255 - np.moveaxis(attention.mass, 0, -1)).max() < 0.003


def test_hostile_text_stays_text() -> None:
    card = demonstrations.SetCard("id", HOSTILE, HOSTILE, HOSTILE, (HOSTILE,), (3,), (True,), True, False, (HOSTILE,))
    line = jobs.JobLine("id", HOSTILE, "failed", 0.5, HOSTILE, 3.0, error=HOSTILE, method=HOSTILE)
    running = replace(line, state="running")
    row = finetune.ResultRow(HOSTILE, HOSTILE, None, 3, 4, 5, 6.0, 0.1, None, HOSTILE)
    made = [
        demonstrations.set_cards([card], ""),
        demonstrations.episode_grid(card, [HOSTILE], 20.0, 0),
        jobs.job_lines([line]),
        jobs.job_lines([running]),
        finetune.results_table([row]),
        header.header(header.Opened(HOSTILE, HOSTILE, 3, HOSTILE, {"heads": HOSTILE})),
        header.running([running], {"x": HOSTILE}),
        markup.empty(HOSTILE, HOSTILE),
    ]
    for one in made:
        assert "<img src=x" not in one and 'onerror=alert(1)>"' not in one
        assert "alert(1)" in one


def test_method_cards_say_what_is_missing() -> None:
    assert "Select heads on the map first" in finetune.method_cards({"steering": 0, "lora": 100}, 0, 16, None)
    shown = finetune.method_cards({"steering": 1000, "lora": 16000}, 5, 8, 100_000)
    assert "16 times fewer" in shown and "1.0 % of the policy" in shown and ">1,000<" in shown


def test_jobs_show_progress_and_hide_what_is_done() -> None:
    line = jobs.JobLine("a", "Finetuning", "running", 0.25, "step 5 of 20", 125.0)
    assert "step 5 of 20, 2 min 05 s left" in jobs.job_lines([line])
    assert jobs.job_lines([replace(line, state="done")]) == ""
    failed = replace(line, state="failed", error="No memory.")
    assert "No memory." in jobs.job_lines([failed])
    assert "No memory." not in jobs.job_lines([line, failed])  # a newer job replaces an old failure


@pytest.mark.parametrize(("seconds", "said"), [(0.2, "0 s"), (99, "99 s"), (125, "2 min 05 s"), (7500, "2 h 05 min")])
def test_duration(seconds: float, said: str) -> None:
    assert markup.duration(seconds) == said


def test_rollouts_show_disagreement_first_and_pair_by_seed() -> None:
    one = Rollouts("zero_shot", "t", (), (10, 11, 12), np.array([True, False, True]), np.array([20, 40, 60]))
    two = Rollouts("steering", "t", (), (12, 11, 10), np.array([True, True, True]), np.array([1, 2, 3]))
    videos = [["a10", "a11", "a12"], ["b12", "b11", "b10"]]
    data = comparison.rollout_player("k", [one, two], [11], videos)
    assert [scene["seed"] for scene in data["scenes"]] == [11, 10, 12]
    assert data["scenes"][0]["success"] == [False, True]
    assert data["scenes"][1]["videos"] == ["a10", "b10"]
    assert data["scenes"][2]["seconds"] == ["3.0", "0.1"]


def test_outcome_states_rates_intervals_and_verdict() -> None:
    rate = SuccessRate("steering", 3, 4, 0.3, 0.95)
    value = ComparisonValue("pick_cube", ("lighting",), (1, 2, 3, 4), (rate,), (PairedTest("a", "b", 0, 0, 1, 1),), ())
    shown = comparison.success(value, ["No difference shown."])
    assert (
        "3 of 4" in shown and "30–95 %" in shown and "No difference shown." in shown and "pick cube, lighting" in shown
    )
    assert "none" in comparison.cost(value, {"steering": None}, {"steering": 61.0})
