"""A few rows of `make soundness`, that it finds a rule that is wrong, and that its table holds every sentence."""

import csv
from pathlib import Path

import gates
import metric_gates
import numpy as np
import pytest
import shapes
import shifts
from claims import judge
from marked_cases import quick
from running import all_jobs, measure_part

from failmodes.analysis.judging.findings.kind import proposed

pytestmark = pytest.mark.test_all
HERE = Path(__file__).parent
TABLE = HERE.parents[1] / "docs" / "soundness.csv"
SAMPLES = 200
QUICK = {  # truths of a kind and how many images
    "shape": ("between late, abrupt", 500),
    "largest_drop": ("2 drop the same", 50),
    "shape_over_distortion": (
        "the shape over both at a boundary: near_linear, near_linear | inconclusive, inconclusive",
        500,
    ),
    "a curve has a break": ("straight, a drop of 40 points", 500),
    "a curve has a threshold": ("twice as steep from severity 3 on", 500),
    "intervals of all ranks of corruptions": ("6 drop the same", 50),
    "intervals of all ranks of classes": ("10 classes drop the same", 500),
    "interval of a mean accuracy drop": ("straight from 99%, a drop of 5 points", 50),
    "class_failure": ("one class of 50 images 20 points below 90%, 10 classes", 500),
    "overconfidence": ("calibrated, mean confidence 0.99, unlike of images", 50),
    "calibration_error": ("calibrated, mean confidence 0.93, unlike of images", 500),
    "confidence_below_chance": ("AUROC .5, 10 failures, nine tenths are 1", 500),
    "errors_accepted": ("2% of the accepted images are incorrect, as on clean images", 2_000),
    "a threshold meets its error": ("errors: everywhere 2.5%", 2_000),
    "clean coverage of a conformal set": ("LAC, ten classes", 500),
    "better_model over seeds": ("the same accuracy, 3 and 3 seeds, 7.0 points apart", 500),
    "better_model": ("the same accuracy near 98%, highly correlated", 50),
    "a claim of two accuracy drops": ("both straight from 99 to 97%", 500),
    "a claim of a drop limit": ("straight from 99 to 97%", 50),
    "a claim of a limit of accuracy": ("straight from 99 to 97%", 50),
    "a claim that a checkpoint is better": ("both straight from 99 to 97%", 50),
    "a claim of a gap limit": ("95% on 500 clean images, 85% under the shift", 100),
    "a claim of a shape": ("between flat, near_linear", 50),
    "attention_drift": ("5 points above half", 2_000),
    "at_chance": ("accuracy at chance, 10%", 500),
    "permuted_outputs": ("10% of 10 classes, 20% with the best assignment", 500),
    "a gate passes a rule": ("accuracy, mean of 6 cells, one class falls by 20 points", 50),
    "a gate fails a rule": ("accuracy, each of 6 cells, all equally worse", 50),
    "a gate passes any metric": ("became_incorrect_share, accuracy 98%", 100),
    "a gate on a user's metric": ("minimum of the accuracies of 10 classes, one class 5 points below", 500),
    "a slice is supported": ("no slice differs, 10 attributes", 500),
    "a winner under a corruption": ("two equal models from 90%, 6 corruptions", 500),
}

FACTS = (
    "warning",
    "few_images",
    "duplicate_images",
    "same_label",
    "perfect_clean",
)  # counted, not inferred from a sample


@quick("kind", QUICK, "at_chance", others="nightly")
def test_limits_hold(kind: str) -> None:
    truth, images = QUICK[kind]
    jobs = [job for job in all_jobs(kind) if (job.claims[0].truth, job.claims[0].images) == (truth, images)]
    assert jobs
    outcomes = measure_part(jobs[0], 0, SAMPLES, seed=0)
    rows = [judge(claim, outcomes[:, column]) for column, claim in enumerate(jobs[0].claims)]
    assert [row for row in rows if not row.ok] == []


def test_a_wrong_rule_is_found() -> None:
    """The word of the sample's own curve, whatever the resamples say."""
    first, second = (shapes.through(np.array(curve) / 100, 6) for curve in shapes.EDGES["late, abrupt"])
    below, _ = shapes.edge_between(first, second)
    wrong = shapes.false("shape", lambda drawn: drawn.shape.shape != shapes.word_of(below))
    job = shapes.job("at the edge", below, 500, [wrong])
    row = judge(job.claims[0], job.answers(np.random.default_rng(0), SAMPLES)[:, 0])
    assert row.share > 0.3
    assert not row.ok


def test_every_metric_that_gates_accept_is_measured() -> None:
    names = {claim.truth.partition(",")[0] for job in all_jobs("a gate passes any metric") for claim in job.claims}
    assert names == set(metric_gates.judged_metrics())


def test_a_gap_between_different_images_misses_in_at_most_5_5_percent() -> None:
    """Exactly: the worst of 81 pairs of accuracies is 98% of 100 images against 10% of 100."""
    assert shifts.worst_errors((100, 100), np.random.default_rng(0), 1) == pytest.approx(0.0537, abs=1e-4)


def test_a_part_depends_on_the_seed_alone() -> None:
    job = all_jobs("interval of a mean accuracy drop")[0]
    first, again = (measure_part(job, 0, 20, seed=1).tolist() for _ in range(2))
    assert first == again


def test_the_truth_of_a_gate_is_what_many_images_show() -> None:
    truth = gates.Truth((0.02, 0.05, 0.08, 0.11, 0.14, 0.17), worst=0.2)
    (model,) = gates.draw_models(gates.Scenario(truth, None), 40_000, np.random.default_rng(0))
    models = gates.ModelMetrics(model)
    for measure, values in truth.measures().items():
        found = models.mean(measure, gates.CELLS[2:4], "confidence" if measure == "augrc" else None)
        assert found.value == pytest.approx(values[2:4].mean(), abs=0.015 if "worst" in measure else 0.005)


SENTENCES = [kind.name for kind in proposed() if kind.name not in FACTS]
CLAIMS = [kind for kind in QUICK if kind.startswith("a claim")]
GATES = ["a gate passes a rule", "a gate fails a rule"]
OTHERS = [
    "a gate passes any metric",
    "a gate fails any metric",
    "a gate on a user's metric",
    "a winner under a corruption",
    "a threshold meets its error",
]


@pytest.mark.parametrize("kind", [*SENTENCES, *CLAIMS, *GATES, *OTHERS])
def test_every_kind_was_measured(kind: str) -> None:
    with TABLE.open(encoding="utf-8", newline="") as file:
        false = [row for row in csv.DictReader(file) if (row["kind"], row["measured"]) == (kind, "false claim")]
    assert false, f"{kind} is printed, but {TABLE.name} does not say how often it is false: add rows, `make soundness`"
    assert all(row["holds"] == "yes" for row in false)
    for measure in gates.MEASURES if kind in GATES else ():
        for over in ("mean", "each"):
            assert any(row["truth"].startswith(f"{measure}, {over} of 6 cells") for row in false)
