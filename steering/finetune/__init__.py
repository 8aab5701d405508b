"""Finetuning with adapters: selected heads only, or LoRA on all heads."""

RESULTS = 2
"""The version of what this room computes: raised with every change of its numbers. See `steering.stages`."""
