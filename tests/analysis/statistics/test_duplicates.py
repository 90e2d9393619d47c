"""Exact duplicates: an evaluation in which every image stands twice has the intervals of one where each stands once.

The references are the same functions on the distinct images, whose results are tested elsewhere, and simulations.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import duckdb
import numpy as np
import polars as pl
import pytest
from given_runs import CELLS, given_model, given_run, random_columns
from numpy.typing import NDArray

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection, select_one
from failmodes.analysis.statistics.attention import attention_at_last
from failmodes.analysis.statistics.calibration import overconfidence_by_corruption
from failmodes.analysis.statistics.difference import ModelMetrics, Term, mean_of
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.failure_prediction import auroc_by_cell
from failmodes.analysis.statistics.model_accuracy import drop_rankings, run_accuracies
from failmodes.analysis.statistics.model_pairs import compare_models_of, compare_pairs
from failmodes.analysis.statistics.predictions import class_gaps, collapse_by_corruption
from failmodes.analysis.statistics.run_rows import (
    ModelRows,
    RunRows,
    duplicate_images,
    image_groups,
    share_of_independent,
)
from failmodes.warehouse.database.connection import open_warehouse

Result = TypeVar("Result")
IMAGES = 120


class Warehouses(NamedTuple):
    """The same images once, each twice, and the first ten of them twice."""

    once: duckdb.DuckDBPyConnection
    twice: duckdb.DuckDBPyConnection
    some: duckdb.DuckDBPyConnection


@pytest.fixture(scope="module")
def warehouses(repeated: Path) -> Iterator[Warehouses]:
    with (
        open_warehouse(repeated / "once.duckdb") as once,
        open_warehouse(repeated / "twice.duckdb") as twice,
        open_warehouse(repeated / "some.duckdb") as some,
    ):
        yield Warehouses(once, twice, some)


def of_both(
    warehouses: Warehouses, read: Callable[[duckdb.DuckDBPyConnection, Selection, EvaluationInfo], Result]
) -> tuple[Result, Result]:
    """What is read of the first evaluation of distinct images, and of these twice."""
    expected, found = (read(con, one := select_one(con), one.evaluations[0]) for con in warehouses[:2])
    return expected, found


def repeated(values: NDArray[np.generic]) -> NDArray[np.generic]:
    return np.concatenate([values, values])


def groups_of(count: int) -> NDArray[np.intp]:
    """Every image twice."""
    return np.tile(np.arange(count), 2)


def random_correct(rng: np.random.Generator, images: int, cells: int) -> NDArray[np.bool_]:
    difficulty = rng.random(images)[:, None] + rng.normal(0, 0.1, (images, cells))
    return np.asarray(difficulty < np.linspace(0.95, 0.4, cells))


def flat(found: Any) -> list[float]:
    """All numbers of a result, in order."""
    if found is None or isinstance(found, str | bool):
        return []
    if isinstance(found, (int, float)):
        return [float(found)]
    if isinstance(found, Estimate):  # images are counted with their duplicates
        found = found[:3]
    items = found.values() if isinstance(found, dict) else found
    return [number for item in items for number in flat(item)]


@pytest.mark.test_all
def test_duplicates_are_counted_by_the_pixels_of_the_evaluated_images(warehouses: Warehouses) -> None:
    ids = [select_one(con).ids[0] for con in warehouses]
    counts = [duplicate_images(con, one) for con, one in zip(warehouses, ids, strict=True)]
    assert counts == [(IMAGES, IMAGES), (2 * IMAGES, IMAGES), (IMAGES + 10, IMAGES)]
    by_kish = (IMAGES + 10) / (IMAGES - 10 + 10 * 2**2)
    shares = [share_of_independent(con, one) for con, one in zip(warehouses, ids, strict=True)]
    assert shares == pytest.approx([1, 0.5, by_kish])
    assert [str(number) in counts[2].note for number in (10, 130, 120)] == [True] * 3
    assert image_groups(warehouses.once, ids[0]) is None
    assert image_groups(warehouses.some, ids[2]).tolist() == [*range(IMAGES), *range(10)]


@pytest.mark.test_all
def test_stored_intervals_are_those_of_distinct_images(warehouses: Warehouses) -> None:
    keys = ["evaluation_id", "corruption", "severity", "metric", "score"]
    # tenths by confidence are filled with copies, which is another metric
    query = "from cell_metrics where metric <> 'auroc_within'"
    one, other = (con.sql(query).pl() for con in (warehouses.once, warehouses.twice))
    both = one.join(other, on=keys, nulls_equal=True, suffix="_twice")
    assert len(both) == len(one) == len(other)
    assert (both["n_twice"] == 2 * both["n"]).all()
    own = both.filter(pl.col("metric") != "aurc")  # which is another number where values tie
    for end in ("value", "low", "high"):
        np.testing.assert_allclose(own[f"{end}_twice"].to_numpy(), own[end].to_numpy(), atol=1e-7, err_msg=end)
    aurc = both.filter(metric="aurc")
    np.testing.assert_allclose(aurc["high_twice"] - aurc["low_twice"], aurc["high"] - aurc["low"], rtol=0.05)


def class_intervals(con: duckdb.DuckDBPyConnection, *_: object) -> list[tuple[Any, ...]]:
    query = "select accuracy, accuracy_low, accuracy_high from accuracy_by_class where image_count > 0 order by "
    found: list[tuple[Any, ...]] = con.sql(f"{query} evaluation_id, corruption, severity, class_index").fetchall()
    return found


READERS: dict[str, Callable[..., object]] = {
    "classes": class_intervals,
    "prediction collapse": lambda con, s, one: [
        (row.corruption, row.share) for row in collapse_by_corruption(con, s, one)
    ],
    "class gaps": lambda con, s, one: [(row.severity, row.gap) for row in class_gaps(con, s, one)],
    "accuracies": lambda con, s, one: list(run_accuracies(con, s).values()),
    "drops": lambda con, s, one: [*drop_rankings(con, s).values()],
    "models": lambda con, s, one: [(pair.difference, pair.adjusted_p) for pair in compare_models_of(con, s)],
    "overconfidence": lambda con, s, one: [row.overconfidence for row in overconfidence_by_corruption(con, s, one)],
    "failure prediction": lambda con, s, one: [cell.auroc for cell in auroc_by_cell(con, s, one)],
    "cells of pairs": lambda con, s, one: compare_pairs(con, s)["adjusted_p"].to_list(),
}


@pytest.mark.test_all
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_statistics_of_a_warehouse_are_those_of_distinct_images(
    warehouses: Warehouses, read: Callable[..., object]
) -> None:
    expected, found = of_both(warehouses, read)
    assert flat(expected)
    assert flat(found) == pytest.approx(flat(expected), abs=1e-6)


@pytest.mark.test_all
def test_attention_is_tested_as_on_distinct_images(warehouses: Warehouses) -> None:
    expected, found = of_both(warehouses, lambda con, s, one: attention_at_last(con, one, s.corruptions))
    for name, change in expected.mask_changes.items():  # which other image each is compared with is drawn over all
        assert found.mask_changes[name].value == pytest.approx(change.value)
        widths = [one.high - one.low for one in (found.mask_changes[name], change)]
        assert widths[0] == pytest.approx(widths[1], rel=0.1)


METRICS = ("accuracy", "ece", "worst_class_accuracy", "augrc")
TERMS = {
    "one cell": mean_of([("fog", 1.0)]),
    "difference": [Term(("fog", 1.0), 1.0), Term(("fog", 1.0), -1.0, of_baseline=True)],
    "difference of means": [*mean_of(CELLS[:2]), *mean_of(CELLS[:2], -1.0, of_baseline=True)],
}


def two_models(*, is_twice: bool) -> tuple[ModelRows, ModelRows]:
    rng = np.random.default_rng(5)
    runs: list[RunRows] = []
    for _ in range(2):
        correct = random_correct(rng, 90, 4)[:, [1, 3, 0, 2]]
        columns = random_columns(rng, correct)
        if is_twice:
            run = given_run(repeated(correct), **{name: repeated(values) for name, values in columns.items()})
            runs.append(replace(run, groups=groups_of(90)))
        else:
            runs.append(given_run(correct, **columns))
    return given_model(runs[0]), given_model(runs[1])


@pytest.mark.test_all
@pytest.mark.parametrize("terms", TERMS.values(), ids=TERMS)
@pytest.mark.parametrize("name", METRICS)
def test_what_is_measured_is_that_of_distinct_images(name: str, terms: list[Term]) -> None:
    score = "confidence" if name == "augrc" else None
    expected, found = (
        ModelMetrics(*two_models(is_twice=is_twice)).measure(name, terms, score) for is_twice in (False, True)
    )
    assert (found.image_count, found.independent) == (2 * expected.image_count, 0.5)
    assert found.interval()[:3] == pytest.approx(expected.interval()[:3], abs=1e-6)
    assert found.low() == pytest.approx(expected.low(), abs=1e-6)
    assert found.p_value == pytest.approx(expected.p_value, rel=1e-3)
    assert found.error.variance == pytest.approx(expected.error.variance, rel=1e-5)
