"""Head outputs and attention weights of a policy over demonstrations."""
