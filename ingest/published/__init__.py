"""Published corrupted sets, in the layouts of CIFAR-10-C and ImageNet-C, and the one way to open them."""

from ingest.published.base import PublishedSet
from ingest.published.opening import open_published

__all__ = ["PublishedSet", "open_published"]
