"""A study that commit f6a817a (version 0.1.0, flat folders) evaluated, imported and loaded: it goes on here.

The archive holds 30 photographs of digits, a corrupted set of them, two small models (one seed each), predictions to
import, the record, the warehouse, and what that commit answered: identities, content hashes of all shards, the rows of
every view and saved query. Pixels come from the set, so that no library's version is part of an identity.
"""

import hashlib
import json
import math
import shutil
import tarfile
from pathlib import Path
from typing import Any

import duckdb
import pytest
from installed_script import failmodes

from failmodes.warehouse.database.query import run_query
from failmodes.warehouse.database.results import write_rows

ARCHIVE = Path(__file__).parents[1] / "references" / "study_of_0_1_0.tar.xz"
SHARDS = "select table_name, evaluation_id, corruption, severity::varchar, content_hash from shards order by all"
IDENTITIES = "select evaluation_id, model_id, dataset_id, source_id, subset_id from evaluations order by all"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("older")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder / "made_before"


@pytest.fixture(scope="module")
def expected(unpacked: Path) -> dict[str, Any]:
    return json.loads((unpacked / "expected.json").read_text())


@pytest.fixture
def older(unpacked: Path, tmp_path: Path) -> Path:
    """The study's folder, to go on with."""
    return Path(shutil.copytree(unpacked, tmp_path / "study"))


def files_of(record: Path) -> dict[str, str]:
    return {str(p.relative_to(record)): hashlib.sha256(p.read_bytes()).hexdigest() for p in record.rglob("*.parquet")}


def rows(warehouse: Path, sql: str) -> list[list[str]]:
    with duckdb.connect(str(warehouse), read_only=True) as con:
        return [list(row) for row in con.execute(sql).fetchall()]


def answer(folder: Path, question: str) -> list[dict[str, Any]]:
    output = folder / "answer.json"
    if question.startswith("@"):
        failmodes("query", question, "study.toml", "--output", output, folder=folder)
    else:
        write_rows([run_query(folder / "out" / "warehouse.duckdb", f"select * from {question}")], output)
    return json.loads(output.read_text())


LATER = {
    "predicted_output",
    "class_protocol",
    "output_count",
    "wordnet_id",
    *("max_calibration_error", "reliability", "resolution", "uncertainty"),
    *("equal_mass_ece", "smooth_ece", "ece_noise_floor", "scaled_log_sum_exp"),
    *("surviving_share_low", "surviving_share_high"),
    "model_name",
}  # columns that came later: of versions 1.2 to 1.5 of the schema, of calibration_by_severity, onset_by_corruption and
# evaluation_labels


def in_order(answered: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows in an order that no last digit of a sum decides: DuckDB adds in the order of its threads."""
    rounded = [
        {k: round(v, 9) if isinstance(v, float) else v for k, v in row.items() if k not in LATER} for row in answered
    ]
    order = sorted(range(len(answered)), key=lambda i: json.dumps(rounded[i], sort_keys=True))
    return [answered[i] for i in order]


def assert_same(found: Any, stated: Any, where: str) -> None:
    if isinstance(stated, float) and isinstance(found, float | int):
        assert math.isclose(found, stated, rel_tol=1e-9, abs_tol=1e-12), where
    elif isinstance(stated, dict):
        assert found.keys() - LATER == stated.keys(), where
        for key, value in stated.items():
            assert_same(found[key], value, f"{where}.{key}")
    elif isinstance(stated, list):
        assert len(found) == len(stated), where
        for index, value in enumerate(stated):
            assert_same(found[index], value, f"{where}[{index}]")
    else:
        assert found == stated, where


@pytest.mark.slow
def test_its_record_is_resumed_and_no_shard_is_made_again(older: Path, expected: dict[str, Any]) -> None:
    pytest.importorskip("torch")
    before = files_of(older / "out" / "results")
    assert len(before) > 50
    evaluated = failmodes("evaluate", "study.toml", folder=older)
    assert "0 shards made, 20 were there" in evaluated.stdout + evaluated.stderr
    imported = failmodes("import", "elsewhere.parquet", "--label", "Elsewhere", "study.toml", folder=older)
    assert "already there, nothing to do" in imported.stdout + imported.stderr
    now = files_of(older / "out" / "results")
    assert {name: content for name, content in now.items() if not name.startswith("thumbnails/")} == before
    assert len(now) == len(before) + 1  # clean images came later
    loaded = failmodes("load", "study.toml", folder=older).stderr
    assert "shards 0 new, 0 replaced, 50 already there" in loaded
    assert rows(older / "out" / "warehouse.duckdb", SHARDS) == expected["shards"]
    assert "16 of 16 checks hold" in failmodes("status", "study.toml", folder=older).stdout


@pytest.mark.slow
def test_its_warehouse_answers_every_view_and_saved_query_as_before(older: Path, expected: dict[str, Any]) -> None:
    failmodes("load", "study.toml", folder=older)  # installs the views of today
    listed = failmodes("query", "--list", folder=older).stdout
    assert {line.split("\t")[0] for line in listed.splitlines()} >= {q for q in expected["predictions"] if q[0] == "@"}
    for question, stated in expected["predictions"].items():
        assert_same(in_order(answer(older, question)), in_order(stated), question)


def test_a_record_of_it_loads_into_a_new_warehouse(older: Path, expected: dict[str, Any]) -> None:
    (older / "out" / "warehouse.duckdb").unlink()
    failmodes("load", "study.toml", folder=older)
    assert rows(older / "out" / "warehouse.duckdb", SHARDS) == expected["shards"]
    assert rows(older / "out" / "warehouse.duckdb", IDENTITIES) == expected["identities"]


@pytest.mark.slow
def test_a_fresh_run_has_its_identities_and_its_predictions(older: Path, expected: dict[str, Any]) -> None:
    """Hashes of rows are the same on the machine that made them; on another, logits differ in their last digits."""
    pytest.importorskip("torch")
    shutil.move(older / "out", older / "former")
    failmodes("evaluate", "study.toml", folder=older)
    failmodes("import", "elsewhere.parquet", "--label", "Elsewhere", "study.toml", folder=older)
    failmodes("load", "study.toml", folder=older)
    assert rows(older / "out" / "warehouse.duckdb", IDENTITIES) == expected["identities"]
    assert [row[:4] for row in rows(older / "out" / "warehouse.duckdb", SHARDS)] == [s[:4] for s in expected["shards"]]
    with duckdb.connect(str(older / "out" / "warehouse.duckdb"), read_only=True) as con:
        con.execute(f"attach '{older / 'former' / 'warehouse.duckdb'}' as former (read_only)")
        (pairs, farthest, other) = con.execute(
            "select count(*), max(abs(a.confidence - b.confidence)), "
            "count(*) filter (where a.predicted != b.predicted) "
            "from predictions a join former.predictions b using (evaluation_id, corruption, severity, image_id)"
        ).fetchone() or (0, 1, 0)
    assert (pairs, other) == (900, 0)
    assert farthest < 1e-4
