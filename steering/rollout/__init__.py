"""Running a policy in the simulator, many scenes at once, and filming it."""
