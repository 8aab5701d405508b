"""How fast the bench runs on one core: control steps with two 96-px cameras, physics only, and images by size.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_simulation.py [--steps 300] [--quick] [--out FILE]

Prints one JSON line. Rates are given by wall clock and by the process's own CPU time: on a busy machine only the second
says what the code costs. The budget is 150 control steps a second with two 96-px cameras.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from steering.simulation.experts import expert_action
from steering.simulation.tasks import bench_scene
from steering.simulation.world import World
from steering.types import CAMERAS

BUDGET_STEPS_PER_S = 150
SIZES_PX = (64, 96, 192, 384, 640)


def per_second(run: Callable[[], None], times: int) -> dict[str, float]:
    """Runs a second by wall clock and by CPU time (of this process), after three to warm up."""
    for _ in range(3):
        run()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        run()
    return {
        "wall": round(times / (time.perf_counter() - wall), 1),
        "cpu": round(times / (time.process_time() - cpu), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--quick", action="store_true", help="a few steps, only to see that it runs")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.quick:
        given.steps = 5

    world = World(bench_scene("place_cube_in_bowl", 0, ("distractors",)))

    def step() -> None:
        world.step(expert_action(world)[0])

    def step_and_see() -> None:
        step()
        for camera in CAMERAS:
            world.render(camera, 96)

    def images(size_px: int) -> dict[str, float]:
        rate = per_second(lambda: [world.render(camera, size_px) for camera in CAMERAS] and None, given.steps // 10 + 1)
        return {clock: round(1000 / (2 * value), 2) for clock, value in rate.items()}

    start = world.snapshot()
    both = per_second(step_and_see, given.steps)
    world.restore(start)
    line = json.dumps(
        {
            "steps_per_s_two_96_px_cameras": both,
            "budget": BUDGET_STEPS_PER_S,
            "steps_per_s_physics_and_expert": per_second(step, given.steps),
            "ms_per_image_by_px": {size: images(size) for size in SIZES_PX},
            "renderer": os.environ.get("MUJOCO_GL"),
            "load_of_the_machine": round(os.getloadavg()[0], 1),
        }
    )
    world.close()
    print(line)
    if given.out is not None:
        given.out.write_text(line + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
