"""Paths in metres and in the pictures, checked against what the renderer draws."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from steering.rollout.episode import Episode, Start
from steering.rollout.tracing import project
from steering.simulation.tasks import bench_scene
from steering.simulation.world import STEP_M, World
from steering.types import CAMERAS


@pytest.mark.parametrize("camera", CAMERAS)
def test_a_point_falls_where_the_renderer_draws_the_thing(camera: str) -> None:
    world = World(bench_scene("pick_cube", 1))
    labels = world.segmentation(camera, 192)
    world.close()
    rows, columns = np.nonzero(labels == 0)
    assert len(rows) > 20
    seen = np.array([columns.mean() + 0.5, rows.mean() + 0.5]) / 192
    place = project(world, camera, world.thing_m("cube")[None])[0]
    assert np.abs(place - seen).max() < 0.02
    behind = world.data.cam_xpos[world.model.camera(camera).id] - 5 * (
        world.thing_m("cube") - world.data.cam_xpos[world.model.camera(camera).id]
    )
    assert project(world, camera, behind[None]).tolist() == [[-1, -1]]


def test_a_trace_holds_paths_of_every_step_and_chunk(tmp_path: Path) -> None:
    episode = Episode(Start(0, bench_scene("place_cube_in_bowl", 2), 15, trace=tmp_path / "trace.json"))
    start_m = episode.world.position_m()
    rng = np.random.default_rng(0)
    chunks = rng.uniform(-1.5, 1.5, (3, 10, 7)).astype(np.float32)
    places_m = [start_m]
    for chunk in chunks:
        episode.advance(chunk, 5)
        places_m.append(episode.world.position_m())
    assert episode.ended
    episode.finish()
    text = (tmp_path / "trace.json").read_text()
    trace = json.loads(text)
    assert len(text) < 60_000
    path_m = np.array(trace["path_m"])
    assert path_m.shape == (16, 3) and np.abs(path_m[::5] - places_m).max() < 1e-4
    assert np.array(trace["path_px"]["exterior"]).shape == (16, 2)
    assert [chunk["step"] for chunk in trace["chunks"]] == [0, 5, 10]
    for told, chunk, place_m in zip(trace["chunks"], chunks, places_m, strict=False):
        expected = place_m + STEP_M * np.cumsum(np.clip(chunk[:, :3], -1, 1), axis=0)
        assert np.abs(np.array(told["path_m"])[1:] - expected).max() < 1e-4
        assert {camera: np.array(path).shape for camera, path in told["path_px"].items()} == dict.fromkeys(
            CAMERAS, (11, 2)
        )
    assert [thing["name"] for thing in trace["things"]] == ["cube", "bowl"]
    assert np.array(trace["things"][0]["path_m"]).shape == (16, 3) and trace["rate_hz"] == 20
