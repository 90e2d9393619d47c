"""How large a report is, and how long it takes to write: like the demo's, and of ten models under all corruptions."""

import time
from pathlib import Path
from typing import Any

import pytest
from report_pages import NOT_DRAWN, wait_without_scrolling
from synthetic_results import write_synthetic

from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.analysis.report.rendering import write_report
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.warehouse.database.load import load

pytestmark = pytest.mark.test_all

MB = 1_000_000
MODELS = tuple(f"Model-{number}" for number in range(1, 11))


def test_a_report_like_the_demo_is_small(report: Path) -> None:
    assert report.stat().st_size <= 5 * MB


@pytest.mark.nightly
def test_ten_models_under_all_corruptions(tmp_path: Path, open_page: Any) -> None:
    write_synthetic(
        tmp_path, images=100, models=MODELS, classes=10, exemplars_per_reason=2,
        corruptions=tuple(name for name, corruption in CORRUPTIONS.items() if corruption.group != "clean"),
        falls={model: 0.4 + 0.1 * number for number, model in enumerate(MODELS)},
    )  # fmt: skip
    load([tmp_path], tmp_path / "warehouse.duckdb", derivation=DERIVATION)
    started = time.process_time()
    report = write_report(tmp_path / "warehouse.duckdb")
    assert time.process_time() - started < 20
    assert report.stat().st_size <= 15 * MB
    visit = open_page(report)
    wait_without_scrolling(visit.page)
    assert visit.page.evaluate(NOT_DRAWN) == []
    assert (visit.problems, visit.outside) == ([], [])
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 1400
    visit.page.context.close()
