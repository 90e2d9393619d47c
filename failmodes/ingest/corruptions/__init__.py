"""Graded corruptions of image batches: what there is (`CORRUPTIONS`), how to apply it (`corrupt`), how to add to it."""
