import dataclasses
import hashlib
import json
import multiprocessing
import zipfile
from pathlib import Path

import numpy as np
import pytest

from steering import integrity, manifest, stages
from steering.errors import InputError, NotFound
from steering.store import Store
from steering.types import (
    Activations,
    Attention,
    Demonstrations,
    Episode,
    FinetuneResult,
    FinetuneSettings,
    Head,
    HeadShape,
    PolicyCheck,
    Relevance,
    Rollouts,
    Selection,
    Stack,
)

CAMERA_SHAPES = ((4, 16, 16, 3), (4, 5, 7, 3), (1, 1, 1, 3))


def noise_episode(rng: np.random.Generator, shape: tuple[int, int, int, int] = (4, 16, 16, 3)) -> Episode:
    frames = shape[0]
    return Episode(
        name="<b>ünsafe</b>",
        instruction="pick up the cube",
        rate_hz=20,
        cameras={name: rng.integers(0, 256, shape, dtype=np.uint8) for name in ("exterior", "wrist")},
        state=rng.normal(size=(frames, 8)).astype(np.float32),
        action=rng.normal(size=(frames, 7)).astype(np.float32),
        phase=np.zeros(frames, np.int8),
        success=True,
        ground_truth={"cube": np.zeros((frames, 3), np.float32)},
    )


def assert_equal(left: object, right: object) -> None:
    """Field by field, arrays to the bit; the codec's own code takes no part."""
    if isinstance(right, np.ndarray):
        assert isinstance(left, np.ndarray) and left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)
    elif dataclasses.is_dataclass(right):
        assert type(left) is type(right)
        for field in dataclasses.fields(right):
            assert_equal(getattr(left, field.name), getattr(right, field.name))
    elif isinstance(right, dict):
        assert list(left) == list(right)  # type: ignore[call-overload]
        for key in right:
            assert_equal(left[key], right[key])  # type: ignore[index]
    elif isinstance(right, tuple):
        assert isinstance(left, tuple) and len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_equal(one, other)
    else:
        assert left == right and (left is None) == (right is None)


def written_anew(folder: Path) -> None:
    """Let the manifest name the files as they are now, as if they had been saved so."""
    known = manifest.read(folder)
    (folder / "manifest.json").unlink()
    files = None if known.files is None else integrity.recorded(folder, integrity.Digests())
    manifest.write(dataclasses.replace(known, files=files), folder)


def examples() -> list[object]:
    rng = np.random.default_rng(0)
    episodes = tuple(noise_episode(rng, shape) for shape in CAMERA_SHAPES)
    scores = rng.normal(size=(2, 3, 4)).astype(np.float32)
    return [
        Demonstrations("demo", "pick_cube", ("lighting",), episodes),
        dataclasses.replace(episodes[0], phase=None, success=None, ground_truth={}),
        Activations(
            outputs=rng.normal(size=(5, 2, 3, 4, 6)).astype(np.float32),
            episode=np.arange(5, dtype=np.int32),
            frame=np.arange(5, dtype=np.int32),
            action=np.zeros((5, 7), np.float32),
            chunk=np.zeros((5, 2, 7), np.float32),
            state=np.zeros((5, 8), np.float32),
            time_in_episode=np.zeros(5, np.float32),
            tokens=("last_prefix", "state"),
            timestep=1.0,
            seed=3,
            inert=scores[..., ::-1] > 0,
        ),
        Relevance(
            "knn", "paper", "action", scores, scores[None], (10, 20), {"vlm": 10}, {"vlm": float("nan")},
            {"time": 0.5}, scores > 0, ("last_prefix", "state"),
        ),
        Attention(np.zeros((2, 2, 3, 4, 2, 36), np.uint8), np.zeros((2, 2, 3, 4, 5), np.float32), 6),
        Selection((Head("vlm", 0, 1), Head("expert", 2, 3)), "top_k", 10, 0.25),
        Selection((), "manual"),
    ]  # fmt: skip


@pytest.mark.parametrize("value", examples(), ids=lambda value: type(value).__name__)
def test_what_is_saved_is_loaded_to_the_bit(tmp_path: Path, value: object) -> None:
    made = Store(tmp_path).save("thing", value, params={"seed": 7})
    loaded = Store(tmp_path).load(made)
    if isinstance(value, Relevance):  # nan is not equal to itself
        assert np.isnan(loaded.cv_mse["vlm"])
        value = dataclasses.replace(value, cv_mse={})
        loaded = dataclasses.replace(loaded, cv_mse={})
    assert_equal(loaded, value)


def test_loaded_demonstrations_keep_their_fingerprint_and_can_be_saved_again(tmp_path: Path) -> None:
    demonstrations = examples()[0]
    assert isinstance(demonstrations, Demonstrations)
    store = Store(tmp_path)
    made = store.save("demonstrations", demonstrations)
    loaded = store.load(made)
    assert loaded.fingerprint() == demonstrations.fingerprint()
    assert store.save("demonstrations", loaded) == made
    assert len(store.find("demonstrations")) == 1


def test_frames_are_decoded_only_when_touched(tmp_path: Path) -> None:
    store = Store(tmp_path)
    saved = examples()[0]
    assert isinstance(saved, Demonstrations)
    made = store.save("demonstrations", saved)
    episode, first = store.load(made).episodes[0], saved.episodes[0].first_picture("wrist")
    np.testing.assert_array_equal(episode.first_picture("wrist"), first)
    assert len(episode.cameras["wrist"]) == 4
    np.testing.assert_array_equal(episode.first_picture("wrist"), first)
    for video in store.folder(made).glob("*.mp4"):
        video.write_bytes(b"broken")
    written_anew(store.folder(made))
    loaded = store.load(made)
    assert loaded.episodes[0].state.shape == (4, 8)
    assert "wrist" in loaded.episodes[0].cameras and "nose" not in loaded.episodes[0].cameras
    assert loaded.episodes[0].side_px == saved.episodes[0].side_px == saved.episodes[0].cameras["wrist"].shape[2]
    with pytest.raises(InputError, match="cannot be read as video"):
        loaded.episodes[0].cameras["wrist"]


def test_activations_of_an_older_version_get_the_inert_heads_of_its_policies(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (value,) = (one for one in examples() if isinstance(one, Activations))
    both, one = HeadShape.pair(3, 4, 6), HeadShape((Stack("expert", 3, 4, 6),))
    for tokens, shape in ((value.tokens, both), (("absent", "first_action"), one)):
        made = store.save("activations", dataclasses.replace(value, tokens=tokens))
        stored = store.folder(made) / "value.json"
        document = json.loads(stored.read_text())
        for name in ("inert", "stacks"):
            del document["fields"][name]
        stored.write_text(json.dumps(document))
        written_anew(store.folder(made))
        loaded = store.load(made)
        assert loaded.shape == shape and len(loaded.tokens) == len(shape.stacks)
        np.testing.assert_array_equal(loaded.inert, shape.last_layer("vlm"))
        np.testing.assert_array_equal(loaded.outputs, value.outputs[:, -len(shape.stacks) :])


def test_heads_of_an_older_version_are_a_pair(tmp_path: Path) -> None:
    store = Store(tmp_path)
    check = PolicyCheck("embedded", "pi0", "transformers", HeadShape.pair(3, 4, 6), 10, "", "own", 0.1)
    made = store.save("policy", check)
    assert store.load(made) == check
    stored = store.folder(made) / "value.json"
    document = json.loads(stored.read_text())
    document["fields"]["head_shape"]["fields"] = {"layers": 3, "heads": 4, "head_dim": 6}
    stored.write_text(json.dumps(document))
    written_anew(store.folder(made))
    assert store.load(made) == check
    document["fields"]["head_shape"]["fields"] = {"layers": "3", "heads": 4, "head_dim": 6}
    stored.write_text(json.dumps(document))
    written_anew(store.folder(made))
    with pytest.raises(InputError, match="another version"):
        store.load(made)


def test_an_artefact_with_files_keeps_them_and_its_paths(tmp_path: Path) -> None:
    store = Store(tmp_path / "a")
    with store.new_folder("adapter") as folder:
        (folder / "adapter").mkdir()
        (folder / "adapter" / "weights.bin").write_bytes(b"\x01\x02")
        empty = np.zeros(0, np.float32)
        result = FinetuneResult(
            "steering", FinetuneSettings(), None, folder / "adapter", {"q": 3}, empty, empty, empty, 0.5
        )
        made = store.save("adapter", result, folder=folder)
    assert not folder.exists()
    (tmp_path / "a").rename(tmp_path / "moved")
    loaded = Store(tmp_path / "moved").load(made)
    assert (loaded.folder / "weights.bin").read_bytes() == b"\x01\x02"
    assert loaded.settings == FinetuneSettings() and loaded.selection is None


def test_a_folder_that_was_not_saved_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(RuntimeError), store.new_folder("adapter") as folder:
        (folder / "half").write_text("x")
        raise RuntimeError
    assert not folder.exists() and store.find("adapter") == []


def test_paths_outside_the_folder_are_refused(tmp_path: Path) -> None:
    rollouts = Rollouts("lora", "t", (), (0,), np.ones(1, bool), np.ones(1, np.int32), (Path("/etc/passwd"),))
    with pytest.raises(InputError, match="outside the artefact's folder"):
        Store(tmp_path).save("rollouts", rollouts)


def test_the_manifest_names_parents_params_seed_and_versions(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.save("relevance", Selection((), "a"))
    made = store.save("selection", Selection((), "b"), parents=[first], params={"seed": 4, "count": 20})
    known = Store(tmp_path).manifest(made)
    assert (known.kind, known.parents, known.seed) == ("selection", (first,), 4)
    assert known.params == {"seed": 4, "count": 20}
    assert known.versions["numpy"] == np.__version__ and "steering" in known.versions
    assert known.key == store.work_key("selection", [first], {"count": 20, "seed": 4})
    assert store.find_made("selection", [first], {"count": 20, "seed": 4}) == made
    assert store.find_made("selection", [first], {"count": 21, "seed": 4}) is None
    assert [m.id for m in store.children(first)] == [made]
    with pytest.raises(NotFound):
        store.save("selection", Selection((), "c"), parents=["relevance-0123456789abcdef"])


def test_find_is_newest_first_and_layers_read_only_stores(tmp_path: Path) -> None:
    samples, own = Store(tmp_path / "samples"), Store(tmp_path / "own", readonly=[tmp_path / "samples"])
    sample = samples.save("selection", Selection((), "sample"))
    mine = own.save("selection", Selection((), "mine"), parents=[sample])
    assert [m.id for m in own.find("selection")] == [mine, sample]
    assert own.load(sample).rule == "sample"
    assert own.save("selection", Selection((), "sample")) == sample
    assert not (own.artefacts / sample).exists()
    with pytest.raises(InputError, match="samples"):
        own.delete(sample)
    own.delete(mine)
    assert [m.id for m in own.find("selection")] == [sample]


def test_delete_refuses_what_others_need(tmp_path: Path) -> None:
    store = Store(tmp_path)
    parent = store.save("a_kind", Selection((), "a"))
    child = store.save("b_kind", Selection((), "b"), parents=[parent])
    with pytest.raises(InputError, match=child):
        store.delete(parent)


@pytest.mark.parametrize(
    "name", ["../../etc", "selection-0123456789abcdef/..", "selection-0123456789abcdef", "", "x" * 999]
)
def test_unknown_and_hostile_ids_are_not_found(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFound):
        Store(tmp_path).load(name)


def tamper(value: dict) -> list[dict]:
    """Hostile variants of a stored Rollouts document."""

    def with_field(name: str, node: object) -> dict:
        return {**value, "fields": {**value["fields"], name: node}}

    return [
        {"$type": "Path", "fields": {}},
        {"$type": "subprocess.Popen", "fields": {"args": ["true"]}},
        {**value, "fields": {**value["fields"], "__class__": "x"}},
        {"$type": "Rollouts", "fields": {}},
        with_field("videos", [{"$path": "../../secret"}]),
        with_field("videos", [{"$path": "/etc/passwd"}]),
        with_field("videos", "abc"),
        with_field("rate_hz", "20"),
        with_field("rate_hz", True),
        with_field("seeds", [1.5]),
        with_field("success", [True]),
        with_field("success", {"$array": "a0009", "dtype": "|b1", "shape": [1]}),
        with_field("success", {"$array": "a0000", "dtype": "|b1", "shape": [10**12]}),
        with_field("success", {"$video": "../x", "shape": [1, 1, 1, 3]}),
        with_field("success", {"$array": ["a0000"], "shape": [1], "dtype": "|b1"}),
        with_field("method", {"$type": "Rollouts", "fields": {}}),
    ]


@pytest.mark.parametrize("variant", range(16))
def test_hostile_documents_are_refused_with_words(tmp_path: Path, variant: int) -> None:
    store = Store(tmp_path)
    made = store.save("rollouts", Rollouts("lora", "t", (), (0,), np.ones(1, bool), np.ones(1, np.int32)))
    path = store.folder(made) / "value.json"
    variants = tamper(json.loads(path.read_text()))
    assert len(variants) == 16
    path.write_text(json.dumps(variants[variant]))
    written_anew(store.folder(made))
    with pytest.raises(InputError) as caught:
        store.load(made)
    assert len(str(caught.value)) > 20


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = store.save("rollouts", Rollouts("lora", "t", (), (0,), np.ones(1, bool), np.ones(1, np.int32)))
    np.savez(store.folder(made) / "arrays.npz", a0000=np.array([print], dtype=object))
    written_anew(store.folder(made))
    with pytest.raises(InputError, match="arrays"):
        store.load(made)
    with zipfile.ZipFile(store.folder(made) / "arrays.npz", "w") as archive:
        archive.writestr("a0000.npy", b"not numpy")
    written_anew(store.folder(made))
    with pytest.raises(InputError):
        store.load(made)
    with pytest.raises(InputError, match="dtype"):
        store.save("attention", Attention(np.array([None]), np.zeros(1), 1))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"id": 3}', "[" * 100_000])
def test_damaged_manifests_are_refused_and_left_out_of_lists(tmp_path: Path, text: str) -> None:
    made = Store(tmp_path).save("selection", Selection((), "a"))
    store = Store(tmp_path)
    (store.folder(made) / "manifest.json").write_text(text)
    with pytest.raises(InputError):
        store.manifest(made)
    assert store.find("selection") == []


def save_many(root: Path) -> None:
    store = Store(root)
    for i in range(20):
        store.save("selection", Selection((), f"rule {i}"))


def test_processes_may_save_the_same_things_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=save_many, args=(tmp_path,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert len(Store(tmp_path).find("selection")) == 20
    assert list((tmp_path / "unfinished").iterdir()) == []


def test_changed_code_never_gets_what_older_code_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    scored = store.save("relevance", Selection((), "scores"))
    chosen = store.save("selection", Selection((), "set"), parents=[scored])
    rested = store.manifest(chosen).stages
    assert rested == {"relevance": stages.ROOMS["relevance"].RESULTS, "selection": stages.ROOMS["selection"].RESULTS}
    assert store.find_made("relevance", [], {}) == scored and not store.old_words(chosen)
    monkeypatch.setattr(stages.ROOMS["relevance"], "RESULTS", 90)
    assert store.find_made("relevance", [], {}) is None
    assert store.load(scored) == Selection((), "scores")
    assert "relevance (version" in store.old_words(chosen) and "now 90" in store.old_words(scored)
    again = store.save("relevance", Selection((), "scores"))
    assert again != scored and store.find_made("relevance", [], {}) == again and not store.old_words(again)


def test_a_work_key_holds_the_versions_of_what_it_rests_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    before = store.work_key("adapter", [], {"seed": 0})
    monkeypatch.setattr(stages.ROOMS["models"], "RESULTS", 90)
    assert store.work_key("adapter", [], {"seed": 0}) != before


def without_versions(folder: Path, kind: str) -> None:
    """Make the manifest what it was before versions were written."""
    known = json.loads((folder / "manifest.json").read_text())
    del known["stages"], known["files"], known["digest"]
    content = json.dumps([kind, [], {}], sort_keys=True)
    known["key"] = hashlib.sha256(content.encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(known))


def test_without_versions_samples_are_of_version_one_and_others_are_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages.ROOMS["relevance"], "RESULTS", 1)
    made = Store(tmp_path / "made").save("relevance", Selection((), "scores"))
    without_versions(Store(tmp_path / "made").folder(made), "relevance")
    own, layered = Store(tmp_path / "made"), Store(tmp_path / "own", readonly=[tmp_path / "made"])
    assert own.load(made) == layered.load(made) == Selection((), "scores")
    assert own.find_made("relevance", [], {}) is None and "version unknown, now 1" in own.old_words(made)
    assert layered.find_made("relevance", [], {}) == made and not layered.old_words(made)
    monkeypatch.setattr(stages.ROOMS["relevance"], "RESULTS", 2)
    assert layered.find_made("relevance", [], {}) is None and "version 1, now 2" in layered.old_words(made)


def test_a_deleted_artefact_is_known_no_more(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = store.save("relevance", Selection((), "a"))
    assert store.manifest(made).id == made
    store.delete(made)
    with pytest.raises(NotFound):
        store.manifest(made)
    assert store.find_made("relevance", [], {}) is None
