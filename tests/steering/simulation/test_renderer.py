"""Images against those of MuJoCo's own renderer: what saves time must not be seen."""

from collections.abc import Iterator

import numpy as np
import pytest

from steering.simulation.tasks import VARIATIONS, bench_scene
from steering.simulation.world import World
from steering.types import CAMERAS

import mujoco  # isort: skip  # after steering.simulation, which chooses how it draws

PX = 192


@pytest.fixture(params=(0, 1, 2))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(bench_scene("place_cube_in_bowl", request.param, VARIATIONS))
    for action in np.random.default_rng(request.param).uniform(-1, 1, (8, 7)):
        world.step(action)
    yield world
    world.close()


def reference(world: World) -> dict[str, np.ndarray]:
    """Each camera's image by mujoco.Renderer, with MuJoCo's sky and the model's present quality."""
    images = {}
    with mujoco.Renderer(world.model, PX, PX) as renderer:
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            renderer.scene.flags[flag] = False
        for camera in CAMERAS:
            renderer.update_scene(world.data, camera)
            images[camera] = renderer.render()
    return images


def test_the_backdrop_is_the_sky_to_the_bit(world: World) -> None:
    images = {camera: world.render(camera, PX) for camera in CAMERAS}
    for camera, expected in reference(world).items():
        assert np.array_equal(images[camera], expected), camera
    sky = images["exterior"][0, 0]
    assert (images["exterior"] == sky).all(-1).mean() > 0.02, "some sky is there to see"


def test_whole_faces_look_like_divided_ones(world: World) -> None:
    images = {camera: world.render(camera, PX) for camera in CAMERAS}
    world.model.vis.quality.numquads = 4  # MuJoCo's own
    for camera, expected in reference(world).items():
        change = np.abs(images[camera].astype(int) - expected)
        assert change.mean() < 0.02 and (change > 2).any(-1).mean() < 0.005, camera


def test_a_label_is_never_the_backdrop(world: World) -> None:
    for camera in CAMERAS:
        image = world.render(camera, PX)
        geoms = world._renderers[PX].geoms(world.data, world.model.camera(camera).id)
        assert geoms.min() >= -1 and geoms.max() < world.model.ngeom
        if camera == "exterior":
            assert geoms[0, 0] == -1 and (image[geoms == -1] == image[0, 0]).all(-1).mean() > 0.9
