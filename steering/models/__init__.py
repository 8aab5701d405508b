"""Policies: loading, preprocessing, head sites and hooks, behind one protocol."""
