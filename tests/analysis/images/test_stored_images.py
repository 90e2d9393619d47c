"""What is on record of where models looked."""

import numpy as np
import pytest

from failmodes.analysis.images.stored_images import centroid, stored_map
from failmodes.runtime.errors import WarehouseError


def test_centroid_by_hand() -> None:
    assert centroid(np.array([[0.0, 0.0], [0.0, 2.0]])) == (0.75, 0.75)
    assert centroid(np.ones((4, 4))) == pytest.approx((0.5, 0.5))
    assert centroid(np.zeros((4, 4))) is None
    assert centroid(None) is None


def test_a_map_is_read_row_by_row_and_what_is_no_number_is_nothing() -> None:
    values = np.array([[1, 2, 3], [np.nan, np.inf, -1]], "<f2")
    np.testing.assert_array_equal(stored_map(values.tobytes(), 2, 3), [[1, 2, 3], [0, 0, 0]])


@pytest.mark.parametrize("size", [(0, 4), (3, 3), (None, 2), (-2, -2)])
def test_a_map_of_another_size_than_stated_is_one_line(size: tuple[int | None, int | None]) -> None:
    with pytest.raises(WarehouseError, match="a stored attention map of 8 bytes is not"):
        stored_map(b"\0" * 8, *size)
