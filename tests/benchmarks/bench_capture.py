"""What capture costs over the bare forward pass of the same frames at the same batch size.

    python tests/benchmarks/bench_capture.py [--batch-size 32] [--turns 60] [--policy PATH] [--quick] [--out FILE]

Both prepare the same batches and run the prefix and one pass of the expert; capture also reads every head of both
stacks. The two take turns on the same batch, in changing order, so that whatever else the machine does falls on
both; the ratio is the median over turns of capture by bare in that turn. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from steering.activations.capture import capture
from steering.models.flow import FlowPolicy
from steering.models.loading import load_policy
from steering.models.preprocessing import observe
from steering.types import CAMERAS, Demonstrations, Episode


def noise_episode(frames: int, state_dim: int, action_dim: int) -> Demonstrations:
    """One episode of noise: the cost does not depend on what is seen."""
    rng = np.random.default_rng(0)
    cameras = {name: rng.integers(0, 256, (frames, 192, 192, 3), dtype=np.uint8) for name in CAMERAS}
    state = rng.standard_normal((frames, state_dim), np.float32)
    action = rng.uniform(-1, 1, (frames, action_dim)).astype(np.float32)
    return Demonstrations("noise", "", (), (Episode("noise", "press the button", 20.0, cameras, state, action),))


def bare_forward(policy: FlowPolicy, demonstrations: Demonstrations, rows: np.ndarray) -> None:
    """Prepare one batch and run the prefix and one pass of the expert, without any hook."""
    with torch.inference_mode():
        batch = policy.prepare(observe(demonstrations, np.zeros_like(rows), rows))
        noise = np.random.default_rng(0).standard_normal((1, policy.chunk_size, policy.noise_dim), np.float32)
        noisy = torch.from_numpy(noise).to(policy.device).expand(len(rows), -1, -1)
        velocity = policy.velocity(batch, policy.prefix(batch), noisy, torch.ones(len(rows), device=policy.device))
        velocity.cpu()


def main() -> None:
    """Time both in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("batch-size", 32), ("turns", 60)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--policy", default="embedded")
    parser.add_argument("--vlm-token", default="last_prefix")
    parser.add_argument("--expert-token", default="first_action")
    parser.add_argument("--out", type=Path, help="also write the JSON line to this file")
    parser.add_argument("--quick", action="store_true", help="a few steps, only to see that it runs")
    given = parser.parse_args()
    if given.quick:
        given.batch_size, given.turns = 2, 1

    policy = load_policy(given.policy)
    statistics = policy.preprocessor.statistics
    demonstrations = noise_episode(given.batch_size, len(statistics.state_mean), len(statistics.actions_mean))
    tokens = {"vlm_token": given.vlm_token, "expert_token": given.expert_token}
    times: dict[str, list[float]] = {"bare": [], "capture": []}
    rows = np.arange(given.batch_size)
    for turn in range(given.turns + 1):
        for what in ("bare", "capture") if turn % 2 else ("capture", "bare"):
            began_s = time.perf_counter()
            if what == "bare":
                bare_forward(policy, demonstrations, rows)
            else:
                capture(policy, demonstrations, batch_size=given.batch_size, **tokens)
            if turn:  # the first warms up
                times[what].append(time.perf_counter() - began_s)
    bare_s, capture_s = (float(np.median(times[what])) for what in ("bare", "capture"))
    line = json.dumps(
        {
            "policy": policy.name,
            "device": str(policy.device),
            "batch_size": given.batch_size,
            "turns": given.turns,
            **tokens,
            "bare_ms_per_frame": round(1e3 * bare_s / given.batch_size, 3),
            "capture_ms_per_frame": round(1e3 * capture_s / given.batch_size, 3),
            "ratio": round(float(np.median(np.divide(times["capture"], times["bare"]))), 3),
        }
    )
    print(line)
    if given.out is not None:
        given.out.write_text(line + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
