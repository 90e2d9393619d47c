"""Attention on objects with known truth: a model that looks at one corner, and one that follows the object."""

import numpy as np
import polars as pl
import pytest
import torch
from looking_models import HALF, SIDE, at_one_corner, at_the_object, images_in_quadrants
from torch.nn import functional

import failmodes
from failmodes.evaluate.engine.statistics import object_statistics, points_inside
from failmodes.warehouse.null_pairs import sample_null_pairs

pytestmark = pytest.mark.slow

COUNT = 40
IMAGES, MASKS, QUADRANTS = images_in_quadrants(COUNT)
LABELS = np.arange(COUNT) % 2


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory):
    return failmodes.benchmark(
        {"Corner": at_one_corner(), "Follower": at_the_object()}, IMAGES, LABELS, masks=MASKS,
        to=tmp_path_factory.mktemp("looking"), corruptions=["brightness", "elastic_transform"], severities=[1, 5],
        progress=False,
    )  # fmt: skip


def cells_of(warehouse, label: str) -> pl.DataFrame:
    return warehouse.table("attention_on_object", model_label=label).sort("severity")


def test_a_model_that_looks_at_one_corner_is_found_out(warehouse) -> None:
    """The corner is the object in a quarter of the images: all of the map is inside there, and nothing elsewhere."""
    rows = warehouse.sql(
        "select image_id, corruption, mask_share, pointing_hit from attention join evaluations using (evaluation_id) "
        "join models using (model_id) where model_label = 'Corner' and corruption <> 'elastic_transform'"
    ).filter(pl.col("mask_share").is_not_null())
    assert rows.height == 2 * 3 * COUNT
    inside = pl.Series(QUADRANTS[rows["image_id"]] == 0)
    np.testing.assert_allclose(rows["mask_share"], inside.cast(pl.Float64), atol=1e-6)
    assert rows["pointing_hit"].equals(inside, check_names=False)
    for cell in cells_of(warehouse, "Corner").filter(corruption="brightness").rows(named=True):
        assert cell["object_count"] == COUNT
        for name in ("mean_mask_share", "even_mask_share", "null_mean_mask_share", "pointing_accuracy"):
            assert cell[name] == pytest.approx(0.25, abs=1e-6), name
        assert cell["mean_over_null"] == pytest.approx(0, abs=1e-6)
        assert (cell["pointing_over_null"], cell["reason"]) == (0, None)


def test_a_model_that_follows_the_object_is_distinguished_from_chance(warehouse) -> None:
    place = torch.zeros(1, 1, 4, 4)
    place[..., :2, :2] = 1
    enlarged = functional.interpolate(place, (SIDE, SIDE), mode="bilinear")[0, 0]
    own = float(enlarged[:HALF, :HALF].sum() / enlarged.sum())  # by symmetry the same in each quadrant
    other = sample_null_pairs(LABELS).any_image
    outside = {1: float(enlarged[:HALF, HALF:].sum()), 2: float(enlarged[HALF:, HALF:].sum())}
    steps = (QUADRANTS[other] // 2 != QUADRANTS // 2).astype(int) + (QUADRANTS[other] % 2 != QUADRANTS % 2)
    null = np.mean([own if step == 0 else outside[step] / float(enlarged.sum()) for step in steps])
    clean = cells_of(warehouse, "Follower").filter(severity=0).row(0, named=True)
    assert clean["mean_mask_share"] == pytest.approx(own, abs=1e-4)
    assert own > 0.7
    assert clean["null_mean_mask_share"] == pytest.approx(null, abs=1e-4)
    assert clean["pointing_accuracy"] == 1
    assert clean["null_pointing_accuracy"] == pytest.approx((steps == 0).mean())
    assert clean["mean_over_null_low"] > clean["mean_over_null"] / 2 > 0


def test_masks_follow_their_objects(warehouse) -> None:
    """Where elastic transform moves the object, attention that follows it stays on the moved mask."""
    moved = cells_of(warehouse, "Follower").filter(corruption="elastic_transform")
    assert moved["mean_mask_share"].min() > 0.6
    assert moved["pointing_accuracy"].min() > 0.9
    areas = warehouse.sql("select corruption, mask_area from attention where target = 'clean'")
    assert areas.filter(pl.col("corruption") != "elastic_transform")["mask_area"].unique().to_list() == [0.25]
    assert areas.filter(corruption="elastic_transform")["mask_area"].n_unique() > COUNT / 2


def test_a_map_points_at_half_of_its_tied_pixels() -> None:
    corner, flat = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    corner[..., 0, 0] = 3
    few, half = torch.zeros(1, 32, 32, dtype=torch.bool), torch.zeros(1, 32, 32, dtype=torch.bool)
    few[:, :4, :1], half[:, :, :16] = True, True
    assert points_inside(corner, few).item() == 0  # 4 of the 16 pixels of the plateau
    assert points_inside(corner, half).item() == 1
    assert points_inside(flat, half).item() == 1
    assert points_inside(flat, few).item() == 0
    assert points_inside(torch.zeros(1, 1, 4, 4), half).isnan().item()
    assert points_inside(torch.full((1, 1, 4, 4), torch.nan), half).isnan().item()


def test_an_empty_mask_has_an_area_and_no_share() -> None:
    maps, none = torch.rand(2, 2, 4, 4), torch.full((2, 2, 4, 4), torch.nan)
    masks = torch.zeros(2, 16, 16, dtype=torch.bool)
    masks[1, :8] = True
    found = object_statistics(maps, none, masks)
    assert found["mask_area"].tolist() == [[0, 0], [0.5, 0.5]]
    assert found["mask_share"].isnan().tolist() == [[True, True], [False, False]]
    assert found["pointing_hit"].isnan().tolist() == [[True, True], [False, False]]
    assert found["null_mask_share"].isnan().all()
