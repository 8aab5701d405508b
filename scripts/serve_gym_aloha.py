"""gym-aloha as a client of `steering serve`: a simulator and a client that others wrote, in an environment of its own.

    python3.11 -m venv DIR && DIR/bin/pip install gym-aloha openpi-client
    PYTHONPATH=. python scripts/serve_gym_aloha.py DIR/bin/python [--policy FOLDER] [--steps 100]

Without a policy of yours one of π0's architecture is made, reduced and random, with ALOHA's 14 joints and its camera:
what is shown is that the robot's pictures, joints and chunks of actions go through, not that it picks up a cube. The
server is started as a process; the client moves both arms by the first ten actions of every chunk, sent as openpi's
ALOHA clients send them (`images/cam_high` [3, 224, 224], `state`, `prompt`). Prints what the server said and the time
of a request; exits with 1 where a chunk is not finite or not of 14 joints. Half a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

TASK, PROMPT = "gym_aloha/AlohaTransferCube-v0", "transfer the cube to the other arm"
JOINTS, REPLAN_STEPS = 14, 10


def client(url: str, steps: int) -> None:
    """Run under gym-aloha's Python: an episode, by a policy at `url`; one line of JSON."""
    import gym_aloha  # noqa: F401  # registers the environments
    import gymnasium
    from openpi_client import image_tools
    from openpi_client.websocket_client_policy import WebsocketClientPolicy

    policy = WebsocketClientPolicy(url)
    environment: Any = gymnasium.make(TASK, obs_type="pixels_agent_pos")
    seen, info = environment.reset(seed=0)
    took_ms, shapes, reward, step = [], set(), 0.0, 0
    while step < steps:
        image = image_tools.resize_with_pad(seen["pixels"]["top"], 224, 224).transpose(2, 0, 1)
        message = {"images": {"cam_high": image}, "state": seen["agent_pos"], "prompt": PROMPT}
        began_s = time.perf_counter()
        answer = policy.infer(message)
        took_ms.append(1000 * (time.perf_counter() - began_s) - answer["server_timing"]["infer_ms"])
        actions = answer["actions"]
        assert np.isfinite(actions).all()
        shapes.add(actions.shape)
        for action in actions[:REPLAN_STEPS]:
            seen, reward, *_, info = environment.step(np.clip(action, -1, 1))
            step += 1
    told = {"server": policy.get_server_metadata(), "chunks": sorted(shapes), "requests": len(took_ms), "steps": step}
    told |= {"over_inference_ms": float(np.median(took_ms)), "reward": float(reward), "is_success": info["is_success"]}
    print(json.dumps(told))


def random_policy(folder: Path) -> None:
    """A reduced π0 with random weights for 14 joints."""
    import torch
    from transformers import PI0ForConditionalGeneration

    from steering.models.architecture import SmallPI0, small_pi0_config, train_tokenizer
    from steering.models.loading import save_policy
    from steering.models.preprocessing import Statistics

    torch.manual_seed(0)
    tokenizer = train_tokenizer([PROMPT] * 5)
    sizes = SmallPI0(chunk=50, state_dim=32, action_dim=32)
    config = small_pi0_config(sizes, len(tokenizer), tokenizer.convert_tokens_to_ids("<image>"))
    zero, scale = np.zeros(JOINTS, np.float32), np.full(JOINTS, 0.1, np.float32)
    save_policy(PI0ForConditionalGeneration(config), tokenizer, Statistics(zero, scale, zero, scale), folder)


def main() -> int:
    """Start the server, run the client, print what it saw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", help="of the environment with gym-aloha and openpi-client; or a url with --client")
    parser.add_argument("--policy")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--client", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        client(given.python, given.steps)
        return 0
    with tempfile.TemporaryDirectory() as place:
        if given.policy is None:
            random_policy(Path(place) / "aloha")
        command = [sys.executable, "-m", "steering", "serve", "--port", "0", "--store", str(Path(place) / "store")]
        command += ["--policy", given.policy or str(Path(place) / "aloha")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                url = json.loads(server.stdout.readline())["url"]
                asked = [given.python, __file__, url, "--client", "--steps", str(given.steps)]
                ran = subprocess.run(
                    asked, env={**os.environ, "PYTHONPATH": ""}, stdout=subprocess.PIPE, text=True, timeout=900
                )
            finally:
                server.terminate()
    print(ran.stdout, end="")
    if ran.returncode != 0:
        return 1
    told = json.loads(ran.stdout.splitlines()[-1])
    return 0 if [shape[1] for shape in told["chunks"]] == [JOINTS] else 1


if __name__ == "__main__":
    sys.exit(main())
