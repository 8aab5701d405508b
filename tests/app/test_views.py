"""Views without a browser: what the page is told, and that hostile text stays text."""

from __future__ import annotations

import gzip
import html
import io
import re
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from app.answers.measures import BEST, Measure
from app.answers.training import Outlook, Running, TrainingEstimate
from app.views import (
    demonstrations,
    finetune,
    frame_player,
    head_map,
    header,
    holdings,
    jobs,
    measures,
    policies,
)
from app.views.templates import Macros
from app.views.text_table import text_table
from app.words import duration
from steering.types import Attention, Episode, Head, HeadShape, PolicyCheck, Robot

HOSTILE = "<img src=x onerror=alert(1)>\"'${alert(2)}"
SHAPE = HeadShape.pair(8, 8, 32)


def test_head_map_ranks_movable_heads_and_marks_inert_ones(sample_store: ModuleType) -> None:
    relevance = sample_store.relevance(3)
    data = head_map.head_map("k", "d", relevance, [Head("expert", 2, 5)])
    scores = relevance.score[0][~relevance.inert[0]]
    for i in range(56):
        assert data["rank"][i] == 1 + np.sum(scores > relevance.score[0].reshape(-1)[i])
    assert data["ranked"] == [56, 64]
    assert [i for i, inert in enumerate(data["inert"]) if inert] == list(range(56, 64))
    assert data["selected"] == [64 + 2 * 8 + 5]
    assert data["focus"] == data["selected"][0]  # it opens on a selected head
    movable = relevance.score[~relevance.inert]
    assert data["scale"]["high"] == pytest.approx(movable.max(), abs=1e-4)  # one scale for both stacks
    assert data["scale"]["low"] == pytest.approx(np.percentile(movable, head_map.LOWEST_SHOWN), abs=1e-4)


def test_head_map_never_focuses_an_inert_head(sample_store: ModuleType) -> None:
    relevance = sample_store.relevance(3)
    score = relevance.score.copy()
    score[0, -1, 0] = 9.0
    data = head_map.head_map("k", "d", replace(relevance, score=score), [])
    assert not data["inert"][data["focus"]] and data["scale"]["high"] < 9
    assert data["score"][data["focus"]] == pytest.approx(score[~relevance.inert].max(), abs=1e-4)
    both = [Head("vlm", 0, 0), Head("expert", 3, 3)]
    of_set = head_map.head_map("k", "d", relevance, [*both, Head("vlm", 7, 0)])
    assert of_set["focus"] == max((0, 64 + 27), key=lambda i: of_set["score"][i])  # the best of the set that can act


def test_the_sentence_of_a_strict_score_says_what_is_open_and_how_much_is_told(sample_store: ModuleType) -> None:
    paper = sample_store.relevance(3)
    relevance = replace(paper, preset="default", gain=paper.score)
    relevance.score[1, 1, 1], relevance.score[1, 1, 2] = 0.184, 0.0
    told = head_map.sentence(relevance, Head("expert", 1, 1))
    assert told == (
        "Joint state and time leave 72\u00a0% of the action's variance open; of that its output alone tells 18\u00a0%."
    )
    assert head_map.sentence(relevance, Head("expert", 1, 2)).endswith("its output alone tells nothing.")
    of_state = replace(relevance, target="state, each dimension divided by its standard deviation", gain=None)
    assert head_map.sentence(of_state, Head("expert", 1, 1)).startswith("The time in the episode leaves")


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
    assert words in head_map.sentence(replace(relevance, error=errors), Head("expert", 1, 1))


def test_sentence_of_an_inert_head_says_so(sample_store: ModuleType) -> None:
    assert head_map.sentence(sample_store.relevance(3), Head("vlm", 7, 0)).startswith("Inert")


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


def test_instructions_are_told_as_runs_and_curves_carry_the_names_of_the_data() -> None:
    cameras = {"exterior": np.zeros((5, 8, 8, 3), np.uint8)}
    state = np.zeros((5, 2), np.float32)
    told = np.array([0, 0, 1, 1, 0], np.int16)
    episode = Episode("two", "reach", 20.0, cameras, state, state, instructions=("reach", "release"), told=told)
    robot = Robot(state_names=("elbow.pos", "gripper.pos"))
    shown = frame_player.frame_player("key", episode, 0, [], {}, None, None, robot=robot)
    assert shown["told"] == [
        {"text": "reach", "start": 0, "end": 2},
        {"text": "release", "start": 2, "end": 4},
        {"text": "reach", "start": 4, "end": 5},
    ]
    assert shown["state"]["names"] == ["elbow.pos", "gripper.pos"]
    assert frame_player.told_parts(Episode("one", "reach", 20.0, cameras, state, state)) == []


def test_keyframes_are_told_as_runs() -> None:
    assert frame_player.runs(np.array([1, 0, 1, 1, 0, 0, 1], bool)) == [[0, 1], [2, 4], [6, 7]]
    assert frame_player.runs(()) == []


def test_sprite_sheet_holds_every_frame_in_its_place() -> None:
    frames = np.zeros((13, 16, 16, 3), np.uint8)
    frames += (20 * np.arange(13, dtype=np.uint8))[:, None, None, None]
    sheet = np.asarray(Image.open(io.BytesIO(frame_player.sprite_sheet(frames, len(frames), 16, 10))).convert("RGB"))
    assert sheet.shape == (32, 160, 3)
    for i in range(13):
        row, column = divmod(i, 10)
        assert abs(int(sheet[row * 16 + 8, column * 16 + 8, 0]) - 20 * i) <= 4


@pytest.mark.parametrize("frames", [1, 95, 730, 2_000, 20_000])
def test_an_episode_of_any_length_fits_a_picture_that_browsers_open(frames: int) -> None:
    shapes = {"exterior": (frames, 168, 224, 3), "wrist": (frames, 96, 96, 3)}
    cameras = {name: np.broadcast_to(np.uint8(0), shape) for name, shape in shapes.items()}
    still = np.zeros((frames, 8), np.float32)
    tile, columns = frame_player.sheet_layout(Episode("long", "wait", 20.0, cameras, still, still[:, :7]))
    rows = -(-frames // columns)
    assert columns * tile <= 16_383 and rows * tile <= 16_383 and rows * columns >= frames
    assert rows * columns * tile**2 <= 1.3 * frame_player.MOST_SHEET_PX
    assert (tile, columns) == (224, 10) if frames <= 95 else tile < 224


def test_frames_that_are_not_square_are_centred_on_black_in_tiles_of_any_size() -> None:
    frames = np.zeros((12, 48, 64, 3), np.uint8)
    frames[11] = 200
    sheet = np.asarray(Image.open(io.BytesIO(frame_player.sprite_sheet(frames, len(frames), 16, 10))).convert("RGB"))
    assert sheet.shape == (32, 160, 3)
    assert sheet[24, 24].min() > 190 and sheet[24, 8].max() < 10
    assert np.array_equal(frame_player.square(frames[11], 64)[:, 0, 0], np.repeat([0, 200, 0], [8, 48, 8]))


def test_attention_lies_on_the_picture_wherever_the_policy_has_its_black(sample_store: ModuleType) -> None:
    cameras = {"exterior": np.zeros((3, 48, 64, 3), np.uint8), "wrist": np.zeros((3, 64, 16, 3), np.uint8)}
    episode = Episode("wide", "wait", 20.0, cameras, np.zeros((3, 8), np.float32), np.zeros((3, 7), np.float32))
    centred = sample_store.attention(0, 3)
    left_and_above = replace(centred, bar=1.0)
    assert frame_player.overlay_offset(episode, "exterior", centred) == (0, 0)
    assert frame_player.overlay_offset(episode, "exterior", left_and_above) == (0, -0.125)
    assert frame_player.overlay_offset(episode, "wrist", left_and_above) == (-0.375, 0)


def test_attention_file_is_image_then_mass(sample_store: ModuleType) -> None:
    attention = sample_store.attention(0, 3)
    raw = np.frombuffer(gzip.decompress(frame_player.attention_file(attention)), np.uint8)
    size = attention.image[0].size * 2  # three frames in two bytes
    image, mass = raw[:size].reshape(*attention.image.shape[1:], 2), raw[size:]
    shown = np.stack([image >> 4, image & 15], -1).reshape(*attention.image.shape[1:], 4)[..., :3] * frame_player.STEP
    assert np.abs(shown.astype(int) - np.moveaxis(attention.image, 0, -1)).max() <= frame_player.STEP // 2
    assert np.abs(mass.reshape(*attention.mass.shape[1:], -1) / 255 - np.moveaxis(attention.mass, 0, -1)).max() < 0.003


@pytest.mark.parametrize("side", [3, 4, 5])
def test_attention_is_averaged_by_area_to_fewer_patches(sample_store: ModuleType, side: int) -> None:
    whole = sample_store.attention(0, 3).image  # 6 patches a side
    found = frame_player.pooled(whole, side)
    assert found.shape == (*whole.shape[:-1], side * side) and (found.max((-1, -2)) == 255).all()
    fine = np.kron(whole.reshape(*whole.shape[:-1], 6, 6), np.ones((side, side)))  # every patch in side² parts
    parts = fine.reshape(*whole.shape[:-1], side, 6, side, 6).mean((-3, -1)).reshape(found.shape)
    assert np.abs(found - 255 * parts / parts.max((-1, -2), keepdims=True)).max() <= 0.51


def test_a_long_episode_sends_less_attention_and_says_so(
    sample_store: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    attention = sample_store.attention(0, 3)
    episode = sample_store.episode(0, "wait", 3, 16)
    whole = frame_player.frame_player("key", episode, 0, [], {}, "url", attention)
    assert (whole["grid"], whole["coarse"]) == (6, "")
    monkeypatch.setattr(frame_player, "MOST_ATTENTION_BYTES", attention.image.size - 1)
    raw = gzip.decompress(frame_player.attention_file(attention))
    shown = frame_player.frame_player("key", episode, 0, [], {}, "url", attention)
    assert len(raw) == attention.image[0].size * 2 * 25 // 36 + attention.mass.size and shown["grid"] == 5
    assert "6 × 6 patches averaged to 5 × 5" in shown["coarse"]


def test_attention_at_the_size_of_pi0_stays_within_what_a_browser_keeps() -> None:
    image = np.broadcast_to(np.uint8(0), (0, 2, 18, 8, 3, 256))
    for frames, side in ((90, 16), (300, 8), (600, 6)):
        mass = np.broadcast_to(np.float32(0), (frames, 2, 18, 8, 5))
        found = frame_player.attention_grid(Attention(image, mass, 16))
        assert found == side and frames * 288 * 3 * side**2 <= frame_player.MOST_ATTENTION_BYTES


def test_what_waits_says_so_in_the_header() -> None:
    waiting = jobs.JobLine("id", "Importing", "queued", 0.0, "", None)
    assert "Importing: waits for its turn" in header.running([waiting], {})
    assert "Importing: 25 %, 8 s left" in header.running(
        [replace(waiting, state="running", fraction=0.25, left_s=8.0)], {}
    )


def test_hostile_text_stays_text() -> None:
    card = demonstrations.SetCard("id", HOSTILE, HOSTILE, HOSTILE, (HOSTILE,), (3,), (True,), True, False, (HOSTILE,))
    line = jobs.JobLine("id", HOSTILE, "failed", 0.5, HOSTILE, 3.0, error=HOSTILE, method=HOSTILE)
    running = replace(line, state="running")
    row = finetune.ResultRow(HOSTILE, HOSTILE, None, 3, 4, 5, 6.0, 0.1, None, HOSTILE)
    made = [
        demonstrations.set_cards([card], ""),
        demonstrations.episode_grid(card, [HOSTILE], 20.0, 0, {0: [HOSTILE]}),
        jobs.job_lines([line]),
        jobs.job_lines([running]),
        finetune.results_table([replace(row, origin=HOSTILE, notice=HOSTILE)]),
        finetune.live([Running(HOSTILE, 1, 2, 3.0, 4.0, 5.0, 6.0, None)]),
        policies.chooser([policies.PolicyRow(HOSTILE, HOSTILE, HOSTILE, None, None, False)], HOSTILE),
        policies.checked(PolicyCheck(HOSTILE, HOSTILE, HOSTILE, SHAPE, 3, HOSTILE, "own", 1.0, (HOSTILE,))),
        header.header(header.Opened(HOSTILE, HOSTILE, 3, HOSTILE, {"heads": HOSTILE}, (), HOSTILE, HOSTILE, HOSTILE)),
        header.running([running], {"x": HOSTILE}),
        Macros("pieces.html").empty(HOSTILE, HOSTILE),
        holdings.removal_card(holdings.RemovalCard(HOSTILE, HOSTILE, {"adapter": 1}, 1)),
    ]
    for one in made:
        assert "<img src=x" not in one and 'onerror=alert(1)>"' not in one
        assert "alert(1)" in one


def test_method_costs_say_what_is_missing() -> None:
    lora = Outlook({"q_proj": 6000, "mlp": 10_000}, share=0.16, training=TrainingEstimate(66.0, 2048.0, 300, 2))
    ours = Outlook({"q_proj": 400, "o_proj": 600}, heads=5, share=0.01, training=TrainingEstimate(125.0, None, 300, 0))
    full = Outlook({"all": 100_000}, off=HOSTILE)
    missing = Outlook({}, missing="Select heads on the map first.")
    found = {"steering": ours, "lora": lora, "full": full, "bottom": missing}
    shown = html.unescape(finetune.costs(found, HOSTILE, ""))
    assert "16 times fewer" in shown and "1.0 % of the policy" in shown and ">1,000<" in shown
    assert "2 min 05 s" in shown and "rough, no run measured yet" in shown and "from 2 measured runs" in shown
    assert "Select heads on the map first" in shown and '"off": ["full"]' in shown
    assert "&lt;img" in shown and "<img src=x" not in shown


def test_jobs_show_progress_and_hide_what_is_done() -> None:
    line = jobs.JobLine("a", "Finetuning", "running", 0.25, "step 5 of 20", 125.0)
    assert "step 5 of 20, 2 min 05 s left" in jobs.job_lines([line])
    assert jobs.job_lines([replace(line, state="done")]) == ""
    stopped = jobs.job_lines([replace(line, state="cancelled", again="Continue")])
    assert "stopped at 25%" in stopped and ">Continue</button>" in stopped


def test_a_failure_is_shown_until_the_same_is_started_again() -> None:
    lora = jobs.JobLine("b", "Finetuning: LoRA", "running", 0.25, "step 5", 125.0, function="finetune")
    lora = replace(lora, arguments={"method": "lora"})
    failed = replace(lora, id="a", state="failed", error="No memory.", arguments={"method": "steering"})
    assert "No memory." in jobs.job_lines([failed])
    assert jobs.job_lines([replace(failed, dismissed=True)]) == ""
    assert "No memory." in jobs.job_lines([lora, failed])
    assert "No memory." in jobs.job_lines([replace(lora, state="done"), failed])
    assert "No memory." in jobs.job_lines([replace(lora, function="score", arguments=failed.arguments), failed])
    for state in ("queued", "running", "done", "cancelled"):
        again = replace(failed, id="c", state=state, error=None)
        assert "No memory." not in jobs.job_lines([again, lora, failed])
    twice = jobs.job_lines([replace(failed, id="c"), lora, failed])
    assert twice.count("No memory.") == 1
    stopped = replace(lora, id="d", state="cancelled")
    assert "finished results" in jobs.job_lines([stopped]) and "finished results" not in jobs.job_lines([lora, stopped])


def test_progress_is_not_read_aloud_and_a_change_of_state_is() -> None:
    def told(*work: jobs.JobLine) -> list[str]:
        shown = jobs.job_lines(work)
        assert "aria-live" not in shown
        return re.findall(r'role="(?:status|alert)">(.*?)</', shown)

    line = jobs.JobLine("a", "Finetuning", "running", 0.25, "step 5 of 20", 125.0)
    further = replace(line, fraction=0.3, message="step 6 of 20", left_s=120.0)
    assert told(line) == told(further) == ["Finetuning: running."]
    waiting = replace(line, id="b", title="Scoring", state="queued", position=2)
    assert told(waiting, line) == ["Finetuning: running. Scoring: waits, place 2 in the queue."]
    assert told(replace(line, stopping=True)) == ["Finetuning: stopping at the next step."]
    assert told(replace(line, state="cancelled")) == ["Finetuning: stopped."]


@pytest.mark.parametrize(("seconds", "said"), [(0.2, "0 s"), (99, "99 s"), (125, "2 min 05 s"), (7500, "2 h 05 min")])
def test_duration(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_the_measure_is_a_sentence_and_its_form_has_the_same_fields_whatever_was_measured() -> None:
    strict = Measure("knn", "default", "action", "whole", "state", BEST)
    shown = measures.choosers((strict, replace(strict, preset="paper")), strict)
    assert ">strict</option>" in shown and ">paper</option>" in shown
    assert (
        "Colour: <b>k-NN, strict</b>, of <b>the action</b> in <b>all frames</b>, at <b>state token</b></span>" in shown
    )
    assert "Scored by what it tells of what joint state and time leave open." in shown
    assert re.findall(r'data-term="(\w+)"', shown) == ["knn", "default", "state_token"]
    alone = measures.choosers((replace(strict, preset="paper"),), replace(strict, preset="paper"))
    assert "Scored over the mean action, as published." in alone
    run = replace(strict, metric="mean_ablation", preset="policy")
    policy = measures.choosers((run, strict), run, beside=strict.key)
    assert "Colour: <b>Mean ablation</b>, at <b>state token</b>, beside <b>k-NN, strict</b></span>" in policy
    for form in (shown, alone, policy):
        assert re.findall(r'name="(\w+)"', form) == ["metric", "preset", "target", "phase", "tokens", "k", "beside"]
    assert alone.count(" disabled>") == 7 and shown.count(" disabled>") == 5


def test_found_heads_are_said_and_lead_to_the_map() -> None:
    made = {"demonstrations_id": "demonstrations-0123456789abcdef"}
    done = jobs.JobLine("1", "Finding heads", "done", 1, "", 0, function="find_heads", arguments=made)
    shown = jobs.job_lines([done])
    assert "heads are found" in shown
    assert 'href="?demonstrations=demonstrations-0123456789abcdef&amp;tab=heads"' in shown
    assert jobs.job_lines([replace(done, dismissed=True)]) == ""
    later = jobs.JobLine("2", "Recording", "running", 0, "", 0)
    assert "heads are found" not in jobs.job_lines([later, done])


def test_a_table_of_texts_is_numbers_in_its_file() -> None:
    rows = [
        ("Zero-shot", "1 % (0 to 5; n = 100)", "3 of 4", "43–64 %", "0.12 (-0.1 to 0.3)"),
        ("LoRA", "", "", "", "none"),
    ]
    table = text_table(("Method", "Success", "Cells", "Range", "Error"), rows, "wb-table")
    assert re.findall(r'data-names="(.*?)"', table) == [
        "Success|Success low|Success high|Success n",
        "Cells|Cells of",
        "Range low|Range high",
        "Error|Error low|Error high|Error n",
    ]
    assert re.findall(r'data-values="(.*?)"', table)[:4] == ["1|0|5|100", "3|4", "43|64", "0.12|-0.1|0.3|"]
    assert "<td>Zero-shot</td>" in table and "1 % (0 to 5; n = 100)</td>" in table
