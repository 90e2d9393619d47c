"""A claim that was judged: of which model, its verdict, the number that decides with its interval, and why."""

from dataclasses import dataclass
from typing import NamedTuple

import duckdb

from failmodes.analysis.formatting import format_severity, lower_label
from failmodes.analysis.judging.findings.kind import FEWEST_IMAGES, Verdict, of_images, rows_of, too_few
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels
from failmodes.analysis.statistics.bootstrap import Estimate, stored_resampling
from failmodes.analysis.statistics.sufficiency import MOST_NON_FINITE, non_finite_cells
from failmodes.ingest.claim_forms import At, Relation
from failmodes.ingest.claim_grammar import ClaimText
from failmodes.warehouse.schema import CLEAN

UNIT = "accuracy"  # of most claims; differences are -1 to 1
NOTHING: tuple[None, None, None] = (None, None, None)


class JudgedClaim(NamedTuple):
    """One claim about one model, or one pair of models.

    Attributes:
        claim_number: position of the claim in the study, from 1.
        claim: as it was stated.
        form: what kind of claim it is, such as 'drop_limit'.
        verdict: 'supported', 'contradicted', or 'inconclusive', where the data cannot tell.
        evaluation_id: the evaluation that it is about, of several training runs the first; None where there is none.
        model_label: the model's name on charts, or both names.
        other_evaluation_id: of a comparison the second evaluation.
        value: the number that decides.
        low: lower end of its interval.
        high: upper end of its interval.
        unit: of the three: 'accuracy' and other shares are 0-1, differences of shares -1 to 1.
        n: images that the number is of; None where nothing was evaluated.
        reason: why it is inconclusive, where more than the interval is to blame.
        sentence: what was found.
        query: SQL that gives the figures; `failmodes query` runs it.
    """

    claim_number: int
    claim: str
    form: str
    verdict: Verdict
    evaluation_id: str | None
    model_label: str | None
    other_evaluation_id: str | None
    value: float | None
    low: float | None
    high: float | None
    unit: str
    n: int | None
    reason: str | None
    sentence: str
    query: str

    @property
    def estimate(self) -> Estimate | None:
        """The number with its interval; None where it has none."""
        if self.value is None or self.low is None or self.high is None:
            return None
        return Estimate(self.value, self.low, self.high)


@dataclass(frozen=True)
class ClaimContext:
    """What one claim is judged on.

    Attributes:
        con: the warehouse, with shapes.
        selection: evaluations that share images and corrupted pixels.
        number: position of the claim, from 1.
        stated: the claim.
        form: its kind.
    """

    con: duckdb.DuckDBPyConnection
    selection: Selection
    number: int
    stated: ClaimText
    form: str

    @property
    def level(self) -> float:
        """Of all intervals."""
        return stored_resampling(self.con).interval_level

    def label(self, corruption: str) -> str:
        """A corruption's name inside a sentence."""
        return "clean images" if corruption == CLEAN else lower_label(corruption_labels(self.con)[corruption])

    def row(
        self,
        evaluation: EvaluationInfo,
        verdict: Verdict,
        sentence: str,
        query: str,
        *,
        estimate: Estimate | None = None,
        unit: str = UNIT,
        reason: str | None = None,
        other: EvaluationInfo | None = None,
        label: str | None = None,
        n: int | None = None,
    ) -> JudgedClaim:
        """The claim judged on an evaluation; of fewer than `FEWEST_IMAGES` images it is inconclusive."""
        count = self.selection.image_count if n is None else n
        if count < FEWEST_IMAGES:
            verdict, reason = "inconclusive", too_few(count).rstrip(".")
        value, low, high = estimate or NOTHING
        return JudgedClaim(
            self.number, self.stated.text, self.form, verdict, evaluation.evaluation_id, label or evaluation.label,
            other.evaluation_id if other else None, value, low, high, unit, count, reason,
            f"{sentence} {of_images(count)}.", query,
        )  # fmt: skip

    def without(
        self,
        evaluation: EvaluationInfo | None,
        reason: str,
        *,
        label: str | None = None,
        query: str = "",
        unit: str = UNIT,
    ) -> JudgedClaim:
        """The claim where what it is about was not evaluated, or has no figures."""
        relation = "from evaluation_labels" if evaluation is None else rows_of("evaluations", evaluation)
        return JudgedClaim(
            self.number, self.stated.text, self.form, "inconclusive", evaluation.evaluation_id if evaluation else None,
            label or (evaluation.label if evaluation else None), None, *NOTHING, unit, None, reason,
            f"Inconclusive: {reason}.", query or relation,
        )  # fmt: skip

    def missing_cell(self, corruption: str, at: At) -> str:
        """Why there is no figure of a corruption at a severity."""
        if corruption not in self.selection.corruptions:
            return f"{self.label_of_any(corruption)} was not evaluated"
        where = format_severity(at) if isinstance(at, float) else str(at)
        return f"{self.label(corruption)} was not evaluated at severity {where}"

    def label_of_any(self, corruption: str) -> str:
        """The name inside a sentence of a corruption that the warehouse may not hold."""
        return lower_label(corruption_labels(self.con).get(corruption, corruption.replace("_", " ")))

    def non_finite(self, evaluation: EvaluationInfo, *corruptions: str) -> str | None:
        """Why nothing is said of some corruptions: too many predictions are no finite numbers; None where they are."""
        cells = non_finite_cells(self.con, evaluation.evaluation_id)
        found = [cell for cell in cells if cell[0] in (CLEAN, *corruptions)]
        if not found:
            return None
        corruption, severity = found[0]
        where = "of clean images" if corruption == CLEAN else f"under {self.label(corruption)} at {severity:g}"
        return f"more than {MOST_NON_FINITE:.0%} of the predictions {where} are no finite numbers"


def verdict_on(estimate: Estimate, relation: Relation, limit: float) -> Verdict:
    """Supported where the whole interval is on the claim's side of the limit, contradicted where it is on the other."""
    _, low, high = estimate
    is_within, is_beyond = {
        "less than": (high < limit, low >= limit),
        "at most": (high <= limit, low > limit),
        "more than": (low > limit, high <= limit),
        "at least": (low >= limit, high < limit),
    }[relation]
    return "supported" if is_within else "contradicted" if is_beyond else "inconclusive"


def more_or_less(estimate: Estimate) -> tuple[str, Estimate]:
    """A difference as a positive number, and whether it is more or less: ("less", 3 points) of -3 points."""
    if estimate.value >= 0:
        return "more", estimate
    return "less", Estimate(-estimate.value, -estimate.high, -estimate.low)


def at_phrase(at: At, last: float | None = None) -> str:
    """Where on the curve a number is: on average over severities, at severity 5."""
    if at == "average":
        return "on average over severities"
    if at == "last":
        return "at the last severity" if last is None else f"at severity {format_severity(last)}"
    return f"at severity {format_severity(float(at))}"
