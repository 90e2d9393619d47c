"""Statements about models and their verdicts: findings, and what is stored of them."""
