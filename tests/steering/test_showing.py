"""How results show themselves: short, in both themes, and harmless whatever a file says."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from steering.samples import SAMPLES
from steering.store import Store
from steering.types import Demonstrations, Episode, Head, Relevance, Selection
from steering.types.showing import brief

HOSTILE = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def samples() -> Store:
    return Store(SAMPLES)


@pytest.mark.parametrize(
    "kind", ["relevance", "selection", "comparison", "demonstrations", "activations", "trust", "adapter", "rollouts"]
)
def test_a_repr_is_short(samples: Store, kind: str) -> None:
    for manifest in samples.find(kind):
        assert len(repr(samples.load(manifest.id))) < 900


def test_what_a_repr_says(samples: Store) -> None:
    assert brief(np.zeros((2, 3), np.float32)) == "float32[2, 3]"
    assert brief("x" * 200) == repr("x" * 59 + "…")
    assert brief(tuple(range(9))) == "(9 × int)" and brief((1.23456,)) == "(1.235,)"
    assert brief({i: i for i in range(9)}) == "{9 entries}"
    comparison = samples.load(samples.find("comparison")[0].id)
    assert re.fullmatch(r"Comparison\(place_cube_in_bowl, 100 scenes: zero_shot \d+ of 100, .*\)", repr(comparison))
    episode = samples.load(samples.find("demonstrations")[0].id).episodes[0]
    assert repr(episode).endswith("4.8 s, success, cameras: exterior 192×192, wrist 192×192)")


def test_the_head_map_has_a_cell_for_every_head_and_says_its_score(samples: Store) -> None:
    for manifest in samples.find("relevance"):
        relevance: Relevance = samples.load(manifest.id)
        html = relevance._repr_html_()
        titles = re.findall(r"<title>(.*?)</title>", html)
        assert len(titles) == relevance.shape.count == 128
        assert f"VLM 3.5: {relevance.score[0, 3, 5]:.3f}" in titles
        assert sum("cannot move an action" in one for one in titles) == relevance.inert.sum()
        assert "#000" not in html and "currentColor" in html, "text takes the colour of the notebook's theme"
        assert relevance.best(1)[0].label() in html


def test_stacks_of_unequal_size_leave_no_cell_for_a_head_that_is_not_there(unequal_relevance: Relevance) -> None:
    html = unequal_relevance._repr_html_()
    assert len(re.findall("<title>", html)) == unequal_relevance.shape.count
    assert "nan" not in html


@pytest.fixture
def unequal_relevance() -> Relevance:
    from steering import Activations, score

    rng = np.random.default_rng(0)
    outputs = {"eyes": rng.standard_normal((30, 2, 3, 4)), "words": rng.standard_normal((30, 3, 2, 5))}
    activations = Activations.from_arrays(outputs, rng.standard_normal((30, 2)), np.arange(30) // 10)
    return score(activations, "paper", ks=(2,)).relevance


def test_an_episode_shows_its_first_pictures_and_its_actions() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (5, 300, 200, 3), dtype=np.uint8)
    action = rng.standard_normal((5, 3)).astype(np.float32)
    episode = Episode(HOSTILE, HOSTILE, 10.0, {"wrist": pictures}, np.zeros((5, 2), np.float32), action)
    html = episode._repr_html_()
    assert "<script" not in html and "&lt;script&gt;" in html and html.count("<polyline") == 3
    (data,) = re.findall(r"base64,([^']+)'", html)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    np.testing.assert_array_equal(shown, pictures[0, ::3, ::3])
    of_set = Demonstrations(HOSTILE, "", (), (episode,))._repr_html_()
    assert "<script" not in of_set and "5 frames, 0.5 s" in of_set


def test_a_selection_lists_its_heads_by_stack() -> None:
    heads = (Head("expert", 2, 1), Head("vlm", 3, 0), Head("vlm", 0, 4))
    chosen = Selection(heads, HOSTILE)
    assert repr(chosen).startswith("Selection(2 of the VLM, 1 of the action expert; ")
    html = chosen._repr_html_()
    assert "0.4, 3.0" in html and "<script" not in html
