"""Counts of paths against enumeration, where sets lie beside random ones, and the gradient on a tiny policy."""

import numpy as np
import pytest

from steering.evidence import depth
from steering.evidence.depth import RELEASE, RELEASE_LAYERS, document, measure, paths, reach_of, readers, write_depth
from steering.store import Store


def _enumerated(layers: int, layer: int) -> int:
    """Paths as walks over the blocks of both stacks, one by one."""

    def of_expert(at: int) -> int:  # the expert's residual after the attention of layer `at`
        through_ffn = 2
        return through_ffn * (2 * of_expert(at + 1) if at + 1 < layers else 1)

    def of_vlm(at: int) -> int:  # the VLM's residual as it enters layer `at`
        return of_expert(at) + 2 * 2 * of_vlm(at + 1) if at < layers else 0

    return 2 * of_vlm(layer + 1)


@pytest.mark.parametrize("layers", [2, 3, 6, 8])
def test_paths_are_those_that_enumeration_finds(layers):
    assert paths(layers).tolist() == [_enumerated(layers, layer) for layer in range(layers)]
    assert paths(layers)[-1] == readers(layers)[-1] == 0 and readers(layers)[0] == layers - 1


def test_where_a_set_lies_beside_random_ones():
    movable = np.ones((9, 4), bool)
    movable[-1] = False
    first, last = (reach_of([(layer, head) for head in range(4)], movable) for layer in (0, 7))
    assert (first.reach, last.reach) == (1, pytest.approx(1 / 8)) and first.chance == pytest.approx(
        np.mean(range(1, 9)) / 8
    )
    assert first.rank == 0 and last.rank > 0.99
    middle = reach_of([(3, 0), (4, 1)], movable)
    assert middle.rank == pytest.approx(0.5, abs=0.15) and (middle.lowest, middle.layer) == (3, 3.5)


def test_the_release_s_list_is_twenty_heads_of_its_model():
    assert len(set(RELEASE)) == 20 and all(layer < RELEASE_LAYERS - 1 and head < 8 for layer, head in RELEASE)


def test_the_measured_gradient_of_the_last_layer_is_nothing(policy_folder, demonstrations, tmp_path, monkeypatch):
    store = Store(tmp_path)
    recorded = store.save("demonstrations", demonstrations)
    monkeypatch.setattr(depth.pipeline, "record", lambda *_, **__: recorded)
    monkeypatch.setattr(depth, "FRAMES", 6)
    result = measure(store, ("pick_cube", "press_button"), 2, str(policy_folder))
    for one in result["tasks"].values():
        for name in ("q", "o", "fall"):
            assert one[name][-1] == 0 and min(one[name][:-1]) > 0
    sets = depth.sets_of_screen(
        [{"cell": "pick_cube/paper_keyframes/4/0", "heads": [[0, 1], [2, 3]]}, {"cell": "pick_cube/reach/4/0"}],
        8,
    )
    assert len(sets) == 4
    page = write_depth(result, sets, tmp_path / "depth.json").read_text()
    assert page == document(result, sets) + "\n"
    assert (
        "published rule, pick cube, 4 heads, seed 0 | 2 | 8 | 0 | 1.0 |" in page and "random sets lie earlier" in page
    )
