"""The bench: a Franka Panda at a table in MuJoCo, its tasks, variations, experts and gymnasium environment."""

import os

os.environ.setdefault("MUJOCO_GL", "egl")  # read at the first `import mujoco`; osmesa is the other offscreen way
