"""robosuite's Lift with two cameras: control steps a second, for `bench_rollout.py --robosuite`.

robosuite is no dependency and wants an environment of its own (it breaks on newer MuJoCo and NumPy):

    python3.11 -m venv /tmp/robosuite
    /tmp/robosuite/bin/pip install robosuite==1.5.2 'mujoco==3.3.7' 'numpy<2'
    /tmp/robosuite/bin/python tests/benchmarks/robosuite_lift.py --px 96

The Panda arm, 20 Hz, agentview and wrist camera, every step with two images, as a policy would see them. Prints one
JSON line; CPU time is what counts on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import os
import time

os.environ.setdefault("MUJOCO_GL", "egl")

import numpy as np
import robosuite

CAMERAS = ("agentview", "robot0_eye_in_hand")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--px", type=int, default=96)
    parser.add_argument("--steps", type=int, default=40)
    given = parser.parse_args()
    environment = robosuite.make(
        "Lift",
        robots="Panda",
        has_renderer=False,
        has_offscreen_renderer=True,
        use_camera_obs=True,
        camera_names=list(CAMERAS),
        camera_heights=given.px,
        camera_widths=given.px,
        control_freq=20,
    )
    environment.reset()
    rng = np.random.default_rng(0)
    low, high = environment.action_spec

    def step() -> dict[str, np.ndarray]:
        return environment.step(rng.uniform(low, high))[0]

    for _ in range(3):
        seen = step()
    assert all(seen[f"{camera}_image"].shape == (given.px, given.px, 3) for camera in CAMERAS)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    for _ in range(given.steps):
        step()
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    print(
        json.dumps(
            {
                "px": given.px,
                "steps_per_s": {"wall": round(given.steps / wall_s, 2), "cpu": round(given.steps / cpu_s, 2)},
                "robosuite": robosuite.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
