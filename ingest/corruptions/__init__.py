"""Graded corruptions of image batches: what there is (`CORRUPTIONS`) and the one way to make them (`corrupt`)."""

__all__ = ["CORRUPTIONS", "STUDY_CORRUPTIONS", "Corruption", "CustomCorruption", "corrupt", "register"]
