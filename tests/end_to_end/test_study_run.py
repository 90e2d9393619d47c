"""Every command through its installed script, in a directory of its own: what it prints, and how it fails."""

import json

import pytest

pytest.importorskip("torch")

from installed_script import failmodes
from tiny_study import write_tiny_study


@pytest.mark.slow
def test_one_command_takes_a_study_from_nothing_to_a_report_and_again_does_nothing(tmp_path) -> None:
    write_tiny_study(tmp_path)
    done = failmodes("run", folder=tmp_path)
    assert "report.html" in done.stdout
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Handwritten digits" in page
    again = failmodes("run", folder=tmp_path)
    assert "0 shards written, 5 already present" in again.stderr
    assert "nothing to train" in again.stderr
    assert "checks pass" in failmodes("status", folder=tmp_path).stdout
    rows = failmodes("query", "@worst_cells", "--format", "json", folder=tmp_path).stdout
    assert json.loads(rows)
    damaged = next((tmp_path / "out" / "results" / "prediction_facts").rglob("*.parquet"))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 3] ^= 0xFF
    damaged.write_bytes(bytes(content))
    refused = failmodes("load", "--rebuild", folder=tmp_path, expect=1)
    assert str(damaged.relative_to(tmp_path)) in refused.stderr
    assert "--redo-damaged" in refused.stderr
    assert "recomputed" in failmodes("evaluate", "--redo-damaged", folder=tmp_path).stderr
    failmodes("load", "--rebuild", folder=tmp_path)
