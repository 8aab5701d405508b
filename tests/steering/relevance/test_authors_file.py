"""The authors' HDF5: what is read, and what is refused."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from steering.errors import InputError, NotFound
from steering.relevance import authors_file
from steering.relevance.scoring import score
from steering.selection.rules import top_k
from steering.types import HeadShape, Stack

GRID = (3, 4, 5)


def write(path, lengths=(11, 9, 10), tasks=("pick",), datasets=("first_action_token_attn",), dtype=np.float16):
    generator = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for task in tasks:
            for e, frames in enumerate(lengths):
                for f in range(frames):
                    group = file.create_group(f"{task}/demo_{e + 8}/{2 * f}")
                    for dataset in datasets:
                        group[dataset] = generator.standard_normal(GRID).astype(dtype)
                    group["action_label"] = generator.uniform(-1, 1, 8).astype(np.float32)
    return path


def test_reads_one_stack_in_natural_order(tmp_path):
    path = write(tmp_path / "a.h5")
    a = authors_file.read(path)
    assert authors_file.is_authors_file(path) and authors_file.tasks(path) == ("pick",)
    assert a.outputs.shape == (30, 1, *GRID) and a.action.shape == (30, 8) and a.state.shape == (30, 0)
    assert a.tokens == ("first_action",) and a.stacks == (Stack("expert", *GRID),) and not a.inert.any()
    np.testing.assert_array_equal(np.bincount(a.episode), [11, 9, 10])  # demo_8, demo_9, demo_10
    np.testing.assert_array_equal(a.frame[:11], np.arange(11) * 2)
    with h5py.File(path) as file:
        frame = file["pick/demo_10/14"]
        row = 20 + 7
        np.testing.assert_array_equal(a.outputs[row, 0], frame["first_action_token_attn"][()].astype(np.float32))
        np.testing.assert_array_equal(a.action[row], frame["action_label"][()])


def test_reads_both_stacks_and_scores_them(tmp_path):
    both = tuple(authors_file.DATASETS)
    a = authors_file.read(write(tmp_path / "a.h5", datasets=both, dtype=np.float32))
    assert a.tokens == ("last_prefix", "first_action")
    r = score(a, "paper", (3, 6))
    np.testing.assert_array_equal(r.inert, HeadShape.pair(*GRID).last_layer("vlm"))
    assert np.isfinite(r.score).all() and set(r.baselines) == {"mean_action", "time"} and r.gain is None
    with pytest.raises(InputError, match="needs the robot.s state"):
        score(a, "default", (3,))


def test_a_stack_that_is_not_there_is_not_spoken_of(tmp_path):
    r = score(authors_file.read(write(tmp_path / "a.h5")), "paper", (3, 6))
    assert set(r.best_k) == set(r.cv_mse) == {"expert"} == set(r.shape.names)
    with pytest.raises(NotFound, match="stack 'vlm'"):
        top_k(r, 3, ("vlm",))
    assert {head.stack for head in top_k(r, 3).heads} == {"expert"}
    a = authors_file.read(write(tmp_path / "b.h5", datasets=("last_token_attn",)))
    assert {head.layer for head in top_k(score(a, "paper", (3, 6)), 8).heads} == {0, 1}  # the last layer is inert


def test_several_tasks_must_be_named(tmp_path):
    path = write(tmp_path / "a.h5", tasks=("pick", "place"))
    with pytest.raises(InputError, match="2 tasks; name one of pick, place"):
        authors_file.read(path)
    assert len(authors_file.read(path, "place").episode) == 30
    with pytest.raises(NotFound, match="Did you mean 'pick'"):
        authors_file.read(path, "pik")


def _external(file, tmp_path):
    write(tmp_path / "other.h5")
    file["pick"]["demo_99"] = h5py.ExternalLink("other.h5", "/pick/demo_8")


def _soft(file, tmp_path):
    frame = file["pick/demo_8/0"]
    del frame["action_label"]
    frame["action_label"] = h5py.SoftLink("/pick/demo_9/0/action_label")


def _virtual(file, tmp_path):
    frame = file["pick/demo_8/4"]
    del frame["action_label"]
    layout = h5py.VirtualLayout((8,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (8,))
    frame.create_virtual_dataset("action_label", layout)


def _raw(file, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"\0" * 32)
    frame = file["pick/demo_8/4"]
    del frame["action_label"]
    frame.create_dataset("action_label", (8,), "f4", external=[(str(secret), 0, 32)])


def _other_shape(file, tmp_path):
    frame = file["pick/demo_9/2"]
    del frame["first_action_token_attn"]
    frame["first_action_token_attn"] = np.zeros((3, 4, 6))


def _text(file, tmp_path):
    frame = file["pick/demo_8/0"]
    del frame["action_label"]
    frame["action_label"] = ["a", "b"]


def _huge(file, tmp_path):
    frame = file["pick/demo_8/0"]
    del frame["first_action_token_attn"]
    frame.create_dataset("first_action_token_attn", (20_000, 200, 256), "f4", chunks=(1, 1, 256))


def _nan(file, tmp_path):
    file["pick/demo_8/0/action_label"][0] = np.nan


def _nothing(file, tmp_path):
    del file["pick/demo_8/0/first_action_token_attn"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_external, "link to elsewhere"),
        (_soft, "link to elsewhere"),
        (_virtual, "lies in another file"),
        (_raw, "lies in another file"),
        (_other_shape, r"to be \(3, 4, 5\) as in the first frame, got \(3, 4, 6\)"),
        (_text, "to hold numbers along 1 axes, got object"),
        (_huge, "would take .* MB"),
        (_nan, "NaN or infinite"),
        (_nothing, "holds neither"),
    ],
)
def test_what_is_refused(tmp_path, spoil, words):
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        spoil(file, tmp_path)
    with pytest.raises(InputError, match=words):
        authors_file.read(path)


def test_other_files_are_refused_with_words(tmp_path):
    broken = tmp_path / "b.h5"
    broken.write_bytes(b"\x89HDF\r\n\x1a\n" + b"x" * 100)
    with pytest.raises(InputError, match="cannot be read as HDF5"):
        authors_file.read(broken)
    with pytest.raises(NotFound):
        authors_file.read(tmp_path / "none.h5")
    assert not authors_file.is_authors_file(tmp_path)
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with pytest.raises(InputError, match="no task"):
        authors_file.read(tmp_path / "empty.h5")


def test_numbers_and_natural_order_of_names() -> None:
    number = authors_file._number
    assert [number(n) for n in ("f12", "a1b007", "x", "9" * 9, "9" * 10)] == [12, 7, None, 999_999_999, None]
    names = ["demo_10", "demo_2", "demo", "7", "10a"]
    assert sorted(names, key=authors_file._natural) == ["7", "10a", "demo", "demo_2", "demo_10"]
    clock = authors_file._clock(np.array([0, 0, 0, 1, 1, 2]), np.array([4, 8, 6, 0, 1, 9]))
    np.testing.assert_allclose(clock, [0, 1, 0.5, 0, 1, 0])


def test_as_much_as_is_allowed_is_read_and_not_more(tmp_path, monkeypatch):
    path = write(tmp_path / "a.h5", lengths=(3, 2), datasets=tuple(authors_file.DATASETS))
    bytes_of_outputs = 5 * 2 * 3 * 4 * 5 * 4
    for name, most in (("MAX_FRAMES", 5), ("MAX_BYTES", bytes_of_outputs), ("MAX_DIMS", 8)):
        with monkeypatch.context() as patch:
            patch.setattr(authors_file, name, most)
            assert len(authors_file.read(path).episode) == 5
            patch.setattr(authors_file, name, most - 1)
            with pytest.raises(InputError, match="Split the file|split the file"):
                authors_file.read(path)
    with h5py.File(path, "a") as file:
        for frame in (file[f"pick/demo_{e}/{f}"] for e, f in ((8, 0), (8, 2), (8, 4), (9, 0), (9, 2))):
            del frame["action_label"]
            frame["action_label"] = np.zeros(0, np.float32)
    with pytest.raises(InputError, match="expected 1 to"):
        authors_file.read(path)


def test_what_it_reads_to_the_letter(tmp_path):
    path = write(tmp_path / "a.h5", lengths=(3, 2))
    with h5py.File(path, "a") as file:
        file["pick"].move("demo_9/2", "demo_9/later")  # a name without a number: frames are counted instead
        file["pick"].attrs["x"] = 1
        file["pick"]["note"] = np.zeros(3)
    a = authors_file.read(path)
    assert a.episode.tolist() == [0, 0, 0, 1, 1] and a.frame.tolist() == [0, 2, 4, 0, 1]
    np.testing.assert_allclose(a.time_in_episode, [0, 0.5, 1, 0, 1])
    assert (a.timestep, a.seed) == (1.0, 0) and a.chunk.shape == (5, 1, 8)
    np.testing.assert_array_equal(a.chunk[:, 0], a.action)
    with h5py.File(path, "a") as file:
        file["pick"].move("demo_8/2", "demo_8/again_0")  # a number twice
    assert authors_file.read(path).frame.tolist() == [0, 1, 2, 0, 1]
    with h5py.File(path, "a") as file:
        del file["pick/demo_8"], file["pick/demo_9"]
    with pytest.raises(InputError, match="holds no frames"):
        authors_file.read(path)
    (tmp_path / "text.h5").write_text("no")
    assert not authors_file.is_authors_file(tmp_path / "text.h5")
