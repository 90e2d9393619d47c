"""Which findings are printed: of each claim and model the strongest, and once for each kind what is inconclusive."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from failmodes.analysis.findings.finding import FEWEST_IMAGES, KINDS, Finding, Verdict, too_few
from failmodes.analysis.formatting import MAX_LISTED, format_count

PRINTED_VERDICTS: dict[str, tuple[Verdict, ...]] = {
    "overconfidence": ("supported", "contradicted"),
    "attention_drift": ("supported", "contradicted"),
    "attention_off_object": ("supported", "contradicted"),
}  # of all other kinds what is supported
# Of these kinds the first that was found is told, of the others the largest
IN_ORDER = ("largest_drop", "shape", "shape_over_distortion", "flat", "confidence_below_chance")
OF_PAIRS = ("better_over_seeds", "better_model")
MORE_IMAGES = "more images would decide"
INCONCLUSIVE = {  # what is inconclusive, of how many what, and what would decide it
    "largest_drop": ("Which corruption costs most", "model", MORE_IMAGES),
    "shape": ("The shape of the fall", "curve", MORE_IMAGES),
    "shape_over_distortion": ("Whether the shape is another over distortion", "comparison", MORE_IMAGES),
    "abrupt_drop": ("Whether accuracy collapses in one step", "curve", MORE_IMAGES),
    "overconfidence": ("Whether a model is over- or underconfident", "cell", MORE_IMAGES),
    "calibration_error": ("Whether clean confidence is miscalibrated", "model", MORE_IMAGES),
    "early_warning": ("Whether failures are seen coming", "score", MORE_IMAGES),
    "attention_drift": ("Whether attention stays near its clean centroid", "cell", MORE_IMAGES),
    "attention_off_object": ("Whether attention leaves the object", "cell", MORE_IMAGES),
    "better_over_seeds": ("Which model is right more often", "pair", "more training seeds or images would decide"),
    "better_model": ("Which of two models is right more often", "pair", MORE_IMAGES),
}


TOPICS = {  # of each kind, in a word or two
    "largest_drop": "Costliest corruption", "shape": "Shape",
    "shape_over_distortion": "Shape over distortion", "abrupt_drop": "Collapse in one step",
    "flat": "No change", "rise": "Rise", "prediction_collapse": "One answer to most images",
    "class_failure": "Weak classes",
    "overconfidence": "Confidence", "calibration_error": "Calibration", "confidence_below_chance": "Finding failures",
    "early_warning": "Seen coming", "attention_drift": "Attention", "attention_off_object": "Attention",
    "better_over_seeds": "Comparison", "better_model": "Comparison",
}  # fmt: skip


class Headline(NamedTuple):
    """A sentence as it is printed.

    Attributes:
        kind: of the findings behind it.
        verdict: of them.
        sentence: what a reader takes away.
        others: how many findings of the same claim and verdict are behind it besides the one that it tells.
        query: SQL that gives the figures.
    """

    kind: str
    verdict: Verdict
    sentence: str
    others: int
    query: str

    @property
    def topic(self) -> str:
        """What it is about, in a word or two."""
        return TOPICS[self.kind]

    @property
    def text(self) -> str:
        """The sentence, and how many others there are like it."""
        return f"{self.sentence} (and {self.others} more like it)" if self.others else self.sentence


def headlines(findings: Sequence[Finding]) -> list[Headline]:
    """What is printed of the findings of one selection, in the order of `KINDS`; what is inconclusive comes last."""
    if findings and all(finding.n < FEWEST_IMAGES for finding in findings):
        sentence = too_few(max(finding.n for finding in findings))
        return [Headline("shape", "inconclusive", sentence, 0, "from accuracy_by_severity")]
    models = {finding.evaluation_id for finding in findings}
    of_kind = {kind: [finding for finding in findings if finding.kind == kind] for kind in KINDS}
    decided = [
        headline
        for kind, found in of_kind.items()
        for group in _groups(found, is_of_all=len(models) > MAX_LISTED or kind in OF_PAIRS)
        for headline in _decided(kind, group)
    ]
    return decided + [headline for kind, found in of_kind.items() for headline in _inconclusive(kind, found)]


def _groups(findings: Iterable[Finding], *, is_of_all: bool) -> list[list[Finding]]:
    """Findings of each model or of all; those of a shape by class, so that one is like the other."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        claim = finding.claim if finding.kind == "shape" else ""
        groups.setdefault(("" if is_of_all else finding.evaluation_id, claim), []).append(finding)
    return list(groups.values())


def _decided(kind: str, group: Sequence[Finding]) -> Iterable[Headline]:
    for verdict in PRINTED_VERDICTS.get(kind, ("supported",)):
        found = [finding for finding in group if finding.verdict == verdict]
        if found and (found[0].claim == kind or found[0].claim not in KINDS):  # a flat shape is told as `flat`
            first = _strongest(kind, verdict, found)
            yield Headline(kind, verdict, first.sentence, len(found) - 1, first.query)


def _strongest(kind: str, verdict: Verdict, found: Sequence[Finding]) -> Finding:
    """The one of several alike that is told: the most telling."""
    if kind in IN_ORDER:
        return found[0]
    if kind == "attention_drift" and verdict == "supported":  # the others stay nearer still
        return min(found, key=lambda finding: finding.value or 0.0)
    return max(found, key=lambda finding: abs(finding.value or 0.0))


def _inconclusive(kind: str, findings: Sequence[Finding]) -> Iterable[Headline]:
    """One line for all that is inconclusive of a kind; of a single finding its own sentence."""
    found = [finding for finding in findings if finding.verdict == "inconclusive"]
    if kind == "largest_drop":  # the first of each model says it all
        findings = list({finding.evaluation_id: finding for finding in reversed(findings)}.values())
        found = [finding for finding in reversed(findings) if finding.verdict == "inconclusive"]
    if kind not in INCONCLUSIVE or not found:
        return
    if len({finding.sentence for finding in found}) == 1:
        yield Headline(kind, "inconclusive", found[0].sentence, 0, found[0].query)
        return
    what, noun, decides = INCONCLUSIVE[kind]
    if kind == "attention_off_object" and all(finding.value is None for finding in found):
        noun, decides = "model", "object masks would decide"
    count = f"{len(found)} of {format_count(len(findings), noun)}"
    query = f"from findings where kind = '{kind}' and verdict = 'inconclusive'"
    yield Headline(kind, "inconclusive", f"{what} is inconclusive for {count}: {decides}.", 0, query)
