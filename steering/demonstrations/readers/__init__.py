"""Readers of other people's demonstrations, one a format; `registry.open_dataset` finds the one that fits."""
