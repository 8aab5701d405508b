"""Demonstrations: recorded in the simulator, or read from other people's files."""
