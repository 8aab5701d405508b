"""The bench for lerobot's EnvHub: `lerobot-eval --env.type=hub …` and `make_env("owner/name")` call `make_env` here."""

from steering.simulation.envhub import make_env

__all__ = ["make_env"]
