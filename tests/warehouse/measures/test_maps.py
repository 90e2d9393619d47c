"""Maps of a cell by target: the same columns, however the rows lie, and beside the outcomes of the same images."""

import numpy as np
import pyarrow as pa
import pytest

from failmodes.warehouse.measures.maps import CellMaps, ImageOutcomes

IMAGES = 6


def rows_in(order: list[int]) -> pa.Table:
    """Rows (image, target) of 0 … 11: image number // 2, target by its last bit; masses are the numbers."""
    numbers = np.array(order)
    return pa.table({
        "image_id": pa.array(numbers // 2, pa.int32()),
        "target": [("predicted", "clean")[number % 2] for number in order],
        "target_class": pa.array(np.zeros(len(order)), pa.int16()),
        "empty": pa.array(numbers == 3),
        "mass": pa.array(numbers, pa.float32()),
        "mask_area": pa.array([None if number == 4 else 0.5 for number in order], pa.float32()),
    })  # fmt: skip


BLOCKS = [*range(0, 2 * IMAGES, 2), *range(1, 2 * IMAGES, 2)]
ORDERS = {
    "as a run writes them": list(range(2 * IMAGES)),
    "target by target": BLOCKS,
    "backwards": list(range(2 * IMAGES))[::-1],
    "shuffled": [7, 0, 3, 11, 4, 8, 1, 2, 10, 5, 9, 6],
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS.keys())
def test_columns_come_by_rising_image_id(order: list[int]) -> None:
    maps = CellMaps(rows_in(order), np.full(IMAGES, 0.25, np.float32))
    for number, target in enumerate(("predicted", "clean")):
        of_one = maps.of_target(target)
        assert of_one.image_ids.tolist() == list(range(IMAGES))
        assert of_one.numbers("mass").tolist() == list(range(number, 2 * IMAGES, 2))
    assert maps.of_target("clean").is_empty.tolist() == [False, True, False, False, False, False]
    assert maps.of_target("predicted").areas.tolist() == [0.5, 0.5, 0.25, 0.5, 0.5, 0.5], "where unknown, the clean one"
    assert not maps.has_repeats


def test_what_repeats_and_what_is_not_there() -> None:
    assert CellMaps(rows_in([0, 2, 4, 2]), None).has_repeats
    maps = CellMaps(rows_in([2, 0]), None)
    assert not maps.has_repeats, "two targets of one image are no repetition"
    assert maps.of_target("clean").numbers("mass").tolist() == []


@pytest.mark.parametrize("image_ids", [[0, 1, 2, 3, 4, 5], [1, 3, 4, 7], [9]])
def test_maps_beside_the_outcomes_of_their_images(image_ids: list[int]) -> None:
    ids = np.array(image_ids, np.int32)
    outcomes = ImageOutcomes(ids, ids % 2 == 0, np.zeros(len(ids), np.uint64))
    of_one = CellMaps(rows_in(BLOCKS), None).of_target("predicted")
    kept, places = of_one.beside(outcomes)
    shared = [image_id for image_id in image_ids if image_id < IMAGES]
    assert of_one.image_ids[kept].tolist() == shared
    assert ids[places].tolist() == shared
