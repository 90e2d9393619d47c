"""What holds for every finding: its kind, one row a claim, at most 30 words, the number of images, and its query."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection
from failmodes.analysis.judging.findings.kind import Finding, Judged, Kind, rows_of
from failmodes.analysis.statistics.estimate import Estimate, Word

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("of", ["few", pytest.param("many", marks=pytest.mark.test_all)])
def test_every_query_returns_rows(of: str, request: pytest.FixtureRequest) -> None:
    con, findings = map(
        request.getfixturevalue, ("con", "all_findings") if of == "few" else ("many_con", "many_findings")
    )
    for query in {finding.query for finding in findings}:
        assert con.execute(f"from ({query}) limit 1").fetchall(), query


INFO, OTHER = EvaluationInfo("e'1", "Alpha", {}), EvaluationInfo("e2", "Beta", {})


def found_of(judged: Judged, **declared: object) -> Finding:
    """What a kind makes of one statement."""
    kind = Kind(
        "steady", lambda *_: [judged], 50, "accuracy", "Steady", "it is steady", "accuracy", "shapes", **declared
    )
    con = duckdb.connect()
    selection = Selection((INFO, OTHER), (), None)
    (found,) = kind.of_selection(con, selection if kind.is_of_pairs else selection.only(INFO))
    return found


@pytest.mark.parametrize(
    ("images", "verdict", "expected"),
    [
        (29, "supported", "not_measurable"), (29, "inconclusive", "not_measurable"), (30, "supported", "supported"),
    ],
)  # fmt: skip
def test_of_few_images_nothing_is_claimed(images: int, verdict: Word, expected: str) -> None:
    found = found_of(Judged(verdict, "Said", Estimate(0.1, 0.0, 0.2, n=images)))
    assert found.verdict == expected
    assert (found.value, found.low, found.high, found.n) == (0.1, 0.0, 0.2, images)
    assert found.sentence.startswith("Said (") == (verdict == expected)


def test_what_a_statement_does_not_say_its_kind_does() -> None:
    found = found_of(Judged("supported", "Said.", corruption="fog", severity=5.0, n=40))
    assert (found.kind, found.claim, found.unit, found.sentence) == ("steady", "steady", "accuracy", "Said.")
    assert found.query == "from shapes where evaluation_id = 'e''1' and corruption = 'fog'"


def test_names_in_a_query_are_quoted(con: duckdb.DuckDBPyConnection) -> None:
    query = rows_of("accuracy_by_severity", INFO, "it's; drop table models")
    assert con.sql(query).fetchall() == []


ONE_KIND = """
from failmodes.analysis.judging.findings.kind import Judged, kind
from failmodes.analysis.statistics.estimate import Estimate

@kind("warm", order=75, section="accuracy", topic="Warmth", claims="the model is <warm>", unit="degrees",
      relation="models", inconclusive=("Whether a model is warm", "model"))
def warm(con, selection, evaluation):
    yield Judged("supported", f"{evaluation.label} is warm: 21 degrees",
                 Estimate(21.0, 20.0, 22.0, n=selection.image_count))
"""
SHOWN = """
import sys
from pathlib import Path

sys.path.append(".handbook")
from reference_findings import findings_page
from failmodes.analysis.judging.findings.headlines import headlines
from failmodes.analysis.judging.findings.kind import proposed
from failmodes.analysis.judging.findings.correction import selection_findings
from failmodes.analysis.evaluations.selection import select_one
from failmodes.warehouse.database.connection import open_warehouse

with open_warehouse(Path(sys.argv[1])) as con:
    found = selection_findings(con, select_one(con))
names = [kind.name for kind in proposed()]
assert names.index("warm") == names.index("class_failure") + 1, names
for finding in found:
    if finding.kind == "warm":
        print(finding.sentence, finding.unit, finding.query)
print(*[f"{line.topic}: {line.text}" for line in headlines(found) if line.kind == "warm"])
print(*[line for line in findings_page().splitlines() if "warm" in line])
"""


@pytest.mark.test_all
def test_a_file_beside_the_others_is_a_kind(shaped_warehouse: Path, tmp_path: Path) -> None:
    """In findings, headlines and the handbook, without a line elsewhere."""
    for name in ("failmodes", ".handbook"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "failmodes/analysis/judging/findings/warm.py").write_text(ONE_KIND)
    shown = subprocess.run(
        [sys.executable, "-c", SHOWN, shaped_warehouse], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    first, _, headlines, page = shown.stdout.replace("\u00a0", " ").splitlines()
    assert first.startswith("Alpha is warm: 21 degrees (400 images). degrees from models where evaluation_id = ")
    assert headlines.count("Warmth: ") == 2
    assert page == "| `warm` | the model is &lt;warm> | an evaluation | degrees | `models` |"
