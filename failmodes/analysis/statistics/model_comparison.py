"""What a comparison of two models holds: differences of the second minus the first, each with its interval."""

from dataclasses import dataclass
from typing import Literal

from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.image_pairing import ImagePairing as ImagePairing

Decision = Literal["supported", "contradicted", "inconclusive"]
Winner = Literal["a", "b", ""]


@dataclass(frozen=True)
class ComparedModel:
    """One side of a comparison.

    Attributes:
        label: its name; the two sides' names differ.
        evaluation_ids: an evaluation for each training run.
        seeds: training seeds, where they are stated.
        image_count: images that each of its evaluations saw.
        source_line: data set, subset, corruptions, training seeds and date.
    """

    label: str
    evaluation_ids: tuple[str, ...]
    seeds: tuple[int, ...]
    image_count: int
    source_line: str


@dataclass(frozen=True)
class MetricComparison:
    """One metric of both, averaged over cells.

    Attributes:
        metric: its name, such as 'accuracy'.
        title: what it is, in words.
        unit: of its values; 'share' is 0-1.
        better: whether higher or lower is better.
        cells: 'clean', or 'corrupted' for the mean over corruptions of the mean over their whole severities.
        a: value of the first; None where it is not defined.
        b: value of the second.
        difference: of the second minus the first, with the two-sided interval of the level.
        score: that failures are predicted by; None of a metric that takes none.
        reason: why there is no difference; empty where there is.
    """

    metric: str
    title: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    cells: Literal["clean", "corrupted"]
    a: float | None
    b: float | None
    difference: Estimate | None
    score: str | None = None
    reason: str = ""

    @property
    def winner(self) -> Winner:
        """Whose value is better beyond the interval: 'a', 'b' or ''."""
        if (
            self.better == "neither"
            or self.difference is None
            or not (self.difference.above_zero or self.difference.below_zero)
        ):
            return ""
        return "b" if self.difference.above_zero == (self.better == "higher") else "a"


@dataclass(frozen=True)
class CellComparison:
    """Accuracy in one cell: the difference with its interval, and whether it is decided among all cells.

    Attributes:
        corruption: its name; 'none' is clean.
        severity: of the cell.
        accuracy_a: 0-1.
        accuracy_b: 0-1.
        difference: second minus first, -1 to 1, with the interval of this cell alone.
        only_a: images that only the first gets right; None where images are not paired, or of several training runs.
        only_b: images that only the second gets right.
        adjusted_p: of no difference, with Holm's correction over all cells.
        winner: which is right more often, at 1 minus the level.
    """

    corruption: str
    severity: float
    accuracy_a: float
    accuracy_b: float
    difference: Estimate
    only_a: int | None
    only_b: int | None
    adjusted_p: float
    winner: Winner


@dataclass(frozen=True)
class Crossover:
    """Where the curves of two models cross: between severities at which first one, then the other is ahead.

    Attributes:
        at: where the straight lines between the accuracies cross.
        low: the last severity at which the one that leads first is shown ahead.
        high: the first severity above it at which the other is shown ahead.
        ahead_first: which leads below: 'a' or 'b'.
    """

    at: float
    low: float
    high: float
    ahead_first: Literal["a", "b"]


@dataclass(frozen=True)
class CorruptionComparison:
    """Mean accuracy over the whole severities of one corruption, and where the curves cross, if that is shown."""

    corruption: str
    corruption_label: str
    accuracy_a: float
    accuracy_b: float
    difference: Estimate
    crossover: Crossover | None


@dataclass(frozen=True)
class ClassComparison:
    """Mean corrupted accuracy on the images of one class.

    Attributes:
        class_index: from 0.
        class_name: its name.
        image_count: its images.
        accuracy_a: 0-1.
        accuracy_b: 0-1.
        difference: second minus first, with an interval that holds for all classes together.
    """

    class_index: int
    class_name: str
    image_count: int
    accuracy_a: float
    accuracy_b: float
    difference: Estimate

    @property
    def winner(self) -> Winner:
        """Which is right more often beyond the interval."""
        return "b" if self.difference.above_zero else "a" if self.difference.below_zero else ""


@dataclass(frozen=True)
class ChangedImage:
    """An image that one model gets right and the other wrong, in some cells.

    Attributes:
        image_id: index in the full data set.
        label: true class index.
        label_name: true class.
        cell_count: cells in which it changes sides this way, clean counted as one.
        corruption: of the mildest of them, where other cells agree most; 'none' is clean.
        severity: of the mildest.
        predicted_a: class that the first takes it for there; None for none of the data set's.
        predicted_b: class that the second takes it for there.
    """

    image_id: int
    label: int
    label_name: str
    cell_count: int
    corruption: str
    severity: float
    predicted_a: str | None
    predicted_b: str | None


@dataclass(frozen=True)
class ChangedImages:
    """Images that are right by one and wrong by the other.

    Attributes:
        clean_count: clean images that change.
        share: share of (image, corrupted cell) that changes, averaged as accuracy is, 0-1.
        images: those with most cells, most first.
    """

    clean_count: int
    share: float
    images: tuple[ChangedImage, ...]


@dataclass(frozen=True)
class Comparison:
    """Two models compared: differences are the second minus the first.

    Attributes:
        a: the first, the one that is compared with.
        b: the second.
        level: of the intervals; non-inferiority is a one-sided test, equivalence two, at 1 minus it.
        margin: difference of mean corrupted accuracy that would matter, 0-1.
        pairing: which images are compared.
        averaged: corruptions that averages are over: without the extras, unless there is nothing else.
        missing_cells: cells that only one of the two has, as (corruption, severity); they are left out.
        overall: mean corrupted accuracy.
        bounds: one-sided bounds of its difference: (low, high), each holds with the level.
        is_about_training: whether intervals are over training seeds too: both sides have at least two. Else the
            statement is about these checkpoints.
        not_worse: whether the second is not worse than the first by more than the margin.
        equivalent: whether they differ by less than the margin either way (two one-sided tests).
        images_needed: images that would decide `not_worse` with a chance of 80 % if the difference is as measured; None
            where it is decided, or where the difference lies on the margin itself.
        clean: clean accuracy.
        metrics: other metrics: calibration error, AUGRC, the worst class, onset, and those that were asked for.
        corruptions: by corruption, the largest loss of the second first.
        cells: every cell, clean first.
        classes: by class, the largest loss first.
        newly_incorrect: right by the first, wrong by the second; None where images are not paired or of several runs.
        newly_correct: wrong by the first, right by the second.
    """

    a: ComparedModel
    b: ComparedModel
    level: float
    margin: float
    pairing: ImagePairing
    averaged: tuple[str, ...]
    missing_cells: tuple[tuple[str, float], ...]
    overall: MetricComparison
    bounds: tuple[float, float]
    is_about_training: bool
    not_worse: Decision
    equivalent: Decision
    images_needed: int | None
    clean: MetricComparison
    metrics: tuple[MetricComparison, ...]
    corruptions: tuple[CorruptionComparison, ...]
    cells: tuple[CellComparison, ...]
    classes: tuple[ClassComparison, ...]
    newly_incorrect: ChangedImages | None
    newly_correct: ChangedImages | None
