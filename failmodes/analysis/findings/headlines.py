"""Which findings are printed: of each claim and network the strongest, and once for each kind what is undecided."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from failmodes.analysis.findings.finding import FEWEST_IMAGES, KINDS, Finding, Verdict, too_few
from failmodes.analysis.formatting import MAX_LISTED, format_count

TOLD_VERDICTS: dict[str, tuple[Verdict, ...]] = {
    "overconfidence": ("supported", "contradicted"),
    "attention_own_map": ("supported", "contradicted"),
    "attention_background": ("supported", "contradicted"),
}  # of all other kinds what is supported
# Of these kinds the first that was found is told, of the others the largest
IN_ORDER = ("most_costly", "shape", "shape_over_distortion", "flat", "confidence_below_chance")
OF_PAIRS = ("better_over_seeds", "better_model")
MORE_IMAGES = "more images would decide"
UNDECIDED = {  # what is undecided, of how many what, and what would decide it
    "most_costly": ("Which corruption costs most", "network", MORE_IMAGES),
    "shape": ("The shape of the fall", "curve", MORE_IMAGES),
    "shape_over_distortion": ("Whether the shape is another over distortion", "comparison", MORE_IMAGES),
    "one_step_collapse": ("Whether accuracy collapses in one step", "curve", MORE_IMAGES),
    "overconfidence": ("Whether a network is over- or underconfident", "cell", MORE_IMAGES),
    "calibration_error": ("Whether clean confidence is miscalibrated", "network", MORE_IMAGES),
    "seen_coming": ("Whether failures are seen coming", "score", MORE_IMAGES),
    "attention_own_map": ("Whether attention stays near its clean centroid", "cell", MORE_IMAGES),
    "attention_background": ("Whether attention leaves the object", "cell", MORE_IMAGES),
    "better_over_seeds": ("Which network is right more often", "pair", "more training seeds or images would decide"),
    "better_model": ("Which of two networks is right more often", "pair", MORE_IMAGES),
}


TOPICS = {  # of each kind, in a word or two
    "most_costly": "Costliest corruption", "shape": "Shape",
    "shape_over_distortion": "Shape over distortion", "one_step_collapse": "Collapse in one step",
    "flat": "No change", "rise": "Rise", "mode_collapse": "One answer to most images", "class_collapse": "Weak classes",
    "overconfidence": "Confidence", "calibration_error": "Calibration", "confidence_below_chance": "Finding failures",
    "seen_coming": "Seen coming", "attention_own_map": "Attention", "attention_background": "Attention",
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
    """What is printed of the findings of one selection, in the order of `KINDS`; what is undecided comes last."""
    if findings and all(finding.n < FEWEST_IMAGES for finding in findings):
        told = too_few(max(finding.n for finding in findings))
        return [Headline("shape", "undecided", told, 0, "from accuracy_by_severity")]
    networks = {finding.evaluation_id for finding in findings}
    of_kind = {kind: [finding for finding in findings if finding.kind == kind] for kind in KINDS}
    decided = [
        headline
        for kind, found in of_kind.items()
        for group in _groups(found, is_of_all=len(networks) > MAX_LISTED or kind in OF_PAIRS)
        for headline in _decided(kind, group)
    ]
    return decided + [headline for kind, found in of_kind.items() for headline in _undecided(kind, found)]


def _groups(findings: Iterable[Finding], *, is_of_all: bool) -> list[list[Finding]]:
    """Findings of each network or of all; those of a shape by class, so that one is like the other."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        claim = finding.claim if finding.kind == "shape" else ""
        groups.setdefault(("" if is_of_all else finding.evaluation_id, claim), []).append(finding)
    return list(groups.values())


def _decided(kind: str, group: Sequence[Finding]) -> Iterable[Headline]:
    for verdict in TOLD_VERDICTS.get(kind, ("supported",)):
        found = [finding for finding in group if finding.verdict == verdict]
        if found and (found[0].claim == kind or found[0].claim not in KINDS):  # a flat shape is told as `flat`
            first = _told_first(kind, verdict, found)
            yield Headline(kind, verdict, first.sentence, len(found) - 1, first.query)


def _told_first(kind: str, verdict: Verdict, found: Sequence[Finding]) -> Finding:
    """The one of several alike that is told: the most telling."""
    if kind in IN_ORDER:
        return found[0]
    if kind == "attention_own_map" and verdict == "supported":  # the others stay nearer still
        return min(found, key=lambda finding: finding.value or 0.0)
    return max(found, key=lambda finding: abs(finding.value or 0.0))


def _undecided(kind: str, findings: Sequence[Finding]) -> Iterable[Headline]:
    """One line for all that is undecided of a kind; of a single finding its own sentence."""
    found = [finding for finding in findings if finding.verdict == "undecided"]
    if kind == "most_costly":  # the first of each network says it all
        findings = list({finding.evaluation_id: finding for finding in reversed(findings)}.values())
        found = [finding for finding in reversed(findings) if finding.verdict == "undecided"]
    if kind not in UNDECIDED or not found:
        return
    if len({finding.sentence for finding in found}) == 1:
        yield Headline(kind, "undecided", found[0].sentence, 0, found[0].query)
        return
    what, noun, decides = UNDECIDED[kind]
    if kind == "attention_background" and all(finding.value is None for finding in found):
        noun, decides = "network", "object masks would decide"
    count = f"{len(found)} of {format_count(len(findings), noun)}"
    query = f"from findings where kind = '{kind}' and verdict = 'undecided'"
    yield Headline(kind, "undecided", f"{what} is undecided for {count}: {decides}.", 0, query)
