"""What is not as it was written is found before it is used, named with what remakes it, and replaced when remade."""

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from steering import integrity, stages
from steering.errors import InputError, NotFound
from steering.integrity import Damaged
from steering.store import Store
from steering.types import Demonstrations, Selection

from . import every_kind

KINDS = sorted(stages.MADE_BY)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    root = tmp_path_factory.mktemp("whole")
    return root, every_kind.save_all(Store(root))


@pytest.fixture
def copy(whole: tuple[Path, dict[str, str]], tmp_path: Path) -> tuple[Path, dict[str, str]]:
    shutil.copytree(whole[0], tmp_path / "store")
    return tmp_path / "store", whole[1]


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def flip(path: Path, position: int, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= 1 << bit
    path.write_bytes(content)


def read_whole(store: Store, artefact_id: str) -> None:
    """Load an artefact and touch everything in it."""
    value = store.load(artefact_id)
    if isinstance(value, Demonstrations):
        for episode in value.episodes:
            for camera in episode.cameras:
                assert episode.cameras[camera].size


def without_digests(folder: Path) -> None:
    """Make the manifest what it was before digests were written."""
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"], manifest["digest"]
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))


def test_there_is_an_artefact_of_every_kind_and_words_for_it(whole: tuple[Path, dict[str, str]]) -> None:
    root, ids = whole
    assert sorted(ids) == KINDS
    store = Store(root)
    for kind, artefact_id in ids.items():
        store.check(artefact_id)
        read_whole(store, artefact_id)
        assert artefact_id in integrity.Damage(artefact_id, "it is broken").words
        assert integrity.Damage(artefact_id, "").again != "Make it again", f"say what remakes {kind}"
    assert store.damaged() == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("harm", ["flipped", "truncated", "deleted"])
def test_every_harm_to_every_file_of_every_kind_is_found(
    whole: tuple[Path, dict[str, str]], kind: str, harm: str, tmp_path: Path
) -> None:
    made, ids = whole
    root = tmp_path / "store"  # of this one alone
    shutil.copytree(Store(made).folder(ids[kind]), root / "artefacts" / ids[kind])
    folder, rng = Store(root).folder(ids[kind]), np.random.default_rng(7)
    for path in files(folder):
        kept = path.read_bytes()
        for _ in range(3 if harm == "flipped" else 1):
            if harm == "flipped":
                flip(path, int(rng.integers(len(kept))), int(rng.integers(8)))
            elif harm == "truncated":
                path.write_bytes(kept[:-1])
            else:
                path.unlink()
            store = Store(root)
            with pytest.raises(Damaged) as caught:
                read_whole(store, ids[kind])
            assert ids[kind] in str(caught.value) and path.name in str(caught.value)
            assert caught.value.damage.again in str(caught.value)
            assert [one.id for one in store.damaged()] == [ids[kind]]
            with pytest.raises(Damaged):
                Store(root).check(ids[kind])
            path.write_bytes(kept)
        read_whole(Store(root), ids[kind])


def test_every_bit_of_a_manifest_counts(copy: tuple[Path, dict[str, str]]) -> None:
    root, ids = copy
    path = Store(root).folder(ids["policy"]) / "manifest.json"
    kept = path.read_bytes()
    before = Store(root).manifest(ids["policy"])
    for position in range(0, len(kept), 5):
        flip(path, position, position % 8)
        try:
            assert Store(root).manifest(ids["policy"]) == before  # a blank that became another blank
        except Damaged:
            assert [one.id for one in Store(root).damaged()] == [ids["policy"]]
            assert Store(root).find("policy") == []
        path.write_bytes(kept)


@pytest.mark.parametrize("header", ["{'descr': (", "{'descr' 1 }", "(" * 4000], ids=["open", "no_python", "deep"])
def test_an_array_whose_header_is_broken_ends_in_words(copy: tuple[Path, dict[str, str]], header: str) -> None:
    root, ids = copy
    folder = Store(root).folder(ids["activations"])
    without_digests(folder)
    text = header.encode() + b"\n"
    with zipfile.ZipFile(folder / "arrays.npz", "w") as archive:
        archive.writestr("outputs.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    with pytest.raises(Damaged, match=ids["activations"]):
        Store(root).load(ids["activations"])


def test_artefacts_from_before_digests_stay_readable_and_their_harms_end_in_words(
    copy: tuple[Path, dict[str, str]],
) -> None:
    root, ids = copy
    rng = np.random.default_rng(3)
    for kind, artefact_id in ids.items():
        folder = Store(root).folder(artefact_id)
        without_digests(folder)
        assert Store(root).manifest(artefact_id).files is None
        read_whole(Store(root), artefact_id)
        for name in ("value.json", "arrays.npz"):
            path = folder / name
            if not path.is_file():
                continue
            kept = path.read_bytes()
            for _ in range(4):
                flip(path, int(rng.integers(len(kept))), int(rng.integers(8)))
                store = Store(root)
                try:
                    store.load(artefact_id)
                except Damaged as error:
                    assert artefact_id in str(error), kind
                    assert [one.id for one in store.damaged()] == [artefact_id]
                path.write_bytes(kept)


def test_a_file_is_hashed_once_while_it_stays_and_again_when_it_changed(
    copy: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, ids = copy
    hashed: list[str] = []
    honest = integrity.hashlib.file_digest

    def counted(file, name):  # type: ignore[no-untyped-def]
        hashed.append(Path(file.name).name)
        return honest(file, name)

    monkeypatch.setattr(integrity.hashlib, "file_digest", counted)
    store = Store(root)
    for _ in range(3):
        read_whole(store, ids["demonstrations"])
    assert sorted(hashed) == ["a0000.mp4", "a0001.mp4", "arrays.npz", "value.json"]
    path = store.folder(ids["demonstrations"]) / "arrays.npz"
    content = path.read_bytes()
    flip(path, 300, 0)
    os.utime(path, ns=(1, 1))
    with pytest.raises(Damaged, match="is not as it was written"):
        store.load(ids["demonstrations"])
    path.write_bytes(content)
    os.utime(path, ns=(2, 2))
    store.load(ids["demonstrations"])
    assert hashed.count("arrays.npz") == 3 and store.damaged() == []


def test_large_files_are_hashed_by_who_reads_them(
    copy: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integrity, "AT_ONCE_BYTES", 1)
    root, ids = copy
    store = Store(root)
    for kind, name in (("adapter", "adapter/adapter_model.safetensors"), ("demonstrations", "a0001.mp4")):
        flip(store.folder(ids[kind]) / name, 40, 2)
        value = store.load(ids[kind])
        with pytest.raises(Damaged, match=name):
            store.check(ids[kind])
    with pytest.raises(Damaged, match=r"a0001\.mp4 is not as it was written"):
        value.episodes[0].cameras["wrist"]
    with pytest.raises(Damaged):
        store.load(ids["demonstrations"])  # known by now


def test_what_is_damaged_is_not_found_made_and_is_replaced_when_it_is_made_again(tmp_path: Path) -> None:
    store, value = Store(tmp_path), Selection((), "a")
    made = store.save("selection", value, params={"seed": 1})
    flip(store.folder(made) / "value.json", 5, 1)
    store = Store(tmp_path)
    assert store.find_made("selection", [], {"seed": 1}) is None
    assert store.save("selection", value, params={"seed": 1}) == made
    assert store.load(made) == value and store.damaged() == []
    assert store.find_made("selection", [], {"seed": 1}) == made
    [aside] = (tmp_path / "damaged").iterdir()
    assert aside.name.startswith(made) and (aside / "value.json").is_file()
    os.utime(aside, (0, 0))
    store.sweep()
    assert not aside.exists()


def test_a_damaged_sample_is_replaced_in_the_own_store(tmp_path: Path) -> None:
    made = Store(tmp_path / "samples").save("selection", Selection((), "a"))
    flip(tmp_path / "samples" / "artefacts" / made / "value.json", 5, 1)
    store = Store(tmp_path / "own", readonly=[tmp_path / "samples"])
    with pytest.raises(Damaged):
        store.load(made)
    assert [one.id for one in store.damaged()] == [made]
    assert store.save("selection", Selection((), "a")) == made
    assert store.load(made) == Selection((), "a") and store.damaged() == []
    assert store.folder(made).is_relative_to(tmp_path / "own")


def test_another_result_of_the_same_work_takes_the_place_of_a_damaged_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.save("selection", Selection((), "a"), params={"seed": 1})
    (store.folder(first) / "value.json").unlink()
    assert [one.id for one in store.damaged()] == [first]
    second = store.save("selection", Selection((), "b"), params={"seed": 1})
    assert second != first and store.damaged() == [] and store.find_made("selection", [], {"seed": 1}) == second


def test_only_what_is_damaged_is_set_aside(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = store.save("selection", Selection((), "a"))
    with pytest.raises(InputError, match="stays"):
        store.set_aside(made)
    (store.folder(made) / "manifest.json").unlink()
    with pytest.raises(Damaged, match=r"manifest\.json is missing"):
        store.load(made)
    aside = store.set_aside(made)
    assert aside is not None and aside.is_dir() and store.damaged() == []
    assert store.set_aside(made) is None
    with pytest.raises(NotFound):
        store.load(made)


def test_damage_travels_between_processes(tmp_path: Path) -> None:
    error = Damaged(integrity.Damage("selection-0123456789abcdef", "value.json is missing", ("a",)))
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) and again.damage == error.damage


def test_a_manifest_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    def entries() -> Iterator[object]:
        yield {"../x": [1, "a"]}
        yield {"/etc/passwd": [1, "a"]}
        yield {"a": [1]}
        yield {"a": ["1", "a"]}
        yield ["a"]

    assert all(integrity.files_of(one) is None for one in entries())
    assert integrity.files_of({"a/b": [1, "c"]}) == {"a/b": (1, "c")}


def test_the_command_reads_everything_and_sets_aside_what_is_damaged(
    copy: tuple[Path, dict[str, str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from steering.cli.main import app

    root, ids = copy
    monkeypatch.setattr("steering.cli.check.open_folder", Store)  # without the samples

    def run(*options: str) -> tuple[int, list[str], dict[str, list[str]]]:
        code = app(["check", "--store", str(root), *options], standalone_mode=False)
        *said, last = capsys.readouterr().out.splitlines()
        return code, said, json.loads(last)

    code, said, found = run()
    assert code == 0 and not said and found["damaged"] == [] and found["artefacts"] >= len(KINDS)
    flip(Store(root).folder(ids["rollouts"]) / "1.mp4", 50, 3)
    code, [said], found = run()
    assert code == 1 and ids["rollouts"] in said and "1.mp4" in said and found["set_aside"] == []
    code, _, found = run("--set-aside")
    assert code == 1 and Path(found["set_aside"][0]).is_dir()
    code, _, found = run()
    assert code == 0 and found["damaged"] == []
