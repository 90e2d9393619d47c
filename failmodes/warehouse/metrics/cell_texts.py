"""The images of a cell, and which of them are correct, as the texts that cell_predictions holds."""

import hashlib

import numpy as np
from numpy.typing import NDArray


def hash_of_ids(image_ids: NDArray[np.int32]) -> str:
    """What cell_predictions holds of the image_ids: MD5 of their decimal digits, with commas between."""
    return hashlib.md5(",".join(map(str, image_ids.tolist())).encode(), usedforsecurity=False).hexdigest()


def pattern_of(correct: NDArray[np.bool_]) -> str:
    """(N,) as text: 1 correct, 0 incorrect."""
    return (correct.astype(np.uint8) + ord("0")).tobytes().decode("ascii")


def decode_pattern(pattern: str) -> NDArray[np.bool_]:
    """What `pattern_of` made a text of."""
    correct: NDArray[np.bool_] = np.frombuffer(pattern.encode("ascii"), np.uint8) == ord("1")
    return correct
