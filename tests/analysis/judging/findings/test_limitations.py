"""What must not be claimed stands in every report, by what is on record and never by assumption."""

from dataclasses import replace
from pathlib import Path

import duckdb
from opened_results import opened
from rewritten_shards import cell_of, make_non_finite
from synthetic_results import Synthetic

from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.judging.findings.collection import limitations
from failmodes.analysis.judging.findings.kind import Limitation


def by_topic(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[str, Limitation]:
    return {limitation.topic: limitation for limitation in limitations(con, selection)}


def test_they_say_what_is_on_record(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    found = by_topic(con, selection)
    assert {"Training", "Images", "Pixels", "Severity", "Errors", "Shapes", "Error rates", "Attention"} == set(found)
    text = " ".join(f"{one.sentence} {one.detail}" for one in found.values())
    for fact in ("400\u00a0images", "synthetic: no real images", "2,000 resamples", "more than 2\u00a0training runs"):
        assert fact in text
    alpha, beta = selection.evaluations
    another = replace(beta, facts=beta.facts | {"architecture": "vit", "training_seed": None})
    chosen = replace(alpha, facts=alpha.facts | {"class_protocol": "all", "training_seed": 3})
    other = by_topic(con, replace(selection, evaluations=(chosen, another), left_out=("Gamma",)))
    assert "Alpha 3 and Beta not stated" in other["Training"].detail
    assert other["Classes"].sentence.startswith("Alpha predicts among ")
    assert "Gamma" in other["Excluded"].sentence


def test_unpaired_data_and_rows_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    def spoil(made: Synthetic) -> None:
        make_non_finite(made, cell_of(made, "Alpha", "fog", 5), range(7))
        make_non_finite(made, cell_of(made, "Alpha"), range(2))

    options = {"images": 40, "models": ("Alpha",), "corruptions": ("fog",), "severities": (5,), "paired": False}
    with opened(tmp_path, spoil, **options) as it:
        found = by_topic(it.con, it.selection)
    assert found["Numbers"].detail.startswith("9 of Alpha")
    assert found["Pairing"].detail.startswith("labels differ")
