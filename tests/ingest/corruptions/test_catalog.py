"""What was published of the corruptions, and the distribution of what they sample."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from failmodes.ingest.corruptions.catalog import CORRUPTIONS, STUDY_CORRUPTIONS, corruptions
from failmodes.ingest.corruptions.corruption import RECIPES
from failmodes.ingest.corruptions.sampling import Stream, sample
from failmodes.warehouse.schema import CORRUPTIONS as CORRUPTIONS_TABLE

SIZE = (6, 5)

# Hendrycks & Dietterich 2019: the 15 of the headline metrics, then the four extras; others may follow
PUBLISHED = [
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression", "speckle_noise",
    "gaussian_blur", "spatter", "saturate",
]  # fmt: skip


def test_catalog_has_the_published_order() -> None:
    names = list(CORRUPTIONS)
    assert [c.order for c in CORRUPTIONS.values()] == list(range(1, len(names) + 1))
    assert names[:19] == PUBLISHED
    assert sum(c.headline for c in CORRUPTIONS.values()) == 15
    assert {c.group for c in CORRUPTIONS.values()} == {"noise", "blur", "weather", "digital"}
    assert set(STUDY_CORRUPTIONS) < set(names)
    assert all(c.name == name == c.apply.__name__ for name, c in CORRUPTIONS.items())
    assert all([len(c.levels[recipe]) for recipe in RECIPES] == [6, 6] for c in CORRUPTIONS.values())


def test_recipes_count_as_published() -> None:
    zoom_blur, pixelate = CORRUPTIONS["zoom_blur"].levels, CORRUPTIONS["pixelate"].levels
    # Floating point includes the end of the first two ranges, 1.06 and 1.11, and of no other
    assert [len(np.arange(1, *zoom)) for zoom in zoom_blur["cifar-c"][1:]] == [7, 12, 16, 21, 26]
    assert [int(32 * share) for (share,) in pixelate["cifar-c"][1:]] == [30, 28, 27, 24, 20]
    assert [int(224 * share) for (share,) in pixelate["imagenet-c"][1:]] == [134, 112, 89, 67, 56]
    elastic = np.array(CORRUPTIONS["elastic_transform"].levels["imagenet-c"][1:]) * 224
    np.testing.assert_allclose(elastic[0], [244 * 2, 244 * 0.7, 244 * 0.1], err_msg="in the published units of 244")


DISTRIBUTIONS: dict[str, Callable[[np.ndarray], float]] = {
    "normal": lambda values: stats.kstest(values, "norm").pvalue,
    "uniform": lambda values: stats.kstest(values, "uniform").pvalue,
    "uint32": lambda values: stats.kstest(values / 2**32, "uniform").pvalue,
}


@pytest.mark.parametrize("name", [c.name for c in CORRUPTIONS.values() if c.samples])
def test_what_each_corruption_draws_is_distributed_as_it_says(name: str) -> None:
    variables = CORRUPTIONS[name].samples
    drawn = sample(Stream(5, name, None), np.arange(150), SIZE, variables)
    for which, variable in variables.items():
        values = drawn[which]
        assert values.shape == (150, *variable.shape(SIZE))
        assert values.dtype == (np.uint32 if variable.kind == "uint32" else np.float32)
        assert DISTRIBUTIONS[variable.kind](values.ravel().astype(float)) > 0.001, which
        assert len(np.unique(values)) > 0.9 * values.size, "no value is drawn twice but by chance"


def test_the_table_of_corruptions_has_the_columns_of_the_results_and_why_one_is_not_interpolable() -> None:
    table = corruptions()
    assert table["corruption"].to_list()[:19] == PUBLISHED
    assert table.columns == [*CORRUPTIONS_TABLE.arrow().names, "switch"]
    assert table.drop("switch").to_arrow().cast(CORRUPTIONS_TABLE.arrow()).num_rows == len(table)
    assert table.filter(table["headline"])["corruption"].to_list() == PUBLISHED[:15]
    assert table.filter(~table["interpolable"])["corruption"].to_list() == ["glass_blur", "spatter", "saturate"]
    assert table["switch"].is_null().equals(table["interpolable"], check_names=False)
