"""People's own recordings through the page: every format sent, mapped, imported and opened; hostile files refused."""

from __future__ import annotations

import importlib.util
import json
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

from .waiting import WORKS_MS, reload, said

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
TESTS = Path(__file__).parents[1]
SEEN = """() => { const images = [...document.querySelectorAll('[data-testid=camera] img')];
  return images.length === 2 && images.every((image) => image.naturalWidth > 0); }"""
"""Whether both cameras have a picture."""


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
    policy: Path,
) -> Iterator[str]:
    """A page of its own over an empty store, for what is imported stays."""
    folder = tmp_path_factory.mktemp("uploads")
    with serve(folder, STEERING_SAMPLES=str(folder / "none"), STEERING_POLICY=str(policy)) as found:
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
    ending = {"lerobot_v2": "", "droid": ""}.get(kind, ".hdf5")
    return getattr(files, kind)(folder / f"cubes{ending}", truth[0] if kind == "aloha" else truth)


FORMATS = (
    ("lerobot_v3", "", "LeRobotDataset v3.0"),
    ("libero", "LIBERO", "LIBERO HDF5"),
    ("lerobot_v2", "", "LeRobotDataset v2.1"),
    ("robomimic", "robomimic", "robomimic HDF5"),
    ("authors", "DROID", "Robotic Steering HDF5"),
    ("droid", "DROID", "DROID HDF5"),
    ("aloha", "ALOHA", "ALOHA HDF5"),
    ("recording", "workbench", "workbench recording"),
)


def test_an_empty_store_says_what_to_do(open_page: OpenPage, address: str) -> None:
    page = open_page(address)
    page.get_by_role("button", name="Record demonstrations").click()
    expect(page.get_by_text("No demonstrations yet")).to_be_visible()
    expect(page.get_by_test_id("record-start")).to_be_enabled()
    page.get_by_role("tab", name="Compare").click()
    expect(page.get_by_text("Nothing compared yet")).to_be_visible()
    expect(page.locator("#header")).to_contain_text("none yet")


@pytest.mark.slow
def test_every_format_is_recognised_and_imported(page: Page, files: ModuleType, tmp_path: Path) -> None:
    upload, sets = page.get_by_test_id("upload"), page.get_by_test_id("set")
    for kind, layout, format_ in FORMATS:
        before = sets.count()
        folder = tmp_path / kind
        folder.mkdir()
        send(page, made(kind, files, folder))
        inspected(page)
        expect(upload).to_contain_text(f"Recognised: {layout}" if layout else "No known layout")
        expect(page.get_by_test_id("health")).to_contain_text(format_)
        expect(page.get_by_test_id("camera")).to_have_count(2)
        page.wait_for_function(SEEN)
        page.get_by_test_id("import").click()
        expect(upload).to_contain_text("imported")
        expect(sets).to_have_count(before + 1)
        upload.get_by_role("button", name="Done").click()
        expect(upload).to_have_count(0)


def test_the_mapping_is_corrected_imported_and_remembered(page: Page, files: ModuleType, tmp_path: Path) -> None:
    path = files.npz(tmp_path / "swapped.npz", files.episodes(3, frames=40))
    send(page, path)
    inspected(page)
    upload, cameras = page.get_by_test_id("upload"), page.get_by_test_id("camera")
    expect(page.get_by_test_id("reasons")).to_contain_text("taken as the wrist camera")
    cameras.nth(0).locator("select").nth(0).select_option("wrist")
    page.get_by_test_id("import").click()
    said(page, "are both the wrist camera")
    cameras.nth(1).locator("select").nth(0).select_option("exterior")
    cameras.nth(1).locator("select").nth(1).select_option("180")
    expect(cameras.nth(1).locator("img")).to_have_css("rotate", "180deg")
    page.locator("[name=instruction]").fill("lift <b>it</b>")
    page.locator("[name=episodes]").fill("0-1")
    page.locator("[name=state-columns-0]").fill("0-6")
    page.get_by_test_id("check").click()
    expect(page.get_by_test_id("reasons")).to_contain_text("Corrected by you")
    expect(page.get_by_test_id("health")).to_contain_text("7 and 7 numbers")
    page.locator("[name=episodes]").fill("0-1")
    page.get_by_test_id("import").click()
    expect(upload).to_contain_text("2 episodes imported")
    card = page.get_by_test_id("set").filter(has_text="Swapped")
    expect(card).to_contain_text("“lift <b>it</b>”")
    card.get_by_role("button", name="Health").click()
    expect(page.get_by_label("Health of swapped")).to_contain_text("Leave-one-episode-out")
    page.get_by_label("Health of swapped").get_by_role("button", name="Close").click()
    expect(page.get_by_label("Health of swapped")).to_have_count(0)
    page.get_by_test_id("open-imported").click()
    expect(page.get_by_test_id("frame-player")).to_contain_text("lift")
    page.get_by_role("tab", name="Demonstrations").click()
    send(page, path)
    inspected(page)
    expect(page.get_by_test_id("reasons")).to_contain_text("As you mapped a dataset of the same layout before.")
    expect(cameras.nth(0).locator("select").nth(0)).to_have_value("wrist")
    expect(page.locator("[name=instruction]")).to_have_value("")
    reload(page)
    inspected(page)
    upload.get_by_role("button", name="Remove").click()
    expect(upload).to_have_count(0)


def test_heads_are_found_on_what_was_brought(page: Page, files: ModuleType, tmp_path: Path) -> None:
    one_camera = [
        type(one)(one.state, one.action, {"exterior": one.cameras["exterior"]}) for one in files.episodes(3, frames=24)
    ]
    send(page, files.npz(tmp_path / "front_only.npz", one_camera))
    inspected(page)
    expect(page.get_by_test_id("health")).to_contain_text("No camera is mapped as wrist.")
    page.get_by_test_id("import").click()
    expect(page.get_by_test_id("upload")).to_contain_text("imported")
    page.get_by_test_id("open-imported").click()
    expect(page.get_by_test_id("frame-player")).to_be_visible()
    page.get_by_role("tab", name="Demonstrations").click()
    page.get_by_test_id("upload").get_by_role("button", name="Find heads").click()
    page.get_by_role("tab", name="Heads").click()
    expect(page.get_by_test_id("head-cell").first).to_be_visible(timeout=WORKS_MS)
    expect(page.get_by_test_id("selection-summary")).to_be_visible()


@pytest.mark.slow
def test_head_outputs_are_scored(page: Page, tmp_path: Path) -> None:
    send(page, activations(tmp_path / "captured.h5"))
    upload = page.get_by_test_id("upload")
    expect(upload.locator("[name=task]")).to_have_value("pick up the cube")
    upload.get_by_role("button", name="Score the heads").click()
    expect(upload.locator(".wb-heads li").first).to_have_text("VLM 1.2")
    with page.expect_download() as download:
        page.get_by_test_id("keep-selection").click()
    assert [1, 2] in json.loads(Path(download.value.path()).read_text())["trainable_head_indices"]
    upload.get_by_role("button", name="Done").click()


def test_hostile_files_end_in_a_sentence(page: Page, files: ModuleType, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bin", b"")
        archive.filelist[0].file_size = 40 << 30  # what a bomb says of itself
    with zipfile.ZipFile(tmp_path / "outside.zip", "w") as archive:
        archive.writestr("../../outside.txt", "gotcha")
        archive.writestr("meta/info.json", "{}")
    np.savez(tmp_path / "pickled.npz", action=np.array([Harm()], object), state=np.zeros((5, 3)))
    (tmp_path / "<img src=x onerror=alert(1)>.npz").write_bytes(b"nothing of the kind")
    upload = page.get_by_test_id("upload")
    for name, words in (
        ("bomb.zip", "unpacks to more than 8192 MB"),
        ("outside.zip", "leads outside; that is refused"),
        ("pickled.npz", "pickle"),
        ("<img src=x onerror=alert(1)>.npz", "is none of the formats that are read"),
    ):
        send(page, tmp_path / name)
        expect(upload.get_by_role("alert")).to_contain_text(words)
        expect(page.get_by_text("failed", exact=True)).to_have_count(0)
    assert not Harm.marker.exists()
    assert upload.locator("img").count() == 0, "names are text"
    zone = page.get_by_test_id("drop-zone")
    zone.get_by_test_id("hub-id").fill("../../etc")
    zone.get_by_role("button", name="Fetch").click()
    expect(page.get_by_test_id("upload-words")).to_contain_text("as owner/name")
    send(page, files.libero(tmp_path / "good.hdf5", files.episodes(2, frames=8)))  # the session goes on
    inspected(page)
    upload.get_by_role("button", name="Remove").click()


def test_sending_shows_progress_and_can_be_cancelled(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "large.npz"
    path.write_bytes(bytes(3_000_000))
    page.route("**/uploads/**", lambda route: None)  # a connection that carries nothing
    send(page, path)
    expect(page.get_by_test_id("upload-progress")).to_contain_text("of 3.0 MB")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_test_id("upload-words")).to_contain_text("Stopped. Nothing was kept.")
    page.unroute("**/uploads/**")
    expect(page.get_by_test_id("upload")).to_have_count(0)


class Harm:
    """Runs when it is unpickled."""

    marker = Path(__file__).with_name("harm-was-done")

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Harm.marker,)
