"""Comparison: paired rollouts to success rates with intervals, exact tests and a plain verdict."""

RESULTS = 1
"""The version of what this room computes: raised with every change of its numbers. See `steering.stages`."""
