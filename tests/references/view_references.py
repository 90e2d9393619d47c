"""Every view computed a second time, without SQL: from tables and metrics with NumPy, SciPy and scikit-learn.

Each `compare_*` takes an open warehouse, of any size, and asserts that the view says the same; `COMPARISONS` lists
them by view. What is taken from the warehouse are its tables of facts, dimensions and metrics (which have references of
their own in tests/warehouse/metrics).
"""

from collections.abc import Callable

import duckdb
import views_accuracy
import views_metrics
import views_onset
import views_shifts

COMPARISONS: dict[str, Callable[[duckdb.DuckDBPyConnection], None]] = {
    name.removeprefix("compare_"): function
    for module in (views_accuracy, views_metrics, views_onset, views_shifts)
    for name, function in vars(module).items()
    if name.startswith("compare_") and name not in ("compare_metrics", "compare_row", "compare_rows")
}
