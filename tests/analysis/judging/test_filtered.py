"""Comparisons, gates and claims on the images of a filter: beside hand counts, and as the commands print them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from described_images import CAMERAS, describe_images, described
from opened_results import Opened
from run_commands import run
from scipy.stats import binomtest
from synthetic_results import write_synthetic
from warehouse_files import derivation

import failmodes
from failmodes.analysis.judging.statement import stored_rows
from failmodes.ingest.statements import check_claims
from failmodes.runtime.errors import FailmodesError
from failmodes.warehouse.database.load import load

FILTER = "camera = 'B'"
KEPT = np.array([CAMERAS[image % 5] == "B" for image in range(160)])
ON_FILTERED = {"metric": "accuracy", "corruptions": ["fog"], "filter": FILTER}
RULES = [
    ON_FILTERED | {"severities": [5], "relation": "at_least", "limit": 0.3},
    ON_FILTERED | {"relation": "drop_at_most", "limit": 0.5},
    {"metric": "accuracy", "relation": "at_least", "limit": 0.1},
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(with_metadata: Opened, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a warehouse and nothing else."""
    folder = tmp_path_factory.mktemp("filtered")
    shutil.copy(with_metadata.made.output / "w.duckdb", folder / "warehouse.duckdb")
    return folder


@pytest.fixture(scope="module")
def w(folder: Path) -> failmodes.Warehouse:
    return failmodes.open(folder)


def shares(made: Opened, label: str, corruption: str) -> list[float]:
    """Accuracy of the kept images, from clean on."""
    return made.made.correct[label, corruption][:, KEPT].mean(axis=1).tolist()


def test_a_comparison_is_of_the_kept_images(w: failmodes.Warehouse, with_metadata: Opened) -> None:
    found = w.compare("Alpha", "Beta", filter=FILTER)
    correct = with_metadata.made.correct
    ours, theirs = (np.mean([np.mean(shares(with_metadata, label, name)[1:]) for name in ("fog", "contrast")])
                    for label in ("Alpha", "Beta"))  # fmt: skip
    overall = found.comparison.overall
    assert (overall.a, overall.b) == pytest.approx((ours, theirs))
    assert overall.estimate.value == pytest.approx(theirs - ours)
    assert overall.estimate.n == found.comparison.pair.pairing.image_count == KEPT.sum()
    (cell,) = found.cells.filter(corruption="fog", severity=5).rows(named=True)
    a, b = correct["Alpha", "fog"][-1][KEPT], correct["Beta", "fog"][-1][KEPT]
    assert (cell["only_a"], cell["only_b"]) == ((a & ~b).sum(), (b & ~a).sum())
    assert set(found.images["image_id"]) <= {*np.flatnonzero(KEPT).tolist()}
    said = " ".join(found.sentences).replace("\xa0", " ")
    assert "images where camera = 'B' (64 of 160 images; 32 images have no value for it)" in said
    assert found.comparison.a.image_count == 64


@pytest.mark.test_all
def test_a_filter_that_keeps_all_images_changes_no_number(w: failmodes.Warehouse) -> None:
    every, kept = w.compare("Alpha", "Beta"), w.compare("Alpha", "Beta", filter="label >= 0")
    assert kept.cells.equals(every.cells)
    assert kept.metrics.equals(every.metrics)
    assert kept.classes.equals(every.classes)


@pytest.mark.test_all
def test_an_exported_baseline_can_be_filtered(w: failmodes.Warehouse, folder: Path, tmp_path: Path) -> None:
    baseline = w.export(tmp_path / "alpha.duckdb", evaluation="Alpha")
    exported = w.compare(str(baseline), "Beta", filter=FILTER)
    assert exported.cells.equals(w.compare("Alpha", "Beta", filter=FILTER).cells)


@pytest.mark.test_all
def test_rules_and_claims_are_about_the_kept_images(w: failmodes.Warehouse, with_metadata: Opened) -> None:
    hits = round(shares(with_metadata, "Alpha", "fog")[-1] * KEPT.sum())
    gate = failmodes.gate({"gate": {"candidate": "Alpha", "rules": RULES}}, w)
    first, second, third = (rule.decisions[0].estimate for rule in gate.rules)
    bound = binomtest(hits, int(KEPT.sum())).proportion_ci(0.90, "exact")
    assert first[:2] == pytest.approx((hits / KEPT.sum(), bound.low))
    clean, *corrupted = shares(with_metadata, "Alpha", "fog")
    assert second.value == pytest.approx(clean - np.mean(corrupted))
    assert [first.n, second.n, third.n] == [64, 64, 160], "a rule without a filter is about all images"
    said = gate.to_markdown().replace("\xa0", " ")
    assert "accuracy (images where camera = 'B') under fog" in said
    assert said.count("64 of 160 images; 32 images have no value for it") == 2
    alpha = w.claims(RULES[:1])[0]
    exact = binomtest(hits, int(KEPT.sum())).proportion_ci(0.95, "exact")
    assert alpha.estimate[:3] == pytest.approx((hits / KEPT.sum(), exact.low, exact.high))
    rows = w.sql(alpha.query).filter(severity=5)
    assert (len(rows), rows["correct"].sum()) == (64, hits)


@pytest.mark.test_all
def test_claims_of_a_study_are_stored_with_their_filter(tmp_path: Path) -> None:
    stated = check_claims([RULES[0], RULES[0] | {"filter": "camra = 'B'"}], "here")
    made = write_synthetic(tmp_path, images=40, models=("Alpha",), corruptions=("fog",), severities=(5,))
    describe_images(made, described(40))
    load([tmp_path], tmp_path / "w.duckdb", claims=stored_rows(stated), derivation=derivation(resamples=50))
    rows = failmodes.open(tmp_path / "w.duckdb").table("claims")
    kept = rows.filter(claim_number=1)
    assert kept["n"].to_list() == [16]
    assert "camera = 'B'" in kept["claim"][0]
    (wrong,) = rows.filter(claim_number=2).rows(named=True)
    assert wrong["verdict"] == "not_measurable"
    assert "did you mean 'camera'" in wrong["reason"]


@pytest.mark.test_all
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"filter": ""}, "at least 1 character"),
        ({"filter": "camra = 'B'"}, "did you mean 'camera'"),
        ({"filter": "camera = 'Z'"}, "no evaluated image matches"),
        ({"filter": "image_id in (select 1)"}, "no other table"),
        ({"metric": None, "relation": None, "limit": None, "severities": None, "shape": "late"}, "leave it out"),
    ],
)
def test_refusals(w: failmodes.Warehouse, change: dict[str, object], message: str) -> None:
    rule = {key: value for key, value in (RULES[0] | change).items() if value is not None}
    with pytest.raises(FailmodesError) as error:
        w.claims(rule)
    assert message in str(error.value)


@pytest.mark.test_all
def test_commands(folder: Path) -> None:
    done = run("compare", "Alpha", "Beta", "--filter", FILTER, "--format", "json", folder=folder)
    assert json.loads(done.stdout)["filter"] == {
        "condition": FILTER, "image_count": 64, "evaluated_count": 160, "unknown_count": 32,
    }  # fmt: skip
    (folder / "gate.toml").write_text(
        '[gate]\ncandidate = "Alpha"\nbaseline = "Beta"\n[[gate.rules]]\nmetric = "accuracy"\nlimit = 0.5\n'
        'relation = "worse_by_at_most"\nfilter = "camra = \'B\'"\n'
    )
    wrong = run("gate", "gate.toml", folder=folder, expect=2)
    assert "gate.toml: gate.rules.0: filter" in wrong.stderr
    assert wrong.stderr.count("\n") == 1
    wrong = run("compare", "Alpha", "Beta", "--filter", "camera =", folder=folder, expect=2)
    assert wrong.stderr.count("\n") == 1
