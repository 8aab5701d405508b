"""Policies: loading, preprocessing, head sites and hooks, behind one protocol."""

import os

# Threads that spin while they wait make every operator a hundred times slower once another process needs the cores.
# Read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

RESULTS = 2
"""The version of what this room computes: raised with every change of its numbers. See `steering.stages`."""
