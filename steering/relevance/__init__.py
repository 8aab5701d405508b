"""Relevance: how well each attention head's output predicts the demonstrated action, beside what needs no head."""
