"""Blocks of results, number formatting, and output formats."""
