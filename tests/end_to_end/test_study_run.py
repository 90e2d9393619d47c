"""A study from nothing to a report, and on after damage."""

import json
import re
from decimal import Decimal

import pytest

pytest.importorskip("torch")

from run_commands import run
from tiny_study import write_tiny_study

import failmodes


@pytest.mark.test_all
def test_one_command_takes_a_study_from_nothing_to_a_report_and_again_does_nothing(tmp_path) -> None:
    """A severity between the published ones is evaluated, stored and loaded as the fraction that it is."""
    path = write_tiny_study(tmp_path)
    path.write_text(path.read_text().replace("severities = [1, 5]", "severities = [5, 2.25]"))
    done = run("run", folder=tmp_path)
    assert "report.html" in done.stdout
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Handwritten digits" in page
    again = run("run", folder=tmp_path)
    assert "0 shards written, 5 already present" in again.stderr
    assert "nothing to train" in again.stderr
    assert re.search(r"(\d+) of \1 checks pass", run("status", folder=tmp_path).stdout)
    with failmodes.open(tmp_path / "out") as w:
        levels = w.sql("select severity, count(*) as n from exemplars group by severity order by severity")
    assert levels["severity"].to_list() == [0, Decimal("2.25"), 5]
    assert levels["n"].n_unique() == 1
    rows = run("query", "@worst_cells", "--format", "json", folder=tmp_path).stdout
    assert json.loads(rows)
    damaged = next((tmp_path / "out" / "results" / "prediction_facts").rglob("*.parquet"))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 3] ^= 0xFF
    damaged.write_bytes(bytes(content))
    refused = run("load", "--rebuild", folder=tmp_path, expect=1)
    assert str(damaged.relative_to(tmp_path)) in refused.stderr
    assert "--redo-damaged" in refused.stderr
    assert "recomputed" in run("evaluate", "--redo-damaged", folder=tmp_path).stderr
    run("load", "--rebuild", folder=tmp_path)
