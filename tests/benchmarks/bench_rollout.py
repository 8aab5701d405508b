"""Seconds for 40 scenes of one method, untrained and after a finetune, and the simulation against robosuite's Lift.

    python tests/benchmarks/bench_rollout.py [--scenes 40] [--videos 0] [--robosuite PYTHON] [--quick]

Budgets on two cores: 40 scenes in 25 s; 10 control steps a second while heads are changed; two cameras 20 times as fast
as robosuite's Lift at the same resolution (see robosuite_lift.py for its environment; the two are run in turns, and
compared by CPU time of one core each). Prints one JSON line. `simulation` draws two images at every step, as robosuite
does; rollouts draw them every fifth step only.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

TASK = "place_cube_in_bowl"
METHODS = ("zero_shot", "steering", "surgery")
"""The untrained policy goes to the step limit in most scenes; a trained one is what comparisons are about; surgery: the
trained one with its heads silenced while the scenes run."""
BUDGET_S, BUDGET_RATIO, BUDGET_HZ = 25.0, 20.0, 10.0
TURNS = 5
FIRST_SCENE = 100_000


def rollouts(method: str, scenes: int, videos: int) -> dict[str, object]:
    """Wall and CPU seconds of rollouts of one method, with the samples' adapter and the default number of processes."""
    from steering import policy_cache
    from steering.rollout.runner import default_processes, run_rollouts
    from steering.samples import SAMPLES
    from steering.store import Store
    from steering.types import Surgery

    store = Store(SAMPLES)
    adapters = {made.params["method"]: made.id for made in store.find("adapter")}
    of = "steering" if method == "surgery" else method
    trained = store.load(adapters[of]) if of in adapters else None
    policy = policy_cache.get(adapter=trained.folder if trained else None)
    surgery = Surgery(trained.selection.heads, 0.0) if method == "surgery" else None
    seeds = tuple(range(FIRST_SCENE, FIRST_SCENE + scenes))
    began_s = _cpu_s()
    with tempfile.TemporaryDirectory() as folder:
        films = Path(folder) if videos else None
        made = run_rollouts(policy, TASK, seeds, method=of, record_dir=films, record_scenes=videos, surgery=surgery)
    return {
        "method": method,
        "scenes": scenes,
        "videos": videos,
        "processes": default_processes(scenes),
        "wall_s": round(made.wall_s, 1),
        "cpu_s": round(_cpu_s() - began_s, 1),
        "budget_s": BUDGET_S,
        "successes": int(made.success.sum()),
        "mean_steps": round(float(made.steps.mean()), 1),
        "control_steps_per_s": round(float(made.steps.sum()) / made.wall_s, 1),
        **({"budget_steps_per_s": BUDGET_HZ} if surgery else {}),
    }


def _cpu_s() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in used)


def simulation(px: int, images_every: int, steps: int = 150) -> float:
    """Control steps a second of CPU time, with two images of `px` at every `images_every`-th step."""
    from steering.simulation.experts import expert_action
    from steering.simulation.tasks import bench_scene
    from steering.simulation.world import World
    from steering.types import CAMERAS

    world = World(bench_scene("pick_cube", 0))
    for camera in CAMERAS:
        world.render(camera, px)
    actions = []
    start = world.snapshot()
    for _ in range(steps):
        actions.append(expert_action(world)[0])
        world.step(actions[-1])
    world.restore(start)
    cpu_s = time.process_time()
    for i, action in enumerate(actions):
        world.step(action)
        if i % images_every == 0:
            for camera in CAMERAS:
                world.render(camera, px)
    cpu_s = time.process_time() - cpu_s
    world.close()
    return steps / cpu_s


def robosuite(python: str, px: int) -> float:
    script = Path(__file__).with_name("robosuite_lift.py")
    run = subprocess.run([python, str(script), "--px", str(px)], capture_output=True, text=True, check=True)
    return float(json.loads(run.stdout.splitlines()[-1])["steps_per_s"]["cpu"])


def beside_robosuite(python: str, px: int) -> dict[str, object]:
    """Both in turns, medians of each and of the turns' ratios: machines and single runs may be odd."""
    turns = np.array([(simulation(px, 1), simulation(px, 5), robosuite(python, px)) for _ in range(TURNS)])
    ours, sparse, theirs = np.median(turns, axis=0)
    return {
        "px": px,
        "steps_per_cpu_s": round(ours, 1),
        "as_in_rollouts": round(sparse, 1),
        "robosuite_steps_per_cpu_s": round(theirs, 2),
        "ratio": round(float(np.median(turns[:, 0] / turns[:, 2])), 1),
        "ratio_as_in_rollouts": round(float(np.median(turns[:, 1] / turns[:, 2])), 1),
        "budget": BUDGET_RATIO,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--videos", type=int, default=0)
    parser.add_argument("--robosuite", help="interpreter of an environment with robosuite; unset: not compared")
    parser.add_argument("--only", choices=("rollouts", "simulation"))
    parser.add_argument("--quick", action="store_true", help="a few steps, only to see that it runs")
    given = parser.parse_args()
    if given.quick:
        given.scenes = 2
    result: dict[str, object] = {"load_of_the_machine": round(os.getloadavg()[0], 1)}
    if given.only != "simulation":
        result["rollouts"] = [rollouts(method, given.scenes, given.videos) for method in METHODS]
    if given.robosuite and given.only != "rollouts":
        os.environ["LP_NUM_THREADS"] = "0"
        result["simulation"] = [beside_robosuite(given.robosuite, px) for px in (96, 192)]
    print(json.dumps(result))


if __name__ == "__main__":
    main()
