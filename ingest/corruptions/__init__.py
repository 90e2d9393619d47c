"""Graded corruptions of image batches: what there is (`CORRUPTIONS`) and the one way to make them (`corrupt`)."""

from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.corruptions.catalogue import CORRUPTIONS, STUDY_CORRUPTIONS, Corruption
from failmodes.ingest.corruptions.registry import CustomCorruption, register

__all__ = ["CORRUPTIONS", "STUDY_CORRUPTIONS", "Corruption", "CustomCorruption", "corrupt", "register"]
