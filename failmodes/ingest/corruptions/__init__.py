"""Graded corruptions of image batches: what there is (`CORRUPTIONS`), how to apply it (`corrupt`), how to add to it."""

from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.corruptions.catalog import CORRUPTIONS, STUDY_CORRUPTIONS
from failmodes.ingest.corruptions.corruption import Corruption
from failmodes.ingest.corruptions.custom import CustomCorruption, register

__all__ = ["CORRUPTIONS", "STUDY_CORRUPTIONS", "Corruption", "CustomCorruption", "corrupt", "register"]
