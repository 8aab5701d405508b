"""Demonstrations: recorded in the simulator, or read from other people's files."""

RESULTS = 1
"""The version of what this room computes: raised with every change of its numbers. See `steering.stages`."""
