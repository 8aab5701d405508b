"""Pictures stored blue first: swapped where the file says so, shown both ways where it does not."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest
from PIL import Image

from app.answers.uploads import Camera, UploadCard
from app.views.mapping import upload_panel
from steering import pipeline
from steering.cli import main as cli
from steering.demonstrations.guessing import guess
from steering.demonstrations.health import examine
from steering.demonstrations.mapping import corrected
from steering.demonstrations.readers.registry import open_dataset
from steering.store import Store

pytestmark = pytest.mark.usefixtures("read_here")


def notes(path: Path, mapping: dict | None = None) -> list[str]:
    with open_dataset(path) as dataset:
        guessed = guess(dataset)
        if mapping:
            guessed = type(guessed)(corrected(guessed.mapping, mapping), ())
        return [one.words for one in examine(dataset, guessed).problems if one.kind == "colour_order"]


def test_jpegs_of_aloha_without_an_order_are_noted_until_one_is_said(files: ModuleType, tmp_path: Path) -> None:
    path = files.aloha(tmp_path / "episode_0.hdf5")
    (note,) = notes(path)
    assert "cam_left_wrist holds JPEGs without their order of colours" in note
    wrist = {"feature": "observations/images/cam_left_wrist", "bgr": True}
    assert notes(path, {"cameras": {"wrist": wrist}}) == []
    with h5py.File(path, "a") as file:
        file["observations/images/cam_left_wrist"].attrs["encoding"] = "rgb8"
    assert notes(path) == []


@pytest.mark.parametrize("on_file", [True, False])
@pytest.mark.parametrize("kind", ["aloha", "libero", "authors"])
def test_a_file_that_says_bgr_is_believed(kind: str, on_file: bool, files: ModuleType, tmp_path: Path) -> None:
    path = getattr(files, kind)(tmp_path / "set.hdf5")
    names: list[str] = []
    with h5py.File(path, "a") as file:
        file.visititems(lambda name, item: names.append(name) if getattr(item, "ndim", 0) == 4 else None)
        for holder in [file] if on_file else [file[name] for name in names]:
            holder.attrs["color_space"] = "BGR"
    with open_dataset(path) as dataset:
        found = guess(dataset)
        assert any("said to be BGR; red and blue are swapped" in reason for reason in found.reasons)
        truth = files.episodes(1)[0].cameras["exterior"]
        np.testing.assert_array_equal(dataset.episode(0, found.mapping).cameras["exterior"], truth[..., ::-1])


def test_a_camera_s_own_name_says_it_too(files: ModuleType, tmp_path: Path) -> None:
    one = files.episodes(1)[0]
    images = one.cameras["exterior"]
    arrays = {"image.front_bgr": images[..., ::-1], "image.wrist": images}
    np.savez(tmp_path / "set.npz", action=one.action, state=one.state, rate_hz=10, **arrays)
    with open_dataset(tmp_path / "set.npz") as dataset:
        cameras = dataset.episode(0, guess(dataset).mapping).cameras
    np.testing.assert_array_equal(cameras["exterior"], cameras["wrist"])


def test_the_command_line_writes_both_pictures(
    files: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = files.aloha(tmp_path / "episode_0.hdf5"), tmp_path / "look.png"
    arguments = ("inspect", path, "--pictures", out, "--store", tmp_path / "store")
    monkeypatch.setattr("sys.argv", ["steering", *map(str, arguments)])
    with pytest.raises(SystemExit):
        cli.main()
    sheet = np.asarray(Image.open(out))
    height, width = files.SIZE
    assert sheet.shape == (2 * height, 2 * width, 3)
    np.testing.assert_array_equal(sheet[:height, :width], files.episodes(1)[0].cameras["exterior"][0])
    np.testing.assert_array_equal(sheet[:, :width], sheet[:, width:, ::-1])
    assert set(pipeline.preview_demonstrations(path)) == {"exterior", "wrist"}


def test_the_page_shows_both_pictures_where_the_order_is_not_known() -> None:
    camera = Camera("cam_high", "data:image/webp;base64,AA", (480, 640), "", "exterior", 0, False, False)
    assert "both-orders" not in upload_panel(UploadCard("id", "set", "inspected", cameras=(camera,)))
    unsure = Camera(*(getattr(camera, name) for name in camera.__dataclass_fields__ if name != "either_order"), True)
    shown = upload_panel(UploadCard("id", "set", "inspected", cameras=(unsure,)))
    assert "As stored" in shown and "data-swapped>Swapped" in shown and 'name="bgr-0"' in shown


def test_red_and_blue_are_swapped_by_a_flag(
    files: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, store = files.aloha(tmp_path / "episode_0.hdf5"), Store(tmp_path / "store")

    def imported(*flags: str) -> tuple[int, str]:
        words = ("import", str(path), *flags, "--store", str(store.root))
        monkeypatch.setattr(sys, "argv", ["steering", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        told = capsys.readouterr()
        return int(end.value.code or 0), told.out + told.err

    def first(index: int) -> dict[str, np.ndarray]:
        (episode,) = store.load(store.find("demonstrations")[index].id).episodes
        return {role: np.asarray(images[:1]) for role, images in episode.cameras.items()}

    assert imported()[0] == 0
    stored = first(0)
    assert imported("--bgr", "wrist")[0] == 0
    swapped = first(0)
    np.testing.assert_array_equal(swapped["wrist"], stored["wrist"][..., ::-1])
    np.testing.assert_array_equal(swapped["exterior"], stored["exterior"])
    assert (stored["wrist"][..., 0] != stored["wrist"][..., 2]).any()
    assert imported("--bgr", "all")[0] == 0
    np.testing.assert_array_equal(first(0)["exterior"], stored["exterior"][..., ::-1])
    code, told = imported("--bgr", "ceiling")
    assert code != 0 and "no camera of this dataset 'ceiling'" in told
