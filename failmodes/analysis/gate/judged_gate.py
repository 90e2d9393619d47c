"""All rules of a gate with what is shown of each, and what that means to a pipeline."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from failmodes.analysis.gate.judging import JudgedRule, Verdict
from failmodes.analysis.statistics.image_pairing import ImagePairing
from failmodes.analysis.statistics.opened_models import DescribedModel as ComparedModel

PASSED, FAILED, NOT_SHOWN = 0, 1, 3  # exit codes; all that keeps a gate from judging ends with 2

Inconclusive = Literal["stop", "pass"]


@dataclass(frozen=True)
class JudgedGate:
    """A gate with what is shown of each rule.

    Attributes:
        origin: where the rules come from.
        candidate: what they are about.
        baseline: what it is compared with; None where no baseline is named.
        pairing: which images are compared; None without a baseline.
        is_about_training: whether bounds are over training seeds too. Else the statements are about these checkpoints.
        level: of every statement.
        inconclusive: whether an inconclusive rule stops the pipeline, or lets it pass.
        rules: in the order of the file.
    """

    origin: str
    candidate: ComparedModel
    baseline: ComparedModel | None
    pairing: ImagePairing | None
    is_about_training: bool
    level: float
    inconclusive: Inconclusive
    rules: tuple[JudgedRule, ...]

    @property
    def counts(self) -> Counter[Verdict]:
        """How many rules have each verdict."""
        return Counter(rule.verdict for rule in self.rules)

    @property
    def passed(self) -> bool:
        """Whether the pipeline may go on."""
        return self.exit_code == PASSED

    @property
    def exit_code(self) -> int:
        """0 passed, 1 a rule fails, 3 a rule is inconclusive or a cell is missing."""
        counts = self.counts
        if counts["fail"]:
            return FAILED
        if counts["missing"] or (counts["inconclusive"] and self.inconclusive == "stop"):
            return NOT_SHOWN
        return PASSED
