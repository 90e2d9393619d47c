"""Shared by all charts: theme, axes, legends, labels, and saving."""
