"""The bench as a robot: a process of its own that asks a policy server through openpi's client and moves the arm.

    PYTHONPATH=.:.venv/openpi python tests/steering/serving/bench_client.py ws://127.0.0.1:8000 press_button 100000 60

The scene of a seed runs for so many control steps at most, by the first five actions of every answer. Prints one line
of JSON: what the server said of itself, every chunk's first action, whether the task succeeded, and after how many
steps.
"""

from __future__ import annotations

import json
import sys
import warnings

import gymnasium
from openpi_client.websocket_client_policy import WebsocketClientPolicy

from steering.rollout.runner import REPLAN_STEPS
from steering.simulation.environment import environment_id
from steering.simulation.tape import IMAGE_PX


def main() -> None:
    """Run the scene."""
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="websockets")
    url, task, seed, steps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    client = WebsocketClientPolicy(url)
    client.infer({"endpoint": "reset", "seed": seed})
    environment = gymnasium.make(environment_id(task), image_px=IMAGE_PX)
    seen, info = environment.reset(seed=seed)
    first: list[list[float]] = []
    done, step = bool(info["success"]), 0
    while not done and step < steps:
        message = {f"observation/{name}": value for name, value in seen.items()}
        chunk = client.infer({**message, "prompt": info["instruction"]})["actions"]
        first.append(chunk[0].tolist())
        for action in chunk[:REPLAN_STEPS]:
            seen, _, terminated, truncated, info = environment.step(action)
            step += 1
            if done := terminated or truncated or step >= steps:
                break
    environment.close()
    said = {"metadata": client.get_server_metadata(), "first_actions": first, "success": info["success"], "steps": step}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
