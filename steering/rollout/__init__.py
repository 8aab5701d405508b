"""Running a policy in the simulator, many scenes at once, and filming it."""

RESULTS = 1
"""The version of what this room computes: raised with every change of its numbers. See `steering.stages`."""
