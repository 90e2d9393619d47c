"""Layouts of corrupted datasets, one module each; `corrupted_dataset.set_layouts` imports all of them."""
