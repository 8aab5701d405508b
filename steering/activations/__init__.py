"""Head outputs and attention weights of a policy over demonstrations."""

RESULTS = 2
"""The version of what this room computes: raised with every change of its numbers. See `steering.stages`."""
