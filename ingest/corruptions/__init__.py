"""Graded corruptions of image batches: what there is (`CORRUPTIONS`) and the one way to make them (`corrupt`)."""

from ingest.corruptions.catalogue import CORRUPTIONS, STUDY_CORRUPTIONS, Corruption
from ingest.corruptions.custom import CustomCorruption, register
from ingest.corruptions.engine import corrupt

__all__ = ["CORRUPTIONS", "STUDY_CORRUPTIONS", "Corruption", "CustomCorruption", "corrupt", "register"]
