"""Relevance: how well each attention head's output predicts the demonstrated action, beside what needs no head."""

RESULTS = 3
"""The version of what this room computes: raised with every change of its numbers. See `steering.stages`."""
