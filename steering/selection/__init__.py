"""Selection: from relevance to a set of heads, by rule, by hand or as a control, and to and from files and links."""

RESULTS = 1
"""The version of what this room computes: raised with every change of its numbers. See `steering.stages`."""
