"""What is shipped under assets/ is what the code makes: the embedded policy and the samples of the first screen."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from steering.models.loading import EMBEDDED_FOLDER, load_policy
from steering.relevance.keyframes import keyframes, take
from steering.relevance.scoring import score
from steering.samples import MAX_BYTES, SAMPLES, open_store
from steering.types import STACKS, Relevance, Selection

RESULTS_PAGE = Path(__file__).resolve().parents[1] / "docs" / "RESULTS.md"
MOST_POLICY_BYTES = 25_000_000


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_the_embedded_policy_is_an_ordinary_transformers_folder():
    from transformers import AutoTokenizer, PI0ForConditionalGeneration

    model = PI0ForConditionalGeneration.from_pretrained(EMBEDDED_FOLDER, local_files_only=True)
    assert "<image>" in AutoTokenizer.from_pretrained(EMBEDDED_FOLDER, local_files_only=True).get_vocab()
    for config in (model.config.vlm_config.text_config, model.config.dit_config):
        assert config.num_hidden_layers >= 8
        assert config.num_attention_heads >= 8
    assert _bytes(EMBEDDED_FOLDER) <= MOST_POLICY_BYTES


def test_the_model_card_states_measured_figures():
    card = (EMBEDDED_FOLDER / "README.md").read_text()
    assert "Wilson interval" in card
    assert "evaluate" in card


def test_the_results_show_the_grid_s_table():
    from steering.evidence.engine import RESULTS
    from steering.evidence.results import read_results
    from steering.evidence.tables import document, markdown, paper_table

    results = read_results(RESULTS)
    shown = RESULTS_PAGE.read_text().split("<!-- grid -->\n")[1].split("\n<!-- /grid -->")[0]
    assert shown == markdown(paper_table(results))
    assert RESULTS.with_suffix(".md").read_text() == document(results) + "\n"


def _to_nine_digits(text):
    """A JSON document; the last digits are the processor's and the library's."""
    return json.loads(text, parse_float=lambda number: float(f"{float(number):.9g}"))


def test_the_figures_of_the_grid_are_drawn_from_its_cells():
    from steering.evidence.drawing import figures
    from steering.evidence.engine import RESULTS
    from steering.evidence.results import read_results

    drawn = figures(read_results(RESULTS))
    for name, figure in drawn.items():
        kept = (RESULTS.parent / f"{RESULTS.name}_figures" / f"{name}.json").read_text()
        assert _to_nine_digits(kept) == _to_nine_digits(figure.to_json()), (
            f"{name} is old; run `python -m steering evidence grid`"
        )
    assert set(drawn) == {"success", "cost", "forest", "success_by_heads", "success_by_demonstrations"}


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path)


def test_the_samples_are_small_and_complete(store):
    assert _bytes(SAMPLES) <= MAX_BYTES
    for kind in ("demonstrations", "activations", "relevance", "trust", "over_time", "selection", "attention"):
        assert store.find(kind), f"no {kind} among the samples; run `python -m steering precompute`"
    for manifest in SAMPLES.rglob("manifest.json"):
        assert json.loads(manifest.read_text())["versions"]["steering"]


@pytest.mark.slow
def test_the_head_map_of_the_first_screen_is_that_of_the_embedded_policy(store):
    """An episode's head outputs and all scores come out again, by the stages themselves, and so does the selection."""
    from steering.activations.capture import capture

    found = [one for one in store.find("relevance") if one.params["metric"] == "knn"]
    assert {one.params["preset"] for one in found} == {"default", "paper"}
    activations, demonstrations = (store.load(one) for one in found[0].parents)
    first = capture(load_policy(), replace(demonstrations, episodes=demonstrations.episodes[:1]))
    stored_outputs = activations.outputs[activations.episode == 0]
    np.testing.assert_allclose(first.outputs, stored_outputs, atol=1e-3 * np.abs(stored_outputs).max())
    marked = keyframes(activations, demonstrations.episodes[0].rate_hz)
    assert (int(marked.sum()), len(marked)) == (80, 1961), "the paper preset's frames, said on the page"
    few = take(activations, marked)
    for manifest in found:
        stored: Relevance = store.load(manifest.id)
        chosen = few if manifest.params["keyframes"] else activations
        made = score(chosen, preset=stored.preset, ks=stored.ks)
        np.testing.assert_array_equal(made.inert, stored.inert)
        np.testing.assert_allclose(made.score, stored.score, atol=5e-3)
        assert made.best_k == dict(stored.best_k)
        for kept in store.children(manifest.id):
            if kept.kind == "selection":
                _assert_best(made, store.load(kept.id))


def _assert_best(made: Relevance, selection: Selection) -> None:
    worst = min(made.score[STACKS.index(h.stack), h.layer, h.head] for h in selection.heads)
    vlm = np.where(made.inert[0], -np.inf, made.score[0])
    assert (vlm > worst + 5e-3).sum() <= len(selection.heads)
