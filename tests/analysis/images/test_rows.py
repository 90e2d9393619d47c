"""Which rows a condition lets through."""

from pathlib import Path

import duckdb
import pytest
from synthetic_results import write_synthetic

from failmodes.analysis.images.rows import matching_rows
from failmodes.warehouse.database.load import load


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    write_synthetic(folder, images=60, classes=4, models=("Alpha", "Beta"), corruptions=("fog", "contrast"))
    load([folder], folder / "warehouse.duckdb")
    return folder / "warehouse.duckdb"


@pytest.mark.slow
def test_a_condition_may_ask_for_what_is_correct_when_clean(warehouse: Path) -> None:
    """As two sets of predictions give it, put side by side by hand."""
    with duckdb.connect(str(warehouse), read_only=True) as con:
        rows = con.execute(
            "select evaluation_id, image_id, corruption, severity, predicted = label from prediction_facts"
        )
        predictions = {(e, i, c, float(s)): correct for e, i, c, s, correct in rows.fetchall()}
    expected = {
        (e, i)
        for (e, i, corruption, severity), correct in predictions.items()
        if (corruption, severity) == ("fog", 5) and not correct and predictions[e, i, "none", 0]
    }
    found = matching_rows(warehouse, "corruption = 'fog' and severity = 5 and clean_correct and not correct limit 200")
    assert {(row.evaluation_id, row.image_id) for row in found.rows} == expected
    incorrect = matching_rows(warehouse, "corruption = 'fog' and severity = 5 and not correct limit 200")
    assert 0 < len(found.rows) < len(incorrect.rows)


def test_a_clean_row_is_correct_when_clean_where_it_is_correct(warehouse: Path) -> None:
    assert matching_rows(warehouse, "corruption = 'none' and correct <> clean_correct").rows == []
