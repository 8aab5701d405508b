"""Trials on a robot: plan, blinding, a book that loses nothing, and tests that hold at every look."""
