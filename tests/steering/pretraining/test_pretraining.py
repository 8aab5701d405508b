"""The stages that make the embedded policy, each on a handful of frames."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from steering.errors import InputError
from steering.models.architecture import SmallPI0
from steering.pretraining import collect
from steering.pretraining.behaviour import Training, examples, train_behaviour
from steering.pretraining.card_text import figures_table, insert_figures
from steering.pretraining.collect import CHUNK, GRID, Shard, collect_shard, expert_chunk, load_shard
from steering.pretraining.corpus import load_shards, shard_statistics
from steering.pretraining.initial import initial_policy
from steering.pretraining.vision import train_vision
from steering.simulation.experts import expert_action
from steering.simulation.families import FAMILIES, family_scene
from steering.simulation.world import World
from steering.types import CAMERAS

TINY = SmallPI0(
    width=32, layers=2, head_dim=8, mlp=32, expert_width=32, expert_mlp=32, vision_width=32, vision_layers=1
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("pretraining") / "data"
    folder.mkdir()
    before = collect.SHARD_EPISODES
    collect.SHARD_EPISODES = 2
    try:
        collect_shard(folder / "shard_0000.npz", 0, density=0.3)
        collect_shard(folder / "again.npz", 0, density=0.3)
    finally:
        collect.SHARD_EPISODES = before
    return folder


def test_the_same_shard_twice_has_the_same_bytes(shards):
    first, second = load_shard(shards / "shard_0000.npz"), load_shard(shards / "again.npz")
    for field in fields(Shard):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name))


def test_labels_have_the_documented_shapes(shards):
    shard = load_shards([shards])
    frames = len(shard.state)
    assert frames >= 4
    assert shard.images.shape == (frames, len(CAMERAS), 96, 96, 3)
    assert shard.chunk.shape == (frames, 2, CHUNK, 7)
    assert shard.patch_kind.shape == (frames, len(CAMERAS), GRID * GRID)
    assert np.abs(shard.chunk).max() <= 1
    assert (np.isnan(shard.patch_offset[..., 0]) == (shard.patch_colour == 0)).all()


def test_no_shards_is_an_error(tmp_path):
    with pytest.raises(InputError, match="Run `collect` first"):
        load_shards([tmp_path])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_chunk_label_is_what_the_expert_then_does(family):
    world = World(family_scene(family, 3))
    before = world.snapshot()[0]
    chunk = expert_chunk(world, world.scene.goal)
    np.testing.assert_array_equal(world.snapshot()[0], before)
    for expected in chunk:
        action, _ = expert_action(world)
        np.testing.assert_array_equal(action, expected)
        world.step(action)


def test_dense_labels_point_at_the_thing(shards):
    """The mean of the offsets' targets over a thing's patches is one point: its projected middle."""
    shard = load_shards([shards])
    grid = np.stack(np.meshgrid(np.arange(GRID), np.arange(GRID)), -1).reshape(-1, 2) + 0.5
    offset = shard.patch_offset[0, 0].astype(float)
    seen = shard.patch_colour[0, 0] > 0
    targets = grid[seen] + offset[seen, :2]
    inside = np.abs(offset[seen, :2]).max(1) < 4  # clipped offsets point only in the direction
    for colour in np.unique(shard.patch_colour[0, 0][seen]):
        same = targets[inside & (shard.patch_colour[0, 0][seen] == colour)]
        distances = np.linalg.norm(same[:, None] - same[None], axis=-1)
        assert distances.size == 0 or np.isclose(distances, 0, atol=0.02).any(1).all()


def test_vision_learns_and_resumes(shards, tmp_path):
    shard = load_shards([shards])
    policy = initial_policy(TINY, shard_statistics(shard))
    tower = policy.model.model.vlm.vision_tower
    before = {name: tensor.clone() for name, tensor in tower.state_dict().items()}
    train_vision(tower, shard, tmp_path, steps=2, batch_size=4)
    assert any(not torch.equal(before[name], tensor) for name, tensor in tower.state_dict().items())
    again = initial_policy(TINY, shard_statistics(shard), seed=1).model.model.vlm.vision_tower
    figures = train_vision(again, shard, tmp_path, steps=2, batch_size=4)
    for name, tensor in tower.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)
    assert set(figures) == {"kind_accuracy", "colour_accuracy", "f1", "offset_error_px"}


def test_behaviour_leaves_the_vision_tower_and_starts_from_grounding(shards, tmp_path):
    shard = load_shards([shards])
    policy = initial_policy(TINY, shard_statistics(shard))
    data = examples(policy, shard)
    tower = {name: t.clone() for name, t in policy.model.model.vlm.vision_tower.state_dict().items()}
    expert = {name: t.clone() for name, t in policy.model.model.dit.state_dict().items()}
    train_behaviour(policy, data, tmp_path / "grounding.pt", Training(2, behaviour=False, batch_size=4))
    for name, tensor in policy.model.model.dit.state_dict().items():
        assert torch.equal(expert[name], tensor)
    settings = Training(2, behaviour=True, batch_size=4, noise_samples=2)
    train_behaviour(policy, data, tmp_path / "behaviour.pt", settings, start_from=tmp_path / "grounding.pt")
    for name, tensor in policy.model.model.vlm.vision_tower.state_dict().items():
        assert torch.equal(tower[name], tensor)
    assert any(not torch.equal(expert[n], t) for n, t in policy.model.model.dit.state_dict().items())
    assert not any(p.requires_grad for p in policy.model.parameters())


def test_figures_go_between_the_marks_of_the_card():
    figures = {"families": {"pick": {"successes": 19, "trials": 20, "low": 0.76, "high": 0.99}}}
    card = insert_figures("a <!-- figures --> old <!-- /figures --> b", figures)
    assert "old" not in card and card.startswith("a ") and card.endswith(" b")
    assert "| pick | 19 of 20 | 95% | 76% to 99% |" in figures_table(figures)
    with pytest.raises(ValueError, match="marks"):
        insert_figures("no marks", figures)
