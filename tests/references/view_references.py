"""Every view computed a second time, without SQL: from the plain tables with NumPy, SciPy and scikit-learn.

Each `compare_*` takes an open warehouse, of any size, and asserts that the view says the same; `COMPARISONS` lists
them by view. The one thing taken from the warehouse is its tables of facts and dimensions.
"""

from collections.abc import Callable

import duckdb
import views_accuracy
import views_attention
import views_classes
import views_confidence
import views_failure_prediction
import views_onset

COMPARISONS: dict[str, Callable[[duckdb.DuckDBPyConnection], None]] = {
    name.removeprefix("compare_"): function
    for module in (
        views_accuracy,
        views_attention,
        views_classes,
        views_confidence,
        views_failure_prediction,
        views_onset,
    )
    for name, function in vars(module).items()
    if name.startswith("compare_")
}
