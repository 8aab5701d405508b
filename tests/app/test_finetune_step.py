"""The Finetune step without a browser: the form and its bounds, what methods train, the equal command, the jobs."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import shlex
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import gradio as gr
import pytest

from app import questions
from app.questions.context import Context
from app.questions.training_command import changed_settings
from app.questions.training_form import OFFERS, Asked, fields, from_preset, read
from app.tabs import finetune
from app.views.finetune import results_table
from app.views.pushing import push_card, pushed_card
from app.visitors import Visitor, asked_by
from steering.cli import finetuning as cli
from steering.errors import InputError
from steering.finetune.presets import PRESETS
from steering.pipeline.heldout import HEADS_SAW
from steering.types import FinetuneSettings, Head, HeadChange, PolicyExport

Samples = tuple[Path, dict[str, str]]
HEADS = (Head("vlm", 1, 1), Head("vlm", 4, 3))
FORM = {
    "methods": ["steering", "lora"],
    "options": ["shared_kv", "keep_best"],
    "ffn": "selected",
    "rank": "8",
    "steps": "40",
    "patience": "3",
    "heldout": "1",
    "precision": "float32",
    "learning_rate": "2e-4",
    "seed": "7",
}


def submitted(context: Context) -> list[tuple[str, dict[str, Any]]]:
    return context.jobs.submitted  # type: ignore[attr-defined, no-any-return]


def test_the_form_reads_back_what_it_shows() -> None:
    asked = read(FORM)
    settings = asked.settings
    assert settings.shared_kv and settings.keep_best and not settings.projections and settings.ffn == "selected"
    assert (settings.rank, settings.alpha, settings.patience, settings.warmup_steps) == (8, 8.0, 3, 8)
    assert asked.heldout == 1 and read(fields(asked)) == asked
    own = read({**FORM, "alpha": "32"})
    assert own.settings.alpha == 32.0 and read(fields(own)) == own
    assert read({}) == Asked() and read({}).settings == FinetuneSettings()


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_fill_the_form(preset: str) -> None:
    asked = from_preset(Asked(), preset)
    assert asked.settings == PRESETS[preset] and read(fields(asked)) == asked


def test_a_command_never_takes_away_what_a_preset_gives() -> None:
    """There is no flag for it: the command then starts from the default and names all that differs."""
    asked = from_preset(Asked(), "openpi_lora")
    assert changed_settings(asked) == {"preset": "openpi_lora"}
    less = dataclasses.replace(asked.settings, projections=False, expert_rank=None)
    changed = changed_settings(dataclasses.replace(asked, settings=less))
    assert "preset" not in changed and changed["head_factors"] and changed["steps"] == 3000
    assert all(value not in (False, None) for value in changed.values())


def test_hostile_fields_stay_in_bounds() -> None:
    wrong = {name: "<script>" for name in (*FORM, "alpha", "noise_samples", "accumulation", "preset")}
    assert read(wrong).settings == FinetuneSettings() and read(wrong).methods == ()
    large = read({"alpha": "1e999", "accumulation": "99", "batch_size": "8", "noise_samples": "999", "heldout": "-4"})
    assert large.settings.alpha == 16.0 and large.settings.accumulation == 8
    assert large.settings.noise_samples == 16 and large.heldout == 0


def test_every_method_says_what_it_would_train(context: Context, samples: Samples) -> None:
    found = questions.training.outlook(context, samples[1]["place_cube_in_bowl"], "", HEADS, read({"rank": "8"}))
    assert set(found) == set(OFFERS)
    assert found["steering"].total == context.size.steering(HEADS, 8) and found["steering"].heads == 2
    assert found["lora"].total == context.size.lora(8) and found["lora"].training is not None
    assert found["lora_rank_matched"].rank == 1 and "Rank 1" in found["lora_rank_matched"].notices[0]
    assert found["dense_heads"].total == 2 * 2 * 32 * 128
    assert found["random"].heads == found["bottom"].heads == 2
    assert "another task" in found["other_task"].missing
    assert "weights" in found["full"].off  # this policy is a configuration alone
    nothing = questions.training.outlook(context, samples[1]["place_cube_in_bowl"], "", (), Asked())
    assert "Select heads on the map" in nothing["steering"].missing and nothing["lora"].total > 0


def test_a_full_finetune_without_the_memory_is_off_and_refused(
    context: Context, samples: Samples, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(questions.training, "system_bytes", lambda: 8 * 10**9)
    monkeypatch.setattr(questions.training, "_GPU", tmp_path / "none")
    assert questions.training._too_large(4_000_000) == ""
    words = questions.training._too_large(3_500_000_000)
    assert "70.0 GB" in words and "8.0 GB are free" in words
    with pytest.raises(InputError, match="does not fit"):
        questions.training.start(context, samples[1]["place_cube_in_bowl"], "", HEADS, Asked(("full",)))
    assert submitted(context) == []


def test_one_job_a_method_with_its_heads(context: Context, samples: Samples) -> None:
    demonstrations_id = samples[1]["place_cube_in_bowl"]
    asked = read({**FORM, "methods": ["steering", "lora", "random", "bottom"]})
    questions.training.start(context, demonstrations_id, "", HEADS, asked)
    jobs = [arguments for _, arguments in submitted(context)]
    assert [one["method"] for one in jobs] == ["steering", "lora", "steering", "steering"]
    assert context.store.load(jobs[0]["selection_id"]).heads == HEADS and jobs[1]["selection_id"] is None
    controls = [context.store.load(jobs[i]["selection_id"]) for i in (2, 3)]
    assert "random heads of the same layers, seed 7" in controls[0].rule and "bottom 2" in controls[1].rule
    assert all(one["heldout_episodes"] == [2] and one["settings"]["steps"] == 40 for one in jobs)
    names = [questions.training.name_of(context, one) for one in jobs]
    assert names == ["Robotic Steering", "LoRA, all heads", "Control: random heads", "Control: worst heads"]


def test_what_cannot_start_is_said(context: Context, samples: Samples) -> None:
    demonstrations_id = samples[1]["place_cube_in_bowl"]
    for asked, heads, words in (
        (Asked(()), HEADS, "Tick at least one"),
        (Asked(("steering",)), (), "Select heads on the map"),
        (Asked(("random",)), (), "Select heads on the map"),
        (Asked(("lora",), heldout=3), HEADS, "leave none to train on"),
        (Asked(("other_task",)), HEADS, "another task"),
    ):
        with pytest.raises(InputError, match=words):
            questions.training.start(context, demonstrations_id, "", heads, asked)
    with pytest.raises(InputError, match="Open demonstrations"):
        questions.training.start(context, "", "", HEADS, Asked())
    assert submitted(context) == []


def test_the_preview_does_the_same_as_the_job(context: Context, samples: Samples) -> None:
    demonstrations_id = samples[1]["place_cube_in_bowl"]
    for form, held in (
        (FORM, [2]),
        ({**FORM, "heldout": "0"}, []),
        ({**FORM, "alpha": "24", "preset": "paper_ffn"}, [2]),
        ({"rank": "32"}, None),
        ({"preset": "paper"}, None),
    ):
        asked = read({**form, "methods": ["steering"]})
        shell, python = questions.training.preview(context, demonstrations_id, "", HEADS, asked)
        questions.training.start(context, demonstrations_id, "", HEADS, asked)
        _, job = submitted(context).pop()
        call = ast.parse(python.splitlines()[-1]).body[0].value  # type: ignore[attr-defined]
        given = {k.arg: ast.literal_eval(k.value) for k in call.keywords if not isinstance(k.value, ast.Name)}
        from steering import pipeline

        assert pipeline.finetune_settings(given["settings"]) == asked.settings
        assert given.get("heldout_episodes") == job.get("heldout_episodes") == held
        assert given["policy"] == f"/path/to/{Path(job['policy']).name}"  # browsers learn no folder of the server
        assert given["demonstrations_id"] == demonstrations_id and given["method"] == "steering"
        words = shlex.split(shell.splitlines()[-1])
        assert words[:4] == ["python", "-m", "steering", "finetune"] and cli_settings(words) == job["settings"]
        params = cli_params(words)
        assert cli._held_out(params["heldout"], params["no_heldout"]) == held
        chosen = re.search(r"--hex (\w+)", shell)
        assert chosen and questions.head_sets.heads_of(context, chosen.group(1)) == HEADS


def cli_params(words: list[str]) -> dict[str, Any]:
    """What the command line reads in these words, by its own parser."""
    import typer.main

    from steering.cli.frame import app

    command = typer.main.get_command(app).commands["finetune"]  # type: ignore[attr-defined]
    return dict(command.make_context("finetune", words[4:]).params)


def cli_settings(words: list[str]) -> dict[str, Any]:
    """The settings that the command line makes of these words."""
    params = cli_params(words)
    names = [name for name in cli._settings("default") if name in params]
    flags = {name: params[name] if params[name] is not False else None for name in names}
    return cli._settings(params["preset"], **flags)


def test_results_mark_a_held_out_error_that_the_choice_of_heads_flatters(context: Context, samples: Samples) -> None:
    notices = {row.method: row.notice for row in questions.results.finetunes(context)}
    assert notices == {"steering": HEADS_SAW, "lora": ""}
    report = questions.exports.report(context, samples[1]["steering"])
    pages = (
        results_table(questions.results.finetunes(context)),
        (context.media.folder / Path(report.url).name).read_text(),
    )
    for page in pages:
        assert page.count("0.190 *</td>") == page.count(f"* {HEADS_SAW}") == 1
    assert results_table(questions.results.finetunes(context)).count("0.190</td>") == 1, "LoRA trains all heads"


def test_the_page_is_told_costs_and_command(context: Context, samples: Samples) -> None:
    opened = [samples[1]["place_cube_in_bowl"], 0]
    shown = finetune.show_costs(context, opened, questions.head_sets.digits_of(context, HEADS), None, "", {"rank": "4"})
    found = re.search(r'data-emitted="([^"]*)"', shown)
    assert found is not None
    told = json.loads(unescape(found.group(1)))
    assert f"{context.size.steering(HEADS, 4):,}" in told["slots"]["cost-steering"] and told["off"] == ["full"]
    assert "python -m steering finetune" in told["slots"]["command"]
    form = finetune.show_form({"rank": "4", "methods": ["full"], "preset": '"><script>'})
    assert form.count('name="methods"') == len(OFFERS) and form.count("checked") == 1 and "<script>" not in form


def test_a_policy_is_exported_by_a_job_and_its_file_given_once_it_is_there(
    context: Context, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = context.store.find("adapter")[0].id
    assert 'data-testid="export-policy"' in results_table(questions.results.finetunes(context))
    job_id = questions.exports.policy(context, adapter)
    assert submitted(context)[-1] == ("package_policy", {"adapter_id": adapter})
    with pytest.raises(InputError, match="Choose one of the results"):
        questions.exports.policy(context, samples[1]["relevance"])
    listed: list[SimpleNamespace] = []
    monkeypatch.setattr(context.jobs, "recent", lambda *_: listed, raising=False)
    assert questions.exports.made_policy(context, job_id) is None
    with context.store.new_folder("policy_export") as folder:
        (folder / "steering-peft.zip").write_bytes(b"zip")
        value = PolicyExport("peft", folder / "steering-peft.zip")
        made = context.store.save("policy_export", value, parents=(adapter,), folder=folder)
    listed.append(SimpleNamespace(id=job_id, function="package_policy", state="done", result=made))
    file = questions.exports.made_policy(context, job_id)
    assert file is not None and file.name == "steering-peft.zip" and file.url.endswith(".zip")
    assert (context.media.folder / Path(file.url).name).read_bytes() == b"zip"
    assert questions.exports.made_policy(context, "another") is None
    assert questions.exports.packed_policy(context, job_id) == made
    assert questions.exports.packed_policy(context, "another") == ""


def test_a_packed_policy_goes_to_the_hub_with_a_token_that_is_kept_nowhere(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    with context.store.new_folder("policy_export") as folder:
        with ZipFile(folder / "lora-peft.zip", "w") as archive:
            for name in ("README.md", "adapter_config.json"):
                archive.writestr(name, "{}")
        value = PolicyExport("peft", folder / "lora-peft.zip")
        made = context.store.save("policy_export", value, parents=(context.store.find("adapter")[0].id,), folder=folder)
    pushed: list[tuple[list[str], str, bool, str]] = []

    def push(folder: Path, repository: str, *, public: bool, token: str) -> str:
        pushed.append((sorted(path.name for path in folder.iterdir()), repository, public, token))
        return f"https://hub/{repository}"

    monkeypatch.setattr("steering.hub.push", push)
    rows = questions.results.finetunes(context)
    assert questions.exports.may_push() and 'data-testid="push-policy"' in finetune.show(context, [], "", "", "", {})[1]
    assert questions.exports.push(context, made, "me/policy", "", False) == "https://hub/me/policy"
    assert questions.exports.push(context, made, "me/policy", "hf_mine", True)
    assert pushed == [
        (["README.md", "adapter_config.json"], "me/policy", False, ""),
        (["README.md", "adapter_config.json"], "me/policy", True, "hf_mine"),
    ]
    assert 'type="password"' in push_card(made, True) and "<script>" not in pushed_card('"><script>')

    monkeypatch.setenv("STEERING_PUBLIC", "1")
    assert 'data-testid="push-policy"' not in results_table(rows, pushes=questions.exports.may_push())
    with pytest.raises(InputError, match="Sign in to push"):
        questions.exports.push(context, made, "me/policy", "hf_mine", False)
    with asked_by(Visitor("a" * 16, name="ada")):
        assert questions.exports.may_push()
        with pytest.raises(InputError, match="Give a token"):
            questions.exports.push(context, made, "me/policy", "", False)
    assert len(pushed) == 2
    kept = [path for path in context.store.root.rglob("*") if path.is_file() and b"hf_mine" in path.read_bytes()]
    assert kept == []


def test_heads_after_a_finetune_are_scored_once_and_then_shown(context: Context, samples: Samples) -> None:
    adapter, relevance = context.store.find("adapter")[0].id, context.store.kept(samples[1]["relevance"])
    assert questions.results.heads_after(context, adapter) is None
    assert submitted(context)[-1] == ("head_change", {"adapter_id": adapter})
    with pytest.raises(InputError, match="Choose one of the results"):
        questions.results.heads_after(context, samples[1]["relevance"])
    change = HeadChange("steering", (Head("vlm", 1, 1),), relevance, relevance)
    made = context.store.save("head_change", change, parents=(adapter, samples[1]["relevance"]))
    assert questions.results.heads_after(context, adapter) == made
    card, figure = finetune.show_change(context, made)
    assert "Robotic Steering, place cube in bowl" in card and "1 trained head " in card and figure["data"]
    assert finetune.show_change(context, None) == [gr.skip(), gr.skip()]
