"""The notebook's face: the stages' own numbers in a line each, nothing kept that is not the policy's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import steering
from steering import pipeline
from steering.errors import InputError, NotFound
from steering.lens import Lens
from steering.store import Store
from steering.types import Demonstrations, Head, Selection

QUICK = {"steps": 2, "batch_size": 2, "rank": 2, "warmup_steps": 1, "noise_samples": 1}


@pytest.fixture
def lens(policy_folder: Path, demonstrations: Demonstrations, tmp_path: Path) -> Lens:
    return steering.open(policy_folder, demonstrations, store=tmp_path / "store")


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, steering; first = {'numpy', 'torch', 'mujoco', 'steering.lens'} & set(sys.modules);"
        "steering.open, steering.score, steering.Activations, steering.Lens;"
        "print(first, {'torch', 'transformers', 'mujoco', 'plotly', 'gradio'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set() set()"
    assert {"open", "tap", "score"} <= set(dir(steering))
    with pytest.raises(AttributeError, match="no attribute 'opne'"):
        steering.opne  # noqa: B018


def test_scores_are_those_of_the_pipeline_and_say_where_a_set_comes_from(lens: Lens) -> None:
    scores = lens.score("paper", ks=(2, 4))
    activations = pipeline.capture(lens.store, demonstrations_id=lens.demonstrations_id, policy=lens.policy)
    same = lens.store.load(pipeline.score(lens.store, activations_id=activations, preset="paper", ks=(2, 4)))
    np.testing.assert_array_equal(scores.relevance.score, same.score)
    np.testing.assert_array_equal(lens.activations().outputs, lens.store.load(activations).outputs)
    heads = scores.top(3)
    best = sorted(heads.heads, key=lambda head: -scores[head])
    assert tuple(best) == tuple(head for head in same.best(24) if head.stack == "vlm")[:3]
    assert heads.origin is not None and (heads.origin.rule, heads.origin.preset) == ("top_k", "paper")
    assert "<svg" in scores._repr_html_() and len(repr(scores)) < 200
    assert repr(lens).startswith("Lens(") and lens.heads.count == 24


def test_heads_that_are_off_raise_the_loss_until_the_block_ends(lens: Lens) -> None:
    before, heads = lens.loss(frames=8), [Head("vlm", 0, 1), Head("expert", 1, 2)]
    assert lens.loss(frames=8) == before
    with lens.off(heads):
        without = lens.loss(frames=8)
        with lens.off([Head("expert", 0, 0)]):
            assert lens.loss(frames=8) not in (before, without)
        assert lens.loss(frames=8) == without != before
        for ask in (lens.score, lens.activations, lambda: lens.finetune(heads, **QUICK), lens.compare):
            with pytest.raises(InputError, match="2 of its heads are off"):
                ask()
    assert lens.loss(frames=8) == before
    with pytest.raises(InputError, match="at least one"), lens.off(Selection((), "by hand")):
        pass
    with pytest.raises(InputError, match="no head"), lens.off([Head("vlm", 99, 0)]):
        pass


def test_what_is_off_is_what_ablation_switches_off(lens: Lens) -> None:
    """The loss is the mean over frames that the measures of `attribution` take."""
    from steering.attribution.probe import frame_losses, probe

    asked = probe(lens._loaded(), lens.demonstrations, frames=6, samples=2, seed=3)
    losses = frame_losses(asked.policy, asked.batch, asked.noise, asked.timestep)
    assert lens.loss(frames=6, samples=2, seed=3) == pytest.approx(float(losses.mean()), rel=1e-5)


def test_a_finetune_trains_the_heads_and_leaves_its_adapter(lens: Lens, tmp_path: Path) -> None:
    heads = lens.score("paper", ks=(2, 4)).top(2)
    result = lens.finetune(heads, folder=tmp_path / "adapter", **QUICK)
    assert result.selection is not None and set(result.selection.heads) == set(heads.heads)
    assert result.folder == tmp_path / "adapter" and (result.folder / "adapter_config.json").is_file()
    assert "Best heads by k-NN (paper) on noise" in (result.folder / "README.md").read_text(encoding="utf-8")
    with pytest.raises(InputError, match="exists already"):
        lens.finetune(heads, folder=tmp_path / "adapter", **QUICK)
    by_hand = lens.finetune([Head("vlm", 1, 1), Head("vlm", 0, 2)], **QUICK)
    assert by_hand.selection is not None and by_hand.selection.heads == (Head("vlm", 0, 2), Head("vlm", 1, 1))
    assert lens.finetune(method="lora", **QUICK).selection is None
    with pytest.raises(InputError, match="choose heads first"):
        lens.finetune(**QUICK)
    with pytest.raises(NotFound, match="no finetuning setting 'stepz'"):
        lens.finetune(heads, stepz=3)
    with pytest.raises(InputError, match="no task of the simulator"):
        lens.compare(result)


def test_a_given_store_keeps_and_finds_what_was_made(
    lens: Lens, policy_folder: Path, demonstrations: Demonstrations
) -> None:
    first = lens.score("paper", ks=(2,))
    again = steering.open(policy_folder, lens.demonstrations_id, store=lens.store)
    np.testing.assert_array_equal(again.score("paper", ks=(2,)).relevance.score, first.relevance.score)
    assert [one.kind for one in lens.store.find("relevance") if one.parents[-1] == lens.demonstrations_id] == [
        "relevance"
    ]


def test_a_temporary_store_goes_with_the_lens(policy_folder: Path, demonstrations: Demonstrations) -> None:
    lens = steering.open(policy_folder, demonstrations)
    root = lens.store.root
    assert root.is_dir() and lens.demonstrations.episodes[0].frames == 6
    del lens
    assert not root.exists()


def test_the_sample_opens_without_a_word_and_answers_at_once() -> None:
    lens = steering.open()
    assert lens.demonstrations.task == "place_cube_in_bowl"
    assert lens.score("paper").top(20).heads
    assert not lens.store.artefacts.joinpath("activations").exists()
    assert not list(lens.store.artefacts.glob("activations-*")), "the sample's head outputs were computed anew"


def test_what_cannot_be_opened_is_said_at_once(policy_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no folder 'nowhere'"):
        steering.open("nowhere")
    with pytest.raises(NotFound, match="there is no 'my_dataset'"):
        steering.open(policy_folder, "my_dataset", store=tmp_path)
    with pytest.raises(NotFound, match="no artefact"):
        steering.open(policy_folder, "demonstrations-0123456789abcdef", store=Store(tmp_path))
