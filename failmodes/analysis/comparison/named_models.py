"""Two models compared by the names that a user gives them."""

from collections.abc import Sequence
from pathlib import Path

from failmodes.analysis.statistics.comparing import LEVEL, MARGIN, compare_models
from failmodes.analysis.statistics.model_comparison import Comparison
from failmodes.analysis.statistics.opened_models import SEPARATOR, SUFFIX, open_models
from failmodes.warehouse.errors import StudyError, shown
from failmodes.warehouse.metrics.metric import Metric

LEAST_LEVEL, MOST_LEVEL = 0.5, 0.999


def compare_named(
    a: str,
    b: str,
    where: str | Path | None = None,
    *,
    margin: float = MARGIN,
    level: float = LEVEL,
    corruptions: Sequence[str] = (),
    metrics: Sequence[Metric] = (),
) -> Comparison:
    """Compare two models, of one warehouse or of two files.

    Args:
        a: the first: what `named_model` takes, FILE.duckdb or FILE.duckdb::LABEL.
        b: the second, named alike.
        where: the warehouse of names without a file.
        margin: difference of mean corrupted accuracy that would matter, above 0 and below 1.
        level: of the intervals, 0.5 to 0.999.
        corruptions: only these; all that both have if empty.
        metrics: compared beside those that always are.

    Raises:
        StudyError: a name means no model, or both the same; a number is out of its range; or the two share no cell.
        WarehouseError: a warehouse cannot be read, or a model is not evaluated to the end.
    """
    for name in (a, b):
        if not isinstance(name, str):
            raise StudyError(f"a model is named by a text, such as its label (given: {shown(name)})")
    if not 0 < margin < 1:
        raise StudyError(f"margin {shown(margin)}: expected a difference of accuracy above 0 and below 1, such as 0.01")
    if not LEAST_LEVEL <= level <= MOST_LEVEL:
        raise StudyError(f"level {shown(level)}: expected a number from {LEAST_LEVEL} to {MOST_LEVEL}, such as 0.95")
    if where is not None and is_in_file(a) and is_in_file(b):
        raise StudyError(f"A and B name their own files: leave out the warehouse {str(where)!r}")
    with open_models((a, b), where) as (first, second):
        return compare_models(
            first, second, level=level, margin=margin, corruptions=tuple(corruptions), metrics=metrics
        )


def is_in_file(name: str) -> bool:
    """Whether a model's name says which file it is in."""
    return name.partition(SEPARATOR)[0].endswith(SUFFIX)
