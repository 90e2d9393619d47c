"""Statements about models, judged by the data: comparisons of two models."""
