"""Comparison of two models: overall, by corruption, cell, class and image; differences are candidate − baseline."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.evaluations.selection import averaged_severities, corruption_labels
from failmodes.analysis.judging.statement import DEFAULT_SCORE, Family, Requirement, judge, worst_of
from failmodes.analysis.statistics.difference import Compared, ModelMetrics, Term, mean_of
from failmodes.analysis.statistics.estimate import Estimate, Word
from failmodes.analysis.statistics.opened_models import SEPARATOR, SUFFIX, DescribedModel, OpenedModel, open_models
from failmodes.analysis.statistics.run_rows import CLEAN_CELL, CellKey, ImagePairing, RunRows
from failmodes.analysis.statistics.shares import exact_mcnemar, holm
from failmodes.runtime.errors import StudyError, did_you_mean, shown
from failmodes.warehouse.metrics.cell_rows import OTHER
from failmodes.warehouse.metrics.metric import FEWEST_IMAGES, Metric, known_metrics
from failmodes.warehouse.schema import CLEAN

LEVEL, MARGIN = 0.95, 0.01
LEAST_LEVEL, MOST_LEVEL = 0.5, 0.999
COMPARED = ("ece", "augrc", "worst_class_accuracy")  # beside accuracy, clean and corrupted
ONSET = "onset_severity"  # at the last severity, averaged over corruptions
MOST_SHOWN = 12  # images that become incorrect, or correct

Winner = Literal["a", "b", ""]
Flags = NDArray[np.bool_]


class Crossover(NamedTuple):
    """The crossing of two models' curves, between severities at which first one, then the other is ahead.

    Attributes:
        at: severity at which the straight lines between the accuracies cross.
        low: the last severity at which the first leader is shown to be ahead.
        high: the first severity above it at which the other is shown to be ahead.
        ahead_first: the first leader: 'a' or 'b'.
    """

    at: float
    low: float
    high: float
    ahead_first: Literal["a", "b"]


@dataclass(frozen=True)
class Difference:
    """A metric of both models over some cells, and its difference, candidate − baseline.

    Attributes:
        metric: that is compared.
        cells: 'clean'; 'corrupted', the mean over corruptions of the mean over their whole severities; 'corruption',
            the same for a single one; 'cell', one cell; 'class', 'corrupted' on the images of one class.
        a: value of the baseline, in the metric's unit; None if undefined.
        b: value of the candidate.
        difference: with its two-sided interval; for corruptions and for classes it holds for all of them together.
        image_count: images of a cell that are compared.
        winner: the model with the better value, by the interval, or for a cell by its test: 'a', 'b' or ''.
        score: of a metric with several scores.
        reason: why there is no difference; '' if there is.
        corruption: name for 'corruption' and 'cell'; 'none' is clean.
        severity: for 'cell'.
        class_index: for 'class', from 0.
        label: human name of the corruption or class.
        only_a: for 'cell', images that only the baseline predicts correctly; None if images are not paired, or with
            several training runs.
        only_b: images that only the candidate predicts correctly.
        adjusted_p: for 'cell', of no difference, with Holm's correction over all cells.
        crossover: for 'corruption', where the curves cross, if that is shown.
    """

    metric: Metric
    cells: Literal["clean", "corrupted", "corruption", "cell", "class"]
    a: float | None
    b: float | None
    difference: Estimate | None
    image_count: int
    winner: Winner = ""
    score: str | None = None
    reason: str = ""
    corruption: str | None = None
    severity: float | None = None
    class_index: int | None = None
    label: str = ""
    only_a: int | None = None
    only_b: int | None = None
    adjusted_p: float | None = None
    crossover: Crossover | None = None

    @property
    def title(self) -> str:
        """The metric in words, with its score if it is not the default."""
        return self.metric.title if self.score in (None, DEFAULT_SCORE) else f"{self.metric.title} by {self.score}"

    @property
    def estimate(self) -> Estimate:
        """The difference of a metric that is always defined, such as accuracy."""
        assert self.difference is not None, self.reason
        return self.difference


class ChangedImage(NamedTuple):
    """An image that one model predicts correctly and the other incorrectly, in some cells.

    Attributes:
        image_id: index in the full dataset.
        label: true class index.
        label_name: true class.
        cell_count: cells in which it changes this way, clean counted as one.
        corruption: of the mildest of them, among ties that with most such cells; 'none' is clean.
        severity: of the mildest.
        predicted_a: class that the baseline predicts there; None outside the dataset's classes.
        predicted_b: class that the candidate predicts there.
    """

    image_id: int
    label: int
    label_name: str
    cell_count: int
    corruption: str
    severity: float
    predicted_a: str | None
    predicted_b: str | None


class ChangedImages(NamedTuple):
    """Images that become incorrect, or correct.

    Attributes:
        clean_count: clean images that change.
        share: share of (image, corrupted cell) that changes, 0-1.
        images: those with most cells first.
    """

    clean_count: int
    share: float
    images: tuple[ChangedImage, ...]


@dataclass(frozen=True)
class Comparison:
    """The comparison of two models: differences are candidate − baseline.

    Attributes:
        a: the baseline.
        b: the candidate.
        level: of the intervals; non-inferiority is a one-sided test at 1 minus the level, equivalence two.
        margin: relevant difference of mean corrupted accuracy, 0-1.
        pairing: the images that are compared.
        averaged: corruptions of averages: without the extras, unless there are no others.
        missing_cells: cells that only one of the two has, as (corruption, severity); they are excluded.
        is_about_training: whether intervals cover training seeds too: both sides have at least two. Otherwise they are
            about these checkpoints.
        overall: mean corrupted accuracy.
        bounds: one-sided bounds of its difference: (low, high).
        not_worse: whether the candidate is at most the margin worse than the baseline.
        equivalent: whether they differ by less than the margin either way (two one-sided tests).
        images_needed: images that would decide `not_worse` with a power of 80% if the difference is as measured; None
            if it is decided, or if the difference is on the margin.
        clean: clean accuracy.
        metrics: other metrics: calibration error, AUGRC, the worst class, onset, and requested ones.
        corruptions: by corruption, the largest drop of the candidate first; intervals hold for all together.
        cells: every cell, clean first.
        classes: by class, the largest drop first; empty if the models' classes or images do not match.
        newly_incorrect: images that only the baseline predicts correctly; None if images are not paired, or with
            several training runs.
        newly_correct: images that only the candidate predicts correctly.
        distinct_count: distinct images of the smaller side; with fewer than FEWEST_IMAGES there are values, but no
            decisions and no crossovers.
    """

    a: DescribedModel
    b: DescribedModel
    level: float
    margin: float
    pairing: ImagePairing
    averaged: tuple[str, ...]
    missing_cells: tuple[CellKey, ...]
    is_about_training: bool
    overall: Difference
    bounds: tuple[float, float]
    not_worse: Word
    equivalent: Word
    images_needed: int | None
    clean: Difference
    metrics: tuple[Difference, ...]
    corruptions: tuple[Difference, ...]
    cells: tuple[Difference, ...]
    classes: tuple[Difference, ...]
    newly_incorrect: ChangedImages | None
    newly_correct: ChangedImages | None
    distinct_count: int

    @property
    def has_verdict(self) -> bool:
        """Whether there are enough images for decisions."""
        return self.distinct_count >= FEWEST_IMAGES


def compare_named(
    a: str,
    b: str,
    where: str | Path | None = None,
    *,
    margin: float = MARGIN,
    level: float = LEVEL,
    corruptions: Sequence[str] = (),
    metrics: Sequence[Metric] = (),
) -> Comparison:
    """Compare two models, of one warehouse or of two files; see `compare_models`.

    Args:
        a: the baseline: a name for `named_model`, FILE.duckdb or FILE.duckdb::LABEL.
        b: the candidate, likewise.
        where: the warehouse of names without a file.
        margin: above 0 and below 1.
        level: from LEAST_LEVEL to MOST_LEVEL.
        corruptions: only these.
        metrics: in addition to the default ones.

    Raises:
        StudyError: a name matches no model, or both match the same; a number is out of range; or they share no cell.
        WarehouseError: a warehouse cannot be read, or an evaluation is not finished.
    """
    for name in (a, b):
        if not isinstance(name, str):
            raise StudyError(f"a model's name must be a string, such as its label (given: {shown(name)})")
    if not 0 < margin < 1:
        raise StudyError(f"margin {shown(margin)}: expected a difference of accuracy above 0 and below 1, such as 0.01")
    if not LEAST_LEVEL <= level <= MOST_LEVEL:
        raise StudyError(f"level {shown(level)}: expected a number from {LEAST_LEVEL} to {MOST_LEVEL}, such as 0.95")
    if where is not None and all(name.partition(SEPARATOR)[0].endswith(SUFFIX) for name in (a, b)):
        raise StudyError(f"A and B name their own files: remove the warehouse {str(where)!r}")
    with open_models((a, b), where) as (first, second):
        return compare_models(first, second, level=level, margin=margin, corruptions=corruptions, metrics=metrics)


def compare_models(
    a: OpenedModel,
    b: OpenedModel,
    *,
    level: float = LEVEL,
    margin: float = MARGIN,
    corruptions: Sequence[str] = (),
    metrics: Sequence[Metric] = (),
) -> Comparison:
    """Compare two models; every difference is candidate − baseline.

    Args:
        a: the baseline.
        b: the candidate.
        level: of intervals and tests, 0.5-1.
        margin: relevant difference of mean corrupted accuracy, 0-1.
        corruptions: only these; by default all that both have.
        metrics: in addition to the default ones.

    Raises:
        StudyError: they are the same evaluations, or share no corrupted cell; or a corruption is in neither.
        WarehouseError: a cell is incomplete.
    """
    if a.path.resolve() == b.path.resolve() and set(a.selection.ids) & set(b.selection.ids):
        raise StudyError(f"both models are {a.label}: name two different models")
    models, described = ModelMetrics(b.rows(), a.rows(), metrics=known_metrics(metrics)), _with_distinct_labels(a, b)
    distinct = min(models.pairing.image_count, *(one.distinct_count or one.image_count for one in described))
    pair = _Pair(a, b, models, level, corruptions, decides=distinct >= FEWEST_IMAGES)
    overall = models.compared("accuracy", pair.corrupted)
    assert not isinstance(overall, str), "accuracy is always defined"
    not_worse, not_better = (
        judge(overall.difference, Requirement(limit, is_least, is_strict=True), Family(level))
        for limit, is_least in ((-margin, True), (margin, False))
    )
    lost, gained = pair.changed_images()
    return Comparison(
        *described,
        level=level,
        margin=margin,
        pairing=models.pairing,
        averaged=tuple(pair.averaged),
        missing_cells=pair.missing,
        is_about_training=models.is_about_training,
        overall=pair.row("accuracy", "corrupted", pair.corrupted),
        bounds=(overall.difference.low(level), overall.difference.high(level)),
        not_worse=not_worse.verdict,
        equivalent=worst_of([not_worse.verdict, not_better.verdict]),
        images_needed=not_worse.images_needed,
        clean=pair.row("accuracy", "clean", mean_of([CLEAN_CELL])),
        metrics=tuple(pair.other_metrics([metric.name for metric in metrics])),
        corruptions=tuple(pair.by_corruption()),
        cells=tuple(pair.by_cell()),
        classes=tuple(pair.by_class()),
        newly_incorrect=lost,
        newly_correct=gained,
        distinct_count=distinct,
    )


def _with_distinct_labels(a: OpenedModel, b: OpenedModel) -> tuple[DescribedModel, DescribedModel]:
    """Both models, with distinct labels."""
    if a.label != b.label:
        return a.described, b.described
    marks = ((one.path.name, str(one.path), one.selection.ids[0]) for one in (a, b))
    of_a, of_b = next(pair for pair in zip(*marks, strict=True) if pair[0] != pair[1])
    return replace(a.described, label=f"{a.label} ({of_a})"), replace(b.described, label=f"{b.label} ({of_b})")


class _Pair:
    """Two models with the cells that are compared.

    Attributes:
        models: candidate and baseline.
        by_severity: whole severities above clean, rising, of each corruption in the order of publication.
        averaged: corruptions that averages are over.
        every: all cells of both, clean first, fractional severities among them.
        missing: cells that only one has.
        decides: whether there are enough images for decisions.
    """

    def __init__(
        self,
        a: OpenedModel,
        b: OpenedModel,
        models: ModelMetrics,
        level: float,
        corruptions: Sequence[str],
        *,
        decides: bool,
    ) -> None:
        assert models.baseline is not None
        self.a, self.models, self.level, self.decides = a, models, level, decides
        self.accuracy = models.metrics["accuracy"]
        self.sides = [
            (model.runs, np.arange(model.image_count) if model.kept is None else model.kept)
            for model in (models.baseline, models.candidate)
        ]
        self.labels = corruption_labels(a.con) | corruption_labels(b.con)
        known = [c for c in dict.fromkeys([*a.selection.corruptions, *b.selection.corruptions]) if c != CLEAN]
        for corruption in corruptions:
            if corruption not in known:
                raise StudyError(f"neither model was evaluated under {corruption!r}: {did_you_mean(corruption, known)}")
        wanted = [c for c in known if not corruptions or c in corruptions]
        of_either = {*models.baseline.cells, *models.candidate.cells}
        of_either = {cell for cell in of_either if cell[0] in (CLEAN, *wanted)}
        self.every = sorted(of_either & set(models.cells), key=lambda cell: (cell[1] > 0, cell))
        self.missing = tuple(sorted(of_either - set(models.cells)))
        self.by_severity = {
            corruption: [(corruption, severity) for severity in severities]
            for corruption in wanted
            if (severities := averaged_severities([cell[1] for cell in self.every if cell[0] == corruption]))
        }
        if not self.by_severity:
            raise StudyError(f"{a.label} and {b.label} share no corruption and severity: nothing to compare")
        extras = {*a.selection.extras, *b.selection.extras}
        self.averaged = [c for c in self.by_severity if c not in extras] or list(self.by_severity)
        self.shares_images = models.baseline.shares_images and models.candidate.shares_images
        self.shares_classes = models.baseline.dataset_id == models.candidate.dataset_id
        self.is_by_image = models.pairing.is_paired and all(len(runs) == 1 for runs, _ in self.sides)

    @cached_property
    def corrupted(self) -> list[Term]:
        """The mean over corruptions of the mean over their whole severities."""
        weight = 1 / len(self.averaged)
        return [term for corruption in self.averaged for term in mean_of(self.by_severity[corruption], weight)]

    @cached_property
    def class_names(self) -> dict[int, str]:
        """Class names of the baseline's dataset, by index."""
        query = "select class_index, class_name from classes where dataset_id = ?"
        return dict(self.a.con.execute(query, [self.a.selection.shared["dataset_id"]]).fetchall())

    @cached_property
    def accuracies(self) -> dict[CellKey, Compared]:
        """Accuracy of every cell."""
        found = {cell: self.models.compared("accuracy", mean_of([cell])) for cell in self.every}
        return {cell: one for cell, one in found.items() if not isinstance(one, str)}

    def row(self, name: str, cells: Any, terms: Sequence[Term], score: str | None = None, **facts: Any) -> Difference:
        """A metric of both over some cells; with the reason if it is undefined."""
        found, metric = self.models.compared(name, terms, score), self.models.metrics[name]
        if isinstance(found, str):
            count = self.models.pairing.image_count
            return Difference(metric, cells, None, None, None, count, score=score, reason=found, **facts)
        return self._difference(metric, cells, found, score=score, **facts)

    def other_metrics(self, more: Sequence[str]) -> Iterator[Difference]:
        """Metrics other than accuracy."""
        for name in dict.fromkeys(name for name in (*COMPARED, *more) if name != "accuracy"):
            metric = self.models.metrics[name]
            for score in [DEFAULT_SCORE] if DEFAULT_SCORE in metric.scores else metric.scores or [None]:
                if not metric.needs_pairs:
                    yield self.row(name, "clean", mean_of([CLEAN_CELL]), score)
                yield self.row(name, "corrupted", self.corrupted, score)
        yield self.row(ONSET, "corrupted", mean_of(self.by_severity[corruption][-1] for corruption in self.averaged))

    def by_corruption(self) -> list[Difference]:
        """Mean accuracy under each corruption, the largest drop of the candidate first; intervals hold for all."""
        accuracies = {
            name: self.models.compared("accuracy", mean_of(cells)) for name, cells in self.by_severity.items()
        }
        found = [
            self._difference(
                self.accuracy,
                "corruption",
                compared,
                corruption=corruption,
                label=self.labels.get(corruption, corruption),
                comparisons=len(self.by_severity),
                crossover=self._crossover(corruption) if self.decides else None,
            )
            for corruption, compared in accuracies.items()
            if not isinstance(compared, str)
        ]
        return sorted(found, key=lambda row: row.estimate.value)

    def by_cell(self) -> Iterator[Difference]:
        """Accuracy in every cell; exact McNemar tests if compared image by image, else tests of the difference."""
        counts = [self.models.discordant(cell) if self.is_by_image else (None, None) for cell in self.every]
        p_values = (
            exact_mcnemar(*(np.array(counts).T * self.models.independent_share)).tolist()
            if self.is_by_image
            else [found.difference.p_value for found in self.accuracies.values()]
        )
        for (cell, found), (only_a, only_b), p in zip(self.accuracies.items(), counts, holm(p_values), strict=True):
            yield self._difference(
                self.accuracy,
                "cell",
                found,
                is_shown=p < 1 - self.level,
                corruption=cell[0],
                severity=cell[1],
                label=self.labels.get(cell[0], cell[0]),
                only_a=only_a,
                only_b=only_b,
                adjusted_p=p,
            )

    def by_class(self) -> list[Difference]:
        """Mean corrupted accuracy on the images of each class, the largest drop of the candidate first.

        Empty if cells have different images, or if the models' datasets, and so their classes, differ.
        """
        if not (self.shares_images and self.shares_classes):
            return []
        weights = np.array([term.weight for term in self.corrupted])
        labels = {run: run.rows(self.every[0], rows)["label"] for runs, rows in self.sides for run in runs}

        def mean_correct(run: RunRows) -> NDArray[np.float64]:
            places = [run.places[term.cell] for term in self.corrupted]
            return np.asarray(run.correct[:, places] @ weights, dtype=np.float64)

        (of_a, *_), (of_b, *_) = ([labels[run] for run in runs] for runs, _ in self.sides)
        shared, found = np.intersect1d(of_a, of_b).tolist(), []
        for index in shared:
            in_class = {run: of_images == index for run, of_images in labels.items()}
            row = self.models.difference_of_images(self.accuracy, mean_correct, in_class.__getitem__)
            count, label = int((of_b == index).sum()), self.class_names.get(index, str(index))
            facts = {"class_index": index, "label": label, "image_count": count}
            found.append(self._difference(self.accuracy, "class", row, comparisons=len(shared), **facts))
        return sorted(found, key=lambda row: row.estimate.value)

    def changed_images(self) -> tuple[ChangedImages, ChangedImages] | tuple[None, None]:
        """Images that only the baseline predicts correctly, and those that only the candidate does."""
        if not (self.is_by_image and self.shares_images):
            return None, None
        one, other = (
            runs[0].correct[rows][:, [runs[0].places[cell] for cell in self.every]] for runs, rows in self.sides
        )
        return self._changed(one & ~other), self._changed(other & ~one)

    def _changed(self, changed: Flags) -> ChangedImages:
        """The images that change in most cells, from (N, cells) whether an image changes."""
        is_corrupted, counts = np.array([cell[1] > 0 for cell in self.every]), changed.sum(axis=1)
        (runs, rows), _ = self.sides
        order = np.lexsort((runs[0].image_ids[rows], -counts))
        images = tuple(self._changed_image(int(place), changed[place]) for place in order[:MOST_SHOWN] if counts[place])
        return ChangedImages(int(changed[:, ~is_corrupted].sum()), float(changed[:, is_corrupted].mean()), images)

    def _changed_image(self, place: int, changed: Flags) -> ChangedImage:
        cells = [cell for cell, is_changed in zip(self.every, changed, strict=True) if is_changed]
        agreeing = [corruption for corruption, _ in cells]
        mildest = min(cells, key=lambda cell: (cell[1], -agreeing.count(cell[0]), cell[0]))
        one, other = (runs[0].rows(mildest, own[[place]]) for runs, own in self.sides)
        label, predicted = int(one["label"][0]), [self._class(int(rows["predicted"][0])) for rows in (one, other)]
        name = self.class_names.get(label, str(label))
        return ChangedImage(int(one["image_id"][0]), label, name, len(cells), *mildest, *predicted)

    def _class(self, index: int) -> str | None:
        return None if index == OTHER else self.class_names.get(index, str(index))

    def _difference(
        self,
        metric: Metric,
        cells: Any,
        found: Compared,
        *,
        comparisons: int = 1,
        is_shown: bool | None = None,
        **facts: Any,
    ) -> Difference:
        """The row of a difference, decided by a test, or by its interval."""
        interval = found.difference.interval(self.level, comparisons=comparisons)
        is_decided = interval.above_zero or interval.below_zero if is_shown is None else is_shown
        winner: Winner = ""
        if self.decides and is_decided and interval.value and metric.better != "neither" and not metric.refusal:
            winner = "b" if (interval.value > 0) == (metric.better == "higher") else "a"
        facts.setdefault("image_count", self.models.pairing.image_count)
        return Difference(metric, cells, found.baseline, found.candidate, interval, winner=winner, **facts)

    def _crossover(self, corruption: str) -> Crossover | None:
        """Where first one, then the other is shown to be ahead, by intervals that hold for all cells together."""
        curve = {cell[1]: one.difference for cell, one in self.accuracies.items() if cell[0] in (CLEAN, corruption)}
        points = [
            (severity, curve[severity].interval(self.level, comparisons=len(self.every))) for severity in sorted(curve)
        ]
        shown = [place for place, (_, point) in enumerate(points) if point.above_zero or point.below_zero]
        for low, high in pairwise(shown):
            if points[low][1].above_zero != points[high][1].above_zero:
                between = [(severity, point.value) for severity, point in points[low : high + 1]]
                ahead: Literal["a", "b"] = "b" if points[low][1].above_zero else "a"
                return Crossover(_zero_between(between), points[low][0], points[high][0], ahead)
        return None


def _zero_between(points: Sequence[tuple[float, float]]) -> float:
    """Where straight lines between (severity, difference) first cross 0."""
    for (start, before), (end, after) in pairwise(points):
        if before and before * after <= 0:
            return start + (end - start) * before / (before - after)
    return points[-1][0]
