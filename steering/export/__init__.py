"""Trained policies in the layouts of others: lerobot's, transformers' and openpi's, with all that they need to run."""
