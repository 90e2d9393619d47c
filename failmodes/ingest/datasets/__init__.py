"""Data sets: `open_dataset` opens them, whatever the layout on disk."""
