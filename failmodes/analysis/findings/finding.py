"""A finding: one thing that was judged, with its verdict, one number, its interval and a sentence."""

from typing import Literal, NamedTuple

from failmodes.analysis.formatting import format_count
from failmodes.analysis.selection import EvaluationInfo
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.sql import sql_literal

Verdict = Literal["supported", "contradicted", "inconclusive"]
FEWEST_IMAGES = 30  # of fewer there are figures but no findings


class Finding(NamedTuple):
    """One claim about one model (and one corruption, or another model), judged by the data.

    Attributes:
        kind: what is claimed, such as 'largest_drop'; see `KINDS`.
        claim: of a kind with several, which: the class of a shape, the score that predicts; else the kind.
        verdict: 'supported', 'contradicted', or 'inconclusive', where the data cannot tell.
        evaluation_id: the evaluation that it is about.
        model_label: its name on charts.
        corruption: the corruption, 'none' for clean images; None where it is about all.
        value: the number behind it; None where there is none.
        low: lower end of its interval; None where it has none.
        high: upper end of its interval.
        unit: of the three: 'accuracy' and other shares are 0-1, differences of shares -1 to 1.
        n: images that the number is of.
        sentence: at most 30 words.
        query: SQL that gives the figures; `failmodes query` runs it.
        other_evaluation_id: of a comparison the second evaluation.
        severity: that the number is of; None where it is of several.
    """

    kind: str
    claim: str
    verdict: Verdict
    evaluation_id: str
    model_label: str
    corruption: str | None
    value: float | None
    low: float | None
    high: float | None
    unit: str
    n: int
    sentence: str
    query: str
    other_evaluation_id: str | None = None
    severity: float | None = None


class Limitation(NamedTuple):
    """What must not be claimed: its topic in a word, the sentence, and what stands behind it."""

    topic: str
    sentence: str
    detail: str


KINDS = {  # in the order of a report, with what is claimed
    "largest_drop": "this corruption costs the model most accuracy at the last severity",
    "shape": "the curve has this shape",
    "shape_over_distortion": "the curve has another shape over measured distortion than over severity",
    "abrupt_drop": "one step loses twice its even share of the fall",
    "flat": "accuracy stays near the clean one at every severity",
    "rise": "accuracy lies above the clean one at some severity",
    "prediction_collapse": "the model gives one answer to most images",
    "class_failure": "one class falls far below the others",
    "overconfidence": "mean confidence lies above accuracy",
    "calibration_error": "the calibration error on clean images is more than noise",
    "confidence_below_chance": "confidence finds failures worse than chance",
    "early_warning": "this score predicts the failures of the next severity beyond what severity tells",
    "attention_drift": "attention stays nearer to the image's own clean centroid than to another's of its class",
    "attention_off_object": "attention leaves the object",
    "better_over_seeds": "the model, over training seeds, is right more often than the other under corruption",
    "better_model": "the model is right more often than the other under corruption",
}


def judged(
    kind: str,
    verdict: Verdict,
    evaluation: EvaluationInfo,
    sentence: str,
    query: str,
    *,
    n: int,
    unit: str,
    estimate: Estimate | tuple[float | None, float | None, float | None] = (None, None, None),
    corruption: str | None = None,
    severity: float | None = None,
    other: EvaluationInfo | None = None,
    claim: str | None = None,
) -> Finding:
    """A finding of one evaluation; below `FEWEST_IMAGES` images it is inconclusive, whatever the figures say."""
    if n < FEWEST_IMAGES and verdict != "inconclusive":
        verdict = "inconclusive"
        sentence = too_few(n)
    value, low, high = estimate
    return Finding(
        kind,
        claim or kind,
        verdict,
        evaluation.evaluation_id,
        evaluation.label,
        corruption,
        value,
        low,
        high,
        unit,
        n,
        sentence,
        query,
        other.evaluation_id if other else None,
        severity,
    )


def too_few(count: int) -> str:
    """Why nothing is claimed of so few images."""
    verb = "is" if count == 1 else "are"
    return f"{format_count(count, 'image')} {verb} too few for findings: it takes {FEWEST_IMAGES}."


def of_images(count: int) -> str:
    """The number of images as the end of a sentence: (10,000 images)."""
    return f"({format_count(count, 'image')})"


def rows_of(relation: str, evaluation: EvaluationInfo, corruption: str | None = None) -> str:
    """SQL that selects an evaluation's rows of a table or view, of one corruption or all."""
    of_corruption = f" and corruption = {sql_literal(corruption)}" if corruption else ""
    return f"from {relation} where evaluation_id = {sql_literal(evaluation.evaluation_id)}{of_corruption}"
