"""How large a report is, and how long it takes to write; that of ten models under all corruptions works, too."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from printed_report import printed_on_a4
from report_pages import NOT_DRAWN, wait_without_scrolling
from synthetic_results import write_synthetic

from failmodes.analysis.judging.stored import DERIVATION
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.warehouse.database.load import load

pytestmark = pytest.mark.browser

MB = 1_000_000
MODELS = tuple(f"Model-{number}" for number in range(1, 11))
WRITE = """
import sys, time
from pathlib import Path
from failmodes.analysis.report.rendering import write_report
write_report(Path(sys.argv[1]))
print(time.process_time())
"""


def test_a_report_like_the_demo_is_small(report: Path) -> None:
    assert report.stat().st_size <= 5 * MB


@pytest.mark.slow
def test_ten_models_under_all_corruptions(
    tmp_path: Path, open_page: Any, browser: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    write_synthetic(
        tmp_path, images=100, models=MODELS, classes=10, exemplars_per_reason=2,
        corruptions=tuple(name for name, corruption in CORRUPTIONS.items() if corruption.group != "clean"),
        falls={model: 0.4 + 0.1 * number for number, model in enumerate(MODELS)},
    )  # fmt: skip
    load([tmp_path], tmp_path / "warehouse.duckdb", derivation=DERIVATION)
    seconds = _cpu_seconds(tmp_path / "warehouse.duckdb")
    report = tmp_path / "report.html"
    with capsys.disabled():
        print(f"\nten models, 19 corruptions: {report.stat().st_size / MB:.1f} MB, {seconds:.1f} s of CPU time")
    visit = open_page(report)
    wait_without_scrolling(visit.page)
    assert visit.page.evaluate(NOT_DRAWN) == []
    assert visit.problems == []
    assert visit.outside == []
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 1400
    printed = printed_on_a4(visit.page, browser)
    assert printed.apart() == []
    assert not printed.is_made_smaller()
    visit.page.context.close()
    assert report.stat().st_size <= 15 * MB
    assert seconds < 20


def _cpu_seconds(warehouse: Path) -> float:
    """CPU time of a process that does nothing but import and write the report."""
    command = [sys.executable, "-c", WRITE, str(warehouse)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)
