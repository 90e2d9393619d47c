"""Numbers about failure and their uncertainty; no prose, no charts."""
