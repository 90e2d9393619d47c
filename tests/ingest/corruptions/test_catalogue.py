"""What was published of the corruptions, and the draws they are made from."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from failmodes.ingest.corruptions.catalogue import CORRUPTIONS, KERNELS, STUDY_CORRUPTIONS
from failmodes.ingest.corruptions.recipes import RECIPES
from failmodes.ingest.corruptions.sampling import Stream, sample

SIZE = (6, 5)


def test_catalogue_has_the_published_order() -> None:
    names = list(CORRUPTIONS)
    assert [c.order for c in CORRUPTIONS.values()] == list(range(1, 20))
    assert names[0] == "gaussian_noise"
    assert names[14] == "jpeg_compression"
    assert sum(c.headline for c in CORRUPTIONS.values()) == 15
    assert {c.group for c in CORRUPTIONS.values()} == {"noise", "blur", "weather", "digital"}
    assert set(STUDY_CORRUPTIONS) < set(names)
    assert set(names) == set(KERNELS)
    assert all(set(recipe.levels) == set(names) for recipe in RECIPES.values())


DISTRIBUTIONS: dict[str, Callable[[np.ndarray], float]] = {
    "normal": lambda values: stats.kstest(values, "norm").pvalue,
    "uniform": lambda values: stats.kstest(values, "uniform").pvalue,
    "word": lambda values: stats.kstest(values / 2**32, "uniform").pvalue,
}


@pytest.mark.parametrize("name", [name for name, operation in KERNELS.items() if operation.draws])
def test_what_each_corruption_draws_is_distributed_as_it_says(name: str) -> None:
    variables = KERNELS[name].draws
    drawn = sample(Stream(5, name, None), np.arange(150), SIZE, variables)
    for which, variable in variables.items():
        values = drawn[which]
        assert values.shape == (150, *variable.shape(SIZE))
        assert values.dtype == (np.uint32 if variable.kind == "word" else np.float32)
        assert DISTRIBUTIONS[variable.kind](values.ravel().astype(float)) > 0.001, which
        assert len(np.unique(values)) > 0.9 * values.size, "no value is drawn twice but by chance"
