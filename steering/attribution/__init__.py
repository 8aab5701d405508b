"""Relevance of heads with the policy in the loop: gradients, ablation, patching, attention on the named object."""
