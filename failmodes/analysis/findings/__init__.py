"""Findings: sentences built from numbers and their intervals, one file a topic."""
