"""Statements judged by the data: findings, claims, rules of a gate, comparisons."""
