"""What leaves the workbench: the same actions when it comes back, in the robot's own units, and a card that says why.

lerobot's own loaders run these folders in scripts/check_export.py, which makes the policies here too.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import PI0ForConditionalGeneration

from steering import pipeline
from steering.cli import main as cli
from steering.errors import InputError, NotFound
from steering.models.checkpoint import open_checkpoint, read_header
from steering.models.loading import load_policy, without_peft_warning
from steering.pipeline import exporting
from steering.samples import open_store
from steering.store import Store
from steering.trials.book import create
from steering.types import Demonstrations, HeadShape, Rollouts, TrialPlan

SCRIPT = Path(__file__).parents[3] / "scripts" / "check_export.py"


def _script() -> Any:
    spec = importlib.util.spec_from_file_location("check_export", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


made = _script()


@pytest.fixture(scope="module", params=made.FAMILIES)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Store, str]:
    """Family, the policy that was trained, the store, and the adapter's id."""
    place = tmp_path_factory.mktemp(request.param)
    base = made.reduced_policy(place / "base", request.param, layers=2, heads=4)
    store = Store(place / "store")
    return request.param, base, store, made.trained(store, base)


@pytest.fixture(autouse=True)
def fewer_heads_count_as_published(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "trained" in request.fixturenames:
        monkeypatch.setattr(exporting, "PUBLISHED_HEADS", HeadShape.pair(2, 4, 256))


def actions(source: Path, robot: Any, **options: Any) -> np.ndarray:
    return made.workbench_actions(load_policy(source, device="cpu", **options), made.observed(), robot)


@pytest.mark.parametrize("layout", ["lerobot", "openpi"])
def test_merged_weights_act_alike_and_in_the_robots_own_units(
    trained: tuple[str, Path, Store, str], layout: str, tmp_path: Path
) -> None:
    family, base, store, adapter = trained
    folder = pipeline.export_policy(store, adapter_id=adapter, folder=tmp_path / "out", layout=layout, merged=True)
    robot = made.recorded().robot
    expected = actions(base, robot, adapter=store.load(adapter).folder)
    found = actions(folder, replace(robot, turned=()), tokenizer=str(base))
    scale = np.concatenate([one.action for one in made.recorded().episodes]).std(0)
    assert np.abs((found - expected) / scale).max() < 1e-4
    assert open_checkpoint(folder).family == family
    published = re.compile(r"^(model\.)?(paligemma_with_expert|state_proj|action_|time_mlp)")
    names = read_header(folder / "model.safetensors")
    assert all(published.match(name) and name.startswith("model.") == (layout == "lerobot") for name in names)


def test_lerobots_adapter_names_lerobots_modules(trained: tuple[str, Path, Store, str], tmp_path: Path) -> None:
    family, base, store, adapter = trained
    folder = pipeline.export_policy(store, adapter_id=adapter, folder=tmp_path / "out")
    config = json.loads((folder / "adapter_config.json").read_text())
    ours = json.loads((store.load(adapter).folder / "adapter_config.json").read_text())
    modules = {name.rpartition(".")[0] for name in read_header(base / "model.safetensors")}
    tensors = load_file(folder / "adapter_model.safetensors")
    low_rank = {name.split(".lora_")[0].removeprefix("base_model.model.") for name in tensors if ".lora_" in name}
    assert low_rank <= modules and len(low_rank) == len(config["target_modules"].split("|"))
    assert all(re.fullmatch(config["target_modules"], name) for name in low_rank)
    assert set(config["modules_to_save"]) <= modules and "model.action_out_proj" in config["modules_to_save"]
    for pattern in ("rank_pattern", "alpha_pattern"):
        assert len(config[pattern]) == len(ours[pattern]) > 0
        assert all(any(re.fullmatch(key, name) for name in low_rank) for key in config[pattern])
    assert config["base_model_name_or_path"] == str(base)
    assert json.loads((folder / "config.json").read_text())["use_peft"] is True


def test_cameras_gripper_and_run_go_along(trained: tuple[str, Path, Store, str], tmp_path: Path) -> None:
    family, _, store, adapter = trained
    folder = pipeline.export_policy(store, adapter_id=adapter, folder=tmp_path / "out")
    steps = json.loads((folder / "policy_preprocessor.json").read_text())["steps"]
    assert steps[0]["config"]["rename_map"] == {
        "observation.images.top": "observation.images.base_0_rgb",
        "observation.images.exterior": "observation.images.base_0_rgb",
        "observation.images.hand_eye": "observation.images.left_wrist_0_rgb",
        "observation.images.wrist": "observation.images.left_wrist_0_rgb",
    }
    after = json.loads((folder / "policy_postprocessor.json").read_text())["steps"][0]
    numbers = load_file(folder / after["state_file"])
    assert numbers["action.std"][-1] < 0 < numbers["action.std"][:-1].min()
    if family == "pi05":
        assert numbers["action.q01"][-1] > 50 > numbers["action.q99"][-1]
    run = json.loads((folder / "train_config.json").read_text())
    assert (run["steps"], run["batch_size"], run["dataset"]["episodes"]) == (3, 2, [0, 1])
    config = json.loads((folder / "config.json").read_text())
    assert list(config["input_features"])[:2] == [
        "observation.images.base_0_rgb",
        "observation.images.left_wrist_0_rgb",
    ]
    assert config["input_features"]["observation.state"]["shape"] == [7]


def test_the_card_says_what_why_and_how_it_did(trained: tuple[str, Path, Store, str], tmp_path: Path) -> None:
    _, _, store, adapter = trained
    won = np.array([True, True, False, True])
    rows = [
        Rollouts(name, "pick_cube", (), (1, 2, 3, 4), won & flag, np.full(4, 9, np.int32))
        for name, flag in (("steering", True), ("zero_shot", False))
    ]
    ids = [store.save("rollouts", row, parents=[adapter] if row.method == "steering" else []) for row in rows]
    pipeline.compare(store, rollouts_ids=ids)
    before = pipeline.package_policy(store, adapter_id=adapter)
    plan = TrialPlan(("zero_shot", "steering"), blocks=3, adapters={"steering": adapter})
    book = create(store.root / "trials" / "cups", plan)
    for slot in book.slots:
        book.record("success" if slot.method == "steering" else "failure")
    assert pipeline.package_policy(store, adapter_id=adapter) != before
    folder = pipeline.export_policy(store, adapter_id=adapter, folder=tmp_path / "out")
    card = (folder / "README.md").read_text()
    for said in (
        "library_name: lerobot",
        "Heads that were trained: 4. Where they come from: Best heads by k-NN (paper) on noise",
        "VLM, layer.head: 0.1, 0.3, 1.0",
        "steering: 3 of 4, 95 % interval 30 to 95 %",
        "zero_shot: 0 of 4",
        "p = .25",
        "noise of an arm: 2 demonstrations",
        "- steering, usual, 3 of 3, 44 to 100 %",
        "- steering against zero_shot: the plan is used up and neither is shown.",
        "Robot: so_arm.",
        "Turned over for training: gripper.pos; the statistics here give it as the robot does",
        "steering ",
    ):
        assert said in card, said
    heads = json.loads((folder / "selection.json").read_text())
    assert heads["trainable_head_stacks"] == ["expert", "vlm", "vlm", "vlm"]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, str]:
    """The samples and their adapter on heads of the embedded policy."""
    store = open_store(tmp_path_factory.mktemp("own"))
    found = [one.id for one in store.find("adapter") if one.params["method"] == "steering"]
    return store, found[0]


def test_transformers_loads_the_merged_folder_and_peft_the_adapter(own: tuple[Store, str], tmp_path: Path) -> None:
    store, adapter = own
    whole = pipeline.export_policy(store, adapter_id=adapter, folder=tmp_path / "whole", layout="peft", merged=True)
    part = pipeline.export_policy(store, adapter_id=adapter, folder=tmp_path / "part", layout="peft")
    theirs = PI0ForConditionalGeneration.from_pretrained(whole)
    below = load_policy("embedded", device="cpu").model
    with without_peft_warning():
        merged = PeftModel.from_pretrained(below, str(part)).merge_and_unload()
    for name, value in merged.named_parameters():
        assert torch.allclose(theirs.get_parameter(name), value, atol=1e-6), name
    ours = load_policy(whole, device="cpu")
    kept = json.loads((part / "normalisation.json").read_text())
    assert np.allclose(ours.preprocessor.statistics.actions_mean, kept["actions_mean"])


def _full(store: Store, policy_folder: Path, demonstrations: Demonstrations) -> str:
    settings = {"steps": 1, "batch_size": 2, "warmup_steps": 1, "noise_samples": 1}
    made_of = store.save("demonstrations", demonstrations)
    return pipeline.finetune(
        store, demonstrations_id=made_of, method="full", settings=settings, policy=str(policy_folder)
    )


def test_a_full_finetune_is_exported_whole(tmp_path: Path, policy_folder: Path, demonstrations: Demonstrations) -> None:
    store = Store(tmp_path / "store")
    adapter = _full(store, policy_folder, demonstrations)
    with pytest.raises(InputError, match="Add --merged"):
        pipeline.export_policy(store, adapter_id=adapter, folder=tmp_path / "out", layout="peft")
    assert not (tmp_path / "out").exists()
    out = pipeline.export_policy(store, adapter_id=adapter, folder=tmp_path / "out", layout="peft", merged=True)
    trained_model = load_policy(policy_folder, store.load(adapter).folder).model
    exported = load_policy(out).model
    for name, value in trained_model.named_parameters():
        assert torch.equal(exported.get_parameter(name), value), name


def _in_use(folder: Path) -> None:
    folder.mkdir()
    (folder / "file").touch()


@pytest.mark.parametrize(
    ("layout", "before", "error", "words"),
    [
        ("lerobot", lambda folder: None, InputError, "18 layers × 8 heads alone; this one has 8 layers"),
        ("openpi", lambda folder: None, InputError, "Choose the layout peft"),
        ("onnx", lambda folder: None, NotFound, "lerobot, openpi, peft"),
        ("peft", _in_use, InputError, "in use"),
    ],
)
def test_what_cannot_be_exported_is_said(
    own: tuple[Store, str],
    tmp_path: Path,
    layout: str,
    before: Callable[[Path], None],
    error: type[Exception],
    words: str,
) -> None:
    store, adapter = own
    before(tmp_path / "out")
    with pytest.raises(error, match=words):
        pipeline.export_policy(store, adapter_id=adapter, folder=tmp_path / "out", layout=layout)


def test_transformers_has_no_pi05(trained: tuple[str, Path, Store, str], tmp_path: Path) -> None:
    family, _, store, adapter = trained
    if family == "pi05":
        with pytest.raises(InputError, match="no pi05"):
            pipeline.export_policy(store, adapter_id=adapter, folder=tmp_path / "out", layout="peft")


def test_only_exports_are_pushed_and_to_a_name_of_ones_own(own: tuple[Store, str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="export-policy wrote"):
        pipeline.push_policy(tmp_path, "me/policy")
    store, adapter = own
    folder = pipeline.export_policy(store, adapter_id=adapter, folder=tmp_path / "out", layout="peft")
    for name in ("policy", "../policy", "me/po/licy"):
        with pytest.raises(InputError, match="name of a repository"):
            pipeline.push_policy(folder, name)
    with pytest.raises(InputError, match=r"did not take me/policy .* HF_HUB_OFFLINE"):
        pipeline.push_policy(folder, "me/policy")


def test_an_export_to_take_away_is_one_file_and_names_no_folder(
    own: tuple[Store, str], trained: tuple[str, Path, Store, str], tmp_path: Path
) -> None:
    family, base, store, adapter = trained
    made_id = pipeline.package_policy(store, adapter_id=adapter)
    assert pipeline.package_policy(store, adapter_id=adapter) == made_id
    value = store.load(made_id)
    assert (value.layout, value.file.name) == ("lerobot", "steering-lerobot.zip")
    with zipfile.ZipFile(value.file) as archive:
        assert {"README.md", "adapter_config.json", "adapter_model.safetensors", "config.json"} <= set(
            archive.namelist()
        )
        told = b"".join(archive.read(name) for name in archive.namelist())
    assert str(base.parent).encode() not in told and b"noise of an arm" in told
    embedded, one = own
    assert embedded.load(pipeline.package_policy(embedded, adapter_id=one)).layout == "peft"


def test_the_command_says_what_it_wrote(
    own: tuple[Store, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, adapter = own
    arguments = ["export-policy", adapter, str(tmp_path / "out"), "--layout", "peft", "--store", str(store.root)]
    monkeypatch.setattr(sys, "argv", ["steering", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"README.md", "adapter_config.json", "normalisation.json", "selection.json"} <= set(said["files"])
