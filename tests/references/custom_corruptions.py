"""A user's own corruptions, as the text of a module."""

CUSTOM_CORRUPTIONS = """
import numpy as np
from failmodes.ingest.corruptions.custom import CustomCorruption

def darken(images, parameters):
    (severity,) = parameters
    return (images * (1 - severity / 10)).astype(np.uint8)

DIM = CustomCorruption("dim", darken, levels=((1,), (2,), (3,), (4,), (5,)), label="Dim light", group="weather",
                       dose_ordered=True)
number = 3
"""
