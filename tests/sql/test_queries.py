"""The saved queries: each answers its question."""

from pathlib import Path

import numpy as np
import pytest
from synthetic_results import Synthetic

from failmodes.warehouse.database.query import run_query
from failmodes.warehouse.database.saved_queries import saved_queries


@pytest.mark.parametrize("name", saved_queries())
def test_saved_query_returns_what_it_describes(query_here: Path, name: str) -> None:
    rows = run_query(query_here / "warehouse.duckdb", f"@{name}")
    assert rows.height > 0
    assert not any(column in rows.columns for column in ("evaluation_id", "dataset_id")), "names, not identities"
    assert "?" in saved_queries()[name].purpose, "its comment asks a question"


def test_worst_cells_are_the_worst(query_here: Path) -> None:
    worst = run_query(query_here / "warehouse.duckdb", "@worst_cells")["accuracy_drop"]
    every = run_query(
        query_here / "warehouse.duckdb", "select accuracy_drop from accuracy_by_severity where severity > 0"
    )
    assert worst.to_list() == every["accuracy_drop"].sort(descending=True).head(20).to_list()


def test_images_every_model_fails_are_correct_clean_and_incorrect_later_for_all(
    query_here: Path, synthetic: Synthetic
) -> None:
    rows = run_query(query_here / "warehouse.duckdb", "@images_every_model_fails")
    fooled: dict[int, set[str]] = {}
    for corruption in {name for _, name in synthetic.correct}:
        alpha, beta = (synthetic.correct[model, corruption] for model in ("Alpha", "Beta"))
        for image_id in np.flatnonzero(alpha[0] & beta[0] & ~alpha.all(0) & ~beta.all(0)):
            fooled.setdefault(int(image_id), set()).add(corruption)
    assert rows["corruption_count"].to_list() == sorted(map(len, fooled.values()), reverse=True)[:50]
    for row in rows.iter_rows(named=True):
        assert set(row["corruptions"].split(", ")) == fooled[row["image_id"]]


def test_confidence_before_failure_counts_every_step_once(query_here: Path) -> None:
    rows = run_query(query_here / "warehouse.duckdb", "@confidence_before_failure")
    table = run_query(query_here / "warehouse.duckdb", "select * from onset_by_corruption where severity > 0")
    key = ["model_label", "corruption_label", "severity"]
    both = rows.join(table, on=key, how="inner").sort(key)
    assert both.height == rows.height == table.height
    assert both["failing_count"].to_list() == both["failed_count"].to_list()
    assert (both["failing_count"] + both["surviving_count"]).to_list() == both["at_risk_count"].to_list()
