"""Findings in the warehouse: stored by a report with what they were made from, read while that is so, judged anew."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest
from checkpoint_comparisons import of_kind
from markupsafe import escape
from rewritten_shards import cell_of
from synthetic_results import Synthetic, write_synthetic

from failmodes.analysis.claims.stored import open_with_claims
from failmodes.analysis.judging import stored
from failmodes.analysis.judging.findings.collection import Findings
from failmodes.analysis.judging.findings.kind import Finding
from failmodes.analysis.judging.findings.registry import selection_findings
from failmodes.analysis.judging.stored import warehouse_findings
from failmodes.analysis.opened_warehouse import Warehouse
from failmodes.analysis.report import rendering
from failmodes.analysis.report.rendering import write_report
from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.analysis.statistics.shape_tables import ensure_shapes
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.query import run_query
from failmodes.warehouse.errors import StorageError
from failmodes.warehouse.schema import ATTENTION, CORRUPTIONS
from failmodes.warehouse.shards.format import read_verified, shard_path, write_dimension, write_shard

QUICK = ShapeSettings(resamples=50)
SMALL = {"images": 40, "corruptions": ("fog", "contrast"), "severities": (2, 5)}
MALICIOUS = "<script>alert('A')</script>"


@pytest.fixture(scope="module", autouse=True)
def without_charts() -> Iterator[None]:
    """Charts are drawn elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendering, "draw_charts", lambda *_: ([], []))
        yield


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse of two models, one with a malicious name, with a report beside it; copy it before you change it."""
    folder = tmp_path_factory.mktemp("reported")
    write_synthetic(folder / "out", models=(MALICIOUS, "Beta"), **SMALL)
    load([folder / "out"], folder / "w.duckdb")
    ensure_shapes(folder / "w.duckdb", QUICK)
    write_report(folder / "w.duckdb")
    return folder / "w.duckdb"


@pytest.fixture
def own(reported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(reported, tmp_path / "w.duckdb"))


def refused(*_: object) -> list[Finding]:
    raise AssertionError("judged although it is stored")


def rows_of(path: Path) -> list[tuple]:
    with open_warehouse(path) as con:
        return con.execute(f"select {', '.join(Finding._fields)} from findings order by position").fetchall()


@pytest.mark.slow
def test_a_report_stores_every_finding(reported: Path) -> None:
    found = warehouse_findings(reported)
    assert rows_of(reported) == [tuple(finding) for finding in found]
    with open_warehouse(reported) as con:
        positions = [position for (position,) in con.execute("select position from findings").fetchall()]
        fingerprints = con.execute("select distinct input_fingerprint from findings").fetchall()
        ((judged,),) = [con.execute("select count(*) from findings where value is not null").fetchall()]
    assert sorted(positions) == list(range(1, len(found) + 1))
    assert len(fingerprints) == 1
    assert judged[0] > 0


@pytest.mark.slow
def test_a_second_report_reads_them_and_is_the_same(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write_report(own).read_bytes()
    content = own.read_bytes()
    monkeypatch.setattr(stored, "selection_findings", refused)
    assert write_report(own).read_bytes() == first
    assert own.read_bytes() == content
    assert len(Warehouse(own).findings()) == len(rows_of(own))


@pytest.mark.slow
def test_findings_that_are_read_are_those_that_would_be_judged(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = warehouse_findings(own)
    with duckdb.connect(str(own)) as writer:
        writer.execute("delete from findings")
    judged = warehouse_findings(own)
    assert judged == read
    assert isinstance(read, Findings)
    assert len(read.headlines) < len(read)


@pytest.mark.slow
def test_asking_for_findings_writes_nothing(own: Path) -> None:
    with duckdb.connect(str(own)) as writer:
        writer.execute("delete from findings")
    content = own.read_bytes()
    assert len(Warehouse(own).findings()) > 0
    assert own.read_bytes() == content
    assert rows_of(own) == []


@pytest.mark.slow
def test_a_new_load_makes_them_stale_and_they_are_judged_again(own: Path, tmp_path: Path) -> None:
    before = rows_of(own)
    write_synthetic(tmp_path / "more", models=("Gamma",), **SMALL)
    load([tmp_path / "more"], own)
    assert {finding.model_label for finding in warehouse_findings(own)} == {MALICIOUS, "Beta", "Gamma"}
    assert rows_of(own) == before, "they are stored by a report alone"
    write_report(own)
    assert {row[Finding._fields.index("model_label")] for row in rows_of(own)} == {MALICIOUS, "Beta", "Gamma"}


@pytest.mark.slow
def test_other_settings_of_the_shapes_make_them_stale(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_shapes(own, ShapeSettings(resamples=50, flat_below=0.9))
    calls = []
    monkeypatch.setattr(stored, "selection_findings", lambda *a: calls.append(a) or selection_findings(*a))
    assert {f.verdict for f in warehouse_findings(own) if f.kind == "flat"} == {"supported"}
    assert calls


@pytest.fixture
def small(tmp_path: Path) -> tuple[Synthetic, Path]:
    """A record of one model with a warehouse that a report was made of."""
    made = write_synthetic(tmp_path / "out", images=40, models=("Alpha",), corruptions=("fog",), severities=(2, 5))
    load([made.output], tmp_path / "w.duckdb")
    ensure_shapes(tmp_path / "w.duckdb", QUICK)
    write_report(tmp_path / "w.duckdb")
    return made, tmp_path / "w.duckdb"


@pytest.mark.slow
def test_other_maps_make_them_stale(small: tuple[Synthetic, Path]) -> None:
    made, path = small
    (before,) = of_kind(warehouse_findings(path), "attention_off_object")
    key = cell_of(made, "Alpha", "fog", 5)
    rows = read_verified(shard_path(made.output, ATTENTION, key)).rows
    on_object = pl.from_arrow(rows).with_columns(mask_share=pl.lit(0.9, pl.Float32)).to_arrow()
    write_shard(made.output, ATTENTION, key, on_object.cast(rows.schema))
    load([made.output], path)
    (after,) = of_kind(warehouse_findings(path), "attention_off_object")
    assert (before.verdict, after.verdict) == ("supported", "contradicted")


@pytest.mark.slow
def test_other_names_of_corruptions_make_them_stale(small: tuple[Synthetic, Path]) -> None:
    made, path = small
    with open_warehouse(path) as con:
        (fog,) = con.sql("from corruptions where corruption = 'fog'").pl().rows(named=True)
    write_dimension(made.output, CORRUPTIONS, "fog", [fog | {"corruption_label": "Mist"}])
    load([made.output], path)
    assert warehouse_findings(path)[0].sentence.startswith("Mist costs Alpha most")


def test_another_method_makes_them_stale(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "METHOD", stored.METHOD + 1)
    monkeypatch.setattr(stored, "selection_findings", refused)
    with pytest.raises(AssertionError, match="judged although"):
        warehouse_findings(own)


@pytest.mark.slow
@pytest.mark.parametrize("protected", ["file", "folder"])
def test_a_protected_warehouse_gives_a_report_all_the_same(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], protected: str
) -> None:
    with duckdb.connect(str(own)) as writer:
        writer.execute("delete from findings")
    content = own.read_bytes()
    if protected == "file":
        monkeypatch.setattr("failmodes.analysis.statistics.shape_tables.os.access", lambda *_: False)
    else:
        monkeypatch.setattr("failmodes.warehouse.database.updates.file_lock", _no_lock)
    page = write_report(own, tmp_path / "elsewhere.html").read_text()
    assert "cannot be stored" in capsys.readouterr().err
    assert own.read_bytes() == content
    for headline in warehouse_findings(own).headlines:
        assert str(escape(headline.sentence)) in page
    with open_with_claims(own) as con:
        assert con.execute("select count(*) > 0 from findings").fetchall() == [(True,)], "for that call it has them"


def _no_lock(*_: object) -> None:
    raise StorageError("cannot write the lock: permission denied")


@pytest.mark.slow
def test_text_from_an_untrusted_warehouse_is_escaped(own: Path) -> None:
    assert any(MALICIOUS in finding.sentence for finding in warehouse_findings(own))
    page = write_report(own).read_text()
    assert MALICIOUS not in page
    assert "&lt;script&gt;alert(&#39;A&#39;)&lt;/script&gt;" in page
    assert MALICIOUS not in Warehouse(own).findings()._repr_html_()


@pytest.mark.slow
def test_stored_sentences_are_no_better_trusted(own: Path) -> None:
    with duckdb.connect(str(own)) as writer:
        writer.execute("update findings set sentence = '<img src=x>', query = '<b>' where kind = 'prediction_collapse'")
        writer.execute("update findings set verdict = 'supported' where kind = 'prediction_collapse'")
    page = write_report(own).read_text()
    assert "<img src=x>" not in page
    assert "&lt;img src=x&gt;" in page
    assert "<code><b></code>" not in page
    assert not re.search(r"<script>alert", page)


@pytest.mark.slow
def test_inconclusive_findings_are_found_by_the_query_of_their_line(reported: Path) -> None:
    lines = [line for line in warehouse_findings(reported).headlines if line.query.startswith("from findings")]
    assert lines
    for line in lines:
        assert run_query(reported, line.query)["verdict"].unique().to_list() == ["inconclusive"]
