"""Data sets: one way in (`open_dataset`), whatever the layout on disk."""

from ingest.datasets.dataset import Dataset, ImageArray
from ingest.datasets.opening import open_dataset

__all__ = ["Dataset", "ImageArray", "open_dataset"]
