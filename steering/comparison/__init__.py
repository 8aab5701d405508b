"""Comparison: paired rollouts to success rates with intervals, exact tests and a plain verdict."""
