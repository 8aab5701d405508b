"""Relevance of heads with the policy in the loop: gradients, ablation, patching, attention on the named object."""

RESULTS = 1
"""The version of what this room computes: raised with every change of its numbers. See `steering.stages`."""
