"""Demonstrations that a person drives in the twin: a process that holds the scene, and the server's hand on it."""
