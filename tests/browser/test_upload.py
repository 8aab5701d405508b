"""People's own recordings through the page: every format sent, mapped, imported and opened; hostile files refused."""

from __future__ import annotations

import importlib.util
import pickle
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
TESTS = Path(__file__).parents[1]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def files() -> ModuleType:
    return load(TESTS / "steering" / "demonstrations" / "dataset_files.py")


@pytest.fixture(scope="module")
def address(
    tmp_path_factory: pytest.TempPathFactory,
    serve: Callable[..., AbstractContextManager[str]],
    run_script: Callable[..., None],
) -> Iterator[str]:
    """A page of its own over an empty store, for what is imported stays."""
    folder = tmp_path_factory.mktemp("uploads")
    run_script("tests/browser/random_policy.py", folder / "policy")
    with serve(folder, STEERING_SAMPLES=str(folder / "none"), STEERING_POLICY=str(folder / "policy")) as found:
        yield found


@pytest.fixture
def page(open_page: OpenPage, address: str) -> Page:
    return open_page(f"{address}?tab=demonstrations")


def send(page: Page, path: Path) -> None:
    page.get_by_test_id("choose-folder" if path.is_dir() else "choose-files").set_input_files(path)


def inspected(page: Page) -> None:
    expect(page.locator("[data-phase=inspected]")).to_be_visible(timeout=60_000)


def activations(path: Path) -> Path:
    """Head outputs as the Robotic Steering release writes them; head 1.2 of the VLM says the action."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for episode in range(3):
            for frame in range(30):
                action = rng.standard_normal(7).astype(np.float32)
                outputs = rng.standard_normal((3, 4, 16)).astype(np.float32)
                outputs[1, 2, :7] = 9 * action
                group = file.create_group(f"pick up the cube/demo_{episode}/{frame}")
                group["last_token_attn"], group["action_label"] = outputs, action
    return path


def made(kind: str, files: ModuleType, folder: Path) -> Path:
    """A dataset of a kind as a user has it: a file, a folder, or a zip."""
    truth = files.episodes(2, frames=12)
    if kind == "lerobot_v3":
        return files.zipped(files.lerobot_v3(folder / "v3", truth), folder / "cubes.zip", inside="cubes/")
    if kind == "recording":
        from steering import pipeline
        from steering.store import Store

        store = Store(folder / "store")
        own = store.folder(pipeline.import_demonstrations(store, path=files.npz(folder / "a.npz", truth)))
        return files.zipped(own, folder / "own.zip")
    ending = {"npz": ".npz", "lerobot_v2": "", "droid": ""}.get(kind, ".hdf5")
    return getattr(files, kind)(folder / f"cubes{ending}", truth[0] if kind == "aloha" else truth)


@pytest.mark.parametrize(
    ("kind", "layout", "format_"),
    [
        ("lerobot_v3", "", "LeRobotDataset v3.0"),
        ("lerobot_v2", "", "LeRobotDataset v2.1"),
        ("libero", "LIBERO", "LIBERO HDF5"),
        ("robomimic", "robomimic", "robomimic HDF5"),
        ("authors", "DROID", "Robotic Steering HDF5"),
        ("droid", "DROID", "DROID HDF5"),
        ("aloha", "ALOHA", "HDF5"),
        ("npz", "", "NPZ"),
        ("recording", "workbench", "workbench recording"),
    ],
)
def test_every_format_is_recognised_and_imported(
    page: Page, files: ModuleType, tmp_path: Path, kind: str, layout: str, format_: str
) -> None:
    before = page.get_by_test_id("set").count()
    send(page, made(kind, files, tmp_path))
    inspected(page)
    upload = page.get_by_test_id("upload")
    expect(upload).to_contain_text(f"Recognised: {layout}" if layout else "No known layout")
    expect(page.get_by_test_id("health")).to_contain_text(format_)
    expect(page.get_by_test_id("camera")).to_have_count(2)
    drawn = "images => images.every(image => image.naturalWidth > 0)"
    assert page.get_by_test_id("camera").locator("img").evaluate_all(drawn)
    page.get_by_test_id("import").click()
    expect(upload).to_contain_text("imported", timeout=60_000)
    expect(page.get_by_test_id("set")).to_have_count(before + 1)
    upload.get_by_role("button", name="Done").click()
    expect(upload).to_have_count(0)
