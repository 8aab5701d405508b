"""lerobot itself evaluates the bench by `envhub/env.py` and counts its successes.

    python3.12 -m venv DIR && DIR/bin/pip install "lerobot[dataset]==0.6.1" "mujoco>=4.0,<4.1"
    PYTHONPATH=. python scripts/check_envhub.py DIR/bin/python

lerobot pins another torch and NumPy and lives in an environment of its own, which needs nothing else for the bench. The
hub's file is taken from this folder in place of a download; `lerobot.envs.make_env` then does what it does with one.
`eval_policy_all` of `lerobot_eval` runs two tasks with two policies: the scripted expert, and one that stands still.
Its counts must be those of the same scenes run here, and its `eval_info.json` is read here. Two minutes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ENV = Path(__file__).parents[1] / "envhub" / "env.py"
CHECKED, EPISODES, SEED = ("press_button", "pick_cube"), 4, 100_000


def evaluate_with_lerobot(out: Path) -> None:
    """Run under lerobot's Python: `eval_info.json` of both policies below `out`."""
    import torch
    from lerobot.envs import factory
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.pretrained import PreTrainedPolicy
    from lerobot.scripts.lerobot_eval import eval_policy_all

    from steering.simulation.experts import expert_action

    class Expert(PreTrainedPolicy):
        """The scripted expert, or one that stands still."""

        config_class, name = ACTConfig, "expert"

        def __init__(self, envs: Any, still: bool) -> None:
            super().__init__(ACTConfig(device="cpu"))
            self.envs, self.still = envs, still

        def select_action(self, batch: dict[str, Any], **_: Any) -> Any:
            """One action for each environment that runs."""
            assert set(batch["observation.images.exterior"].shape[1:]) == {3, 192} and batch["task"][0]
            if self.still:
                return torch.zeros(self.envs.num_envs, 7)
            return torch.from_numpy(np.stack([expert_action(one.unwrapped.world)[0] for one in self.envs.envs]))

        def reset(self) -> None: ...
        def get_optim_params(self) -> dict[str, Any]: ...  # type: ignore[empty-body]
        def forward(self, batch: Any) -> Any: ...
        def predict_action_chunk(self, batch: Any, **_: Any) -> Any: ...

    factory._download_hub_file = lambda *_: ("owner/bench", "env.py", str(ENV), None)
    suites = factory.make_env("owner/bench", n_envs=2, trust_remote_code=True)
    ((suite, tasks),) = suites.items()
    for name, still in (("expert", False), ("still", True)):
        info: dict[str, Any] = {"per_task": []}
        for vector in tasks.values():
            if vector.call("task")[0] in CHECKED:
                plain: dict[str, Any] = dict.fromkeys(
                    ("env_preprocessor", "env_postprocessor", "preprocessor", "postprocessor"), lambda value: value
                )
                found = eval_policy_all(
                    {suite: {list(tasks.values()).index(vector): vector}},
                    Expert(vector, still),
                    n_episodes=EPISODES,
                    start_seed=SEED,
                    **plain,
                )
                info["per_task"] += found["per_task"]
        (out / name).mkdir()
        (out / name / "eval_info.json").write_text(json.dumps(info))


def here(task: str, still: bool) -> list[bool]:
    """Successes of the same scenes by the bench itself."""
    import gymnasium

    from steering.simulation.environment import environment_id
    from steering.simulation.experts import expert_action

    environment, won = gymnasium.make(environment_id(task)), []
    for seed in range(SEED, SEED + EPISODES):
        environment.reset(seed=seed)
        ended = False
        while not ended:
            world: Any = environment.unwrapped
            action = np.zeros(7, np.float32) if still else expert_action(world.world)[0]
            *_, terminated, truncated, info = environment.step(action)
            ended = terminated or truncated
        won.append(bool(info["is_success"]))
    return won


def main() -> int:
    """Evaluate there, run here, compare."""
    if sys.argv[1] == "--lerobot":
        evaluate_with_lerobot(Path(sys.argv[2]))
        return 0
    from steering.simulation.tasks import TASKS
    from steering.trials.exchange import read_outcomes

    agree = []
    with tempfile.TemporaryDirectory() as place:
        subprocess.run([sys.argv[1], __file__, "--lerobot", place], check=True, stderr=subprocess.DEVNULL)
        for name, still in (("expert", False), ("still", True)):
            theirs = read_outcomes(Path(place) / name / "eval_info.json")[""]
            for task in CHECKED:
                number, ours = str(list(TASKS).index(task)), here(task, still)
                counted = [won for (_, task_number, _), won in theirs.items() if task_number == number]
                print(f"{name:7}{task:14} lerobot counts {sum(counted)} of {len(counted)}, here {sum(ours)}")
                agree.append(counted == ours)
    return 0 if all(agree) else 1


if __name__ == "__main__":
    sys.exit(main())
