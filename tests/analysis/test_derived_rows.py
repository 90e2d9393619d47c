"""Rows of derived tables as Arrow."""

from decimal import Decimal

import pyarrow as pa

from failmodes.analysis.derived_rows import derived_rows
from failmodes.warehouse.database_schema import STEPS


def test_rows_are_those_that_arrow_makes() -> None:
    row = {"evaluation_id": "a", "corruption": "fog", "severity_from": Decimal("0.000"), "severity_to": Decimal(1)}
    rows = [row | {"accuracy_change": -0.25}, row]
    assert derived_rows(rows, STEPS).equals(pa.Table.from_pylist(rows, schema=STEPS.arrow()))
    assert derived_rows([], STEPS).equals(pa.Table.from_pylist([], schema=STEPS.arrow()))
