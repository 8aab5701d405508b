import json
import subprocess
import sys
from pathlib import Path

import pytest

from steering.cli import main as cli
from steering.demo import DemoSettings, run_demo
from steering.samples import precompute
from steering.store import Store
from steering.types import Demonstrations, FinetuneSettings, origin_words

TINY = DemoSettings(
    demonstrations=2,
    heads=3,
    trials=1,
    videos=1,
    finetune=FinetuneSettings(steps=1, batch_size=2, rank=2, warmup_steps=1, noise_samples=1),
)
COMMANDS = ("record", "capture", "score", "select", "finetune", "rollout", "compare", "demo", "precompute")


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict:
    """Run a command in this process; the JSON of its last line on stdout."""
    monkeypatch.setattr(sys, "argv", ["steering", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_stages_by_hand(
    tmp_path: Path,
    demonstrations: Demonstrations,
    policy_folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Store(tmp_path).save("demonstrations", demonstrations)
    common = ("--store", str(tmp_path))
    source = ("--policy", str(policy_folder))
    averaged = ("--samples", "2", "--timestep", "1", "--timestep", "0.5")
    captured = run(capsys, monkeypatch, "capture", made, *averaged, *source, *common)
    assert captured["params"]["samples"] == 2 and captured["params"]["timestep"] == [1.0, 0.5]
    asked = ("--preset", "paper", "--k", "2", "--k", "4", "--all-frames")
    scored = run(capsys, monkeypatch, "score", captured["artefact"], *asked, *common)
    assert scored["params"] == {"preset": "paper", "metric": "knn", "ks": [2, 4], "keyframes": False}
    chosen = run(capsys, monkeypatch, "select", scored["artefact"], "--count", "2", *common)
    by_hand = run(capsys, monkeypatch, "select", scored["artefact"], "--head", "vlm.1.2", *common)
    assert [tuple(head) for head in by_hand["params"]["heads"]] == [("vlm", 1, 2)]
    assert chosen["origin"].startswith("Best heads by k-NN (paper) on ")
    assert by_hand["origin"].startswith("Chosen by hand beside k-NN (paper) on ")
    options = ("--selection", chosen["artefact"], "--steps", "1", "--batch-size", "2", "--rank", "2")
    trained = run(capsys, monkeypatch, "finetune", made, *options, *source, *common)
    assert trained["parents"] == [made, chosen["artefact"]]
    result = Store(tmp_path).load(trained["artefact"])
    assert result.method == "steering" and origin_words(result.selection.origin) == chosen["origin"]
    assert chosen["origin"] in (result.folder / "README.md").read_text()


@pytest.mark.slow
def test_the_whole_way(tmp_path: Path, policy_folder: Path) -> None:
    summary = run_demo(tmp_path, task="press_button", policy=str(policy_folder), settings=TINY)
    assert json.loads((tmp_path / "demo.json").read_text()) == summary
    assert summary["task"] == "press_button" and summary["seed"] == 0 and len(summary["heads_selected"]) == 3
    assert list(summary["methods"]) == ["zero_shot", "steering", "lora"]
    for method, numbers in summary["methods"].items():
        low, high = numbers["wilson_95"]
        assert 0 <= low <= numbers["success_rate"] <= high <= 1 and numbers["trials"] == 1
        assert (numbers["trainable_parameters"] == 0) == (method == "zero_shot") == (numbers["train_s"] == 0)
    assert summary["methods"]["steering"]["trainable_parameters"] < summary["methods"]["lora"]["trainable_parameters"]
    assert {"steering", "torch", "transformers", "mujoco"} <= set(summary["versions"])
    store = Store(tmp_path)
    assert store.load(summary["artefacts"]["comparison"]).seeds == store.load(store.find("rollouts")[0].id).seeds


@pytest.mark.slow
def test_samples_hold_the_first_screen_and_what_it_answers(tmp_path: Path, policy_folder: Path) -> None:
    samples = tmp_path / "samples"
    precompute(
        samples,
        tasks=("press_button",),
        count=3,
        attention_episodes=1,
        heads=3,
        policy=str(policy_folder),
    )
    store = Store(tmp_path / "own", readonly=(samples,))
    (demonstrations,) = store.find("demonstrations")
    kinds = {manifest.kind for manifest in store.children(demonstrations.id)}
    assert kinds == {"activations", "relevance", "attention"} and store.find("neighbours") == []
    strict, paper, measured = (store.load(manifest.id) for manifest in store.find("relevance"))
    assert (strict.preset, paper.preset, measured.metric) == ("default", "paper", "gradient_activation")
    assert {manifest.kind for manifest in store.children(store.find("relevance")[0].id)} == {"selection", "trust"}
    assert [m.params["preset"] for m in store.find("over_time")] == ["default", "paper"]
    assert store.load(demonstrations.id).episodes[1].cameras["wrist"].shape[1:] == (192, 192, 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["score", "activations-0123456789abcdef"], "There is no artefact"),
        (["record", "--task", "pick_cub"], "pick_cube"),
        (["finetune", "x", "--method", "lor"], "lora"),
    ],
)
def test_errors_are_one_sentence_without_a_trace(
    tmp_path: Path,
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["steering", *arguments, "--store", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    captured = capsys.readouterr()
    last = captured.err.splitlines()[-1]
    assert last.startswith("Error: ") and words in last and "Traceback" not in captured.err and captured.out == ""


def test_help_names_every_command_and_loads_no_torch() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from steering.cli.main import app\n"
        "print(CliRunner().invoke(app, ['--help']).output)\n"
        "print('heavy:', {'torch', 'mujoco', 'transformers'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert all(command in output for command in COMMANDS) and "heavy: set()" in output
