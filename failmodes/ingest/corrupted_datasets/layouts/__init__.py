"""Layouts of corrupted sets: a module each, which `corrupted_dataset.set_layouts` finds by being there."""
