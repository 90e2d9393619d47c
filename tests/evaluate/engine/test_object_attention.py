"""Attention on objects with known truth: a model that looks at one corner, and one that follows the object."""

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn
from torch.nn import functional

import failmodes
from failmodes.evaluate.engine.statistics import object_statistics, points_inside
from failmodes.warehouse.null_pairs import sample_null_pairs

SIDE, CELL = 32, 8  # images, and the patch that one place of a map stands for
HALF = SIDE // 2


class Kept(nn.Module):
    """Lets some places of a map through."""

    def __init__(self, places: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("places", places)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps * self.places


class Looking(nn.Module):
    """Brightness of patches, at the places that it looks at, pooled: class 0 has all the evidence."""

    def __init__(self, places: torch.Tensor, bias: float) -> None:
        super().__init__()
        patches = nn.Conv2d(3, 1, CELL, stride=CELL)
        nn.init.constant_(patches.weight, 1 / (3 * CELL**2))
        nn.init.constant_(patches.bias, bias)
        self.features = nn.Sequential(patches, nn.ReLU(), Kept(places))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(1, 2)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[1.0], [-1.0]]))
            self.head.bias.zero_()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(self.features(images)).flatten(1))


def at_one_corner() -> Looking:
    """Looks at the top left corner alone, wherever the object is."""
    places = torch.zeros(SIDE // CELL, SIDE // CELL)
    places[0, 0] = 1
    return Looking(places, bias=0.5)


def at_the_object() -> Looking:
    """Looks at what is bright: the object."""
    return Looking(torch.ones(SIDE // CELL, SIDE // CELL), bias=-0.3)


def images_in_quadrants(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (N, H, W, 3) with a bright object that fills one quadrant, by turns; masks (N, H, W); quadrants (N,)."""
    quadrants = np.arange(count) % 4
    masks = np.zeros((count, SIDE, SIDE), np.bool_)
    for mask, quadrant in zip(masks, quadrants, strict=True):
        down, across = HALF * (quadrant // 2), HALF * (quadrant % 2)
        mask[down : down + HALF, across : across + HALF] = True
    images = np.repeat(np.where(masks, 200, 20).astype(np.uint8)[..., None], 3, axis=3)
    images[:, 0, 0, 0] = np.arange(count)  # each another image
    return images, masks, quadrants


pytestmark = pytest.mark.test_all

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
