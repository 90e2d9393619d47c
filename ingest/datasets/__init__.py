"""Data sets: one way in (`open_dataset`), whatever the layout on disk."""
