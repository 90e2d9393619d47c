"""Comparison of two models: overall, by corruption, cell, class and image; differences are candidate − baseline."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.evaluations.comparability import MIXED_OPTION
from failmodes.analysis.evaluations.selection import averaged_severities, corruption_labels
from failmodes.analysis.judging.judge import DEFAULT_SCORE, Correction, Question, Value, Verdict, judge, worst_of
from failmodes.analysis.statistics.difference import Compared, ModelMetrics, Term, mean_of
from failmodes.analysis.statistics.estimate import Estimate, Word
from failmodes.analysis.statistics.filters import FilteredImages, filtered_images
from failmodes.analysis.statistics.opened_models import (
    SEPARATOR,
    SUFFIX,
    DescribedModel,
    OpenedModel,
    differing_models,
    open_models,
)
from failmodes.analysis.statistics.run_rows import CLEAN_CELL, CellKey, ImagePairing, ModelRows, RunRows
from failmodes.analysis.statistics.shares import exact_mcnemar
from failmodes.ingest.statements import CellModelDifference
from failmodes.runtime.errors import StudyError, did_you_mean, shown
from failmodes.warehouse.metrics.cell_rows import OTHER
from failmodes.warehouse.metrics.metric import FEWEST_IMAGES, Metric, known_metrics
from failmodes.warehouse.schema import CLEAN

LEVEL, MARGIN = 0.95, 0.01
MIN_LEVEL, MAX_LEVEL = 0.5, 0.999
COMPARED = ("ece", "augrc", "worst_class_accuracy")  # beside accuracy, clean and corrupted
ACCURACY = "accuracy"  # the metric
ONSET = "onset_severity"  # at the last severity, averaged over corruptions
MAX_SHOWN = 12  # images that become incorrect, or correct

Winner = Literal["a", "b", ""]
Scope = Literal["clean", "corrupted", "corruption", "cell", "class"]
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
    """A verdict on the difference of two models, candidate − baseline, and the values of both.

    Attributes:
        verdict: on the statement that the candidate is better, or within the margin; its one decision has the
            difference with its interval, which of corruptions and classes holds for all of them together.
        scope: 'clean'; 'corrupted', the mean over corruptions of the mean over their whole severities; 'corruption',
            the same for a single one; 'cell', one cell; 'class', 'corrupted' on the images of one class.
        a: value of the baseline, in the metric's unit; None if undefined.
        b: value of the candidate.
        label: human name of the corruption or class.
        class_index: for 'class', from 0.
        only_a: for 'cell', images that only the baseline predicts correctly; None if images are not paired, or with
            several training runs.
        only_b: images that only the candidate predicts correctly.
        crossover: for 'corruption', where the curves cross, if that is shown.
    """

    verdict: Verdict
    scope: Scope
    a: float | None
    b: float | None
    label: str = ""
    class_index: int | None = None
    only_a: int | None = None
    only_b: int | None = None
    crossover: Crossover | None = None

    @property
    def question(self) -> Question:
        """What was judged."""
        assert self.verdict.question is not None, "a comparison is of a metric"
        return self.verdict.question

    @property
    def metric(self) -> Metric:
        """The metric that is compared."""
        return self.question.metric

    @property
    def title(self) -> str:
        """The metric in words, with its score if it is not the default."""
        score = self.question.score
        return self.metric.title if score in (None, DEFAULT_SCORE) else f"{self.metric.title} by {score}"

    @property
    def difference(self) -> Estimate | None:
        """The difference with its interval; None if it is undefined."""
        return self.verdict.decisions[0].estimate

    @property
    def estimate(self) -> Estimate:
        """The difference of a metric that is always defined, such as accuracy."""
        assert self.difference is not None, self.reason
        return self.difference

    @property
    def reason(self) -> str:
        """Why there is no difference; '' if there is."""
        return "" if self.difference else self.verdict.decisions[0].reason

    @property
    def winner(self) -> Winner:
        """The model with the better value: 'a', 'b', or '' if that is inconclusive."""
        winners: dict[Word, Winner] = {"supported": "b", "contradicted": "a"}
        return winners.get(self.verdict.verdict, "")

    @property
    def corruption(self) -> str | None:
        """The corruption of 'corruption' and 'cell'; 'none' is clean."""
        return self.verdict.decisions[0].cells[0][0] if self.scope in ("corruption", "cell") else None

    @property
    def severity(self) -> float | None:
        """The severity of 'cell'."""
        return self.verdict.decisions[0].cells[0][1] if self.scope == "cell" else None


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
        file: path within the dataset's folder, if images are files.
    """

    image_id: int
    label: int
    label_name: str
    cell_count: int
    corruption: str
    severity: float
    predicted_a: str | None
    predicted_b: str | None
    file: str | None = None


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
class Pair:
    """Two models, and the images and cells on which they are compared.

    Attributes:
        a: the baseline.
        b: the candidate.
        pairing: the images that are compared.
        averaged: corruptions of averages: without the extras, unless there are no others; empty if only clean images
            are compared.
        missing_cells: cells that only one of the two has, as (corruption, severity); they are excluded.
        is_about_training: whether intervals cover training seeds too: both sides have at least two. Otherwise they are
            about these checkpoints.
        distinct_count: distinct images of the smaller side; with fewer than FEWEST_IMAGES there are values, but no
            decisions and no crossovers.
        filter: how many images of the candidate a filter keeps; None without one.
        mixed: the respects in which they are not comparable, which the user mixes; empty if they are.
    """

    a: DescribedModel
    b: DescribedModel
    pairing: ImagePairing
    averaged: tuple[str, ...]
    missing_cells: tuple[CellKey, ...]
    is_about_training: bool
    distinct_count: int
    filter: FilteredImages | None = None
    mixed: tuple[str, ...] = ()

    @property
    def has_verdict(self) -> bool:
        """Whether there are enough images for decisions."""
        return self.distinct_count >= FEWEST_IMAGES


@dataclass(frozen=True)
class Comparison:
    """The comparison of two models: differences are candidate − baseline.

    Attributes:
        pair: the models, their images and cells.
        level: of the intervals; statements about the margin are one-sided tests at 1 minus the level.
        margin: relevant difference of mean corrupted accuracy, 0-1.
        verdicts: that the candidate is worse, and that it is better, by at most the margin; then whether it is better:
            corrupted, clean (only one of these if the other is missing), by other metrics, under each corruption (the
            largest drop of the candidate first), in every cell (clean first) and on each class (the largest drop
            first; none if the models' classes or images do not match).
        newly_incorrect: images that only the baseline predicts correctly; None if images are not paired, or with
            several training runs.
        newly_correct: images that only the candidate predicts correctly.
    """

    pair: Pair
    level: float
    margin: float
    verdicts: tuple[Difference, ...]
    newly_incorrect: ChangedImages | None
    newly_correct: ChangedImages | None

    @property
    def a(self) -> DescribedModel:
        """The baseline."""
        return self.pair.a

    @property
    def b(self) -> DescribedModel:
        """The candidate."""
        return self.pair.b

    @property
    def within_margin(self) -> tuple[Verdict, Verdict]:
        """The verdicts that the candidate is worse, and that it is better, by at most the margin."""
        return self.verdicts[0].verdict, self.verdicts[1].verdict

    @property
    def not_worse(self) -> Word:
        """Whether the candidate is at most the margin worse than the baseline."""
        return self.within_margin[0].verdict

    @property
    def equivalent(self) -> Word:
        """Whether they differ by at most the margin either way (two one-sided tests)."""
        return worst_of([verdict.verdict for verdict in self.within_margin])

    @property
    def bounds(self) -> tuple[float, float]:
        """One-sided bounds of the difference of mean corrupted accuracy: (low, high)."""
        return self.verdicts[0].estimate[1:3]

    @property
    def overall(self) -> Difference:
        """Mean corrupted accuracy; clean accuracy if only clean images are compared."""
        return self.verdicts[2]

    @property
    def clean(self) -> Difference | None:
        """Clean accuracy beside corrupted accuracy; None without both."""
        beside = self.verdicts[3] if len(self.verdicts) > 3 else None
        return beside if beside and beside.scope == "clean" and beside.metric.name == ACCURACY else None

    @property
    def metrics(self) -> list[Difference]:
        """Other metrics: calibration error, AUGRC, the worst class, onset, and requested ones."""
        return [row for row in self.verdicts if row.scope in ("clean", "corrupted") and row.metric.name != ACCURACY]

    @property
    def corruptions(self) -> list[Difference]:
        """Accuracy by corruption, the largest drop of the candidate first."""
        return self._of("corruption")

    @property
    def cells(self) -> list[Difference]:
        """Accuracy in every cell, clean first."""
        return self._of("cell")

    @property
    def classes(self) -> list[Difference]:
        """Accuracy by class, the largest drop first."""
        return self._of("class")

    def _of(self, scope: Scope) -> list[Difference]:
        return [row for row in self.verdicts if row.scope == scope]


def compare_named(
    a: str,
    b: str,
    where: str | Path | None = None,
    *,
    margin: float = MARGIN,
    level: float = LEVEL,
    corruptions: Sequence[str] = (),
    metrics: Sequence[Metric] = (),
    mixed: bool = False,
    filter: str = "",
) -> Comparison:
    """Compare two models, of one warehouse or of two files; see `compare_models`.

    Args:
        a: the baseline: a name for `named_model`, FILE.duckdb or FILE.duckdb::LABEL.
        b: the candidate, likewise.
        where: the warehouse of names without a file.
        margin: above 0 and below 1.
        level: from MIN_LEVEL to MAX_LEVEL.
        corruptions: only these.
        metrics: in addition to the default ones.
        mixed: compare them although their protocols differ.
        filter: only images that an SQL condition on what is known of them keeps; "" for all.

    Raises:
        StudyError: a name matches no model, or both match the same; a number is out of range; they share no cell; or no
            image matches the filter.
        QueryError: the filter is no condition on images.
        WarehouseError: a warehouse cannot be read, or an evaluation is not finished.
    """
    for name in (a, b):
        if not isinstance(name, str):
            raise StudyError(f"a model's name must be a string, such as its label (given: {shown(name)})")
    if not 0 < margin < 1:
        raise StudyError(f"margin {shown(margin)}: expected a difference of accuracy above 0 and below 1, such as 0.01")
    if not MIN_LEVEL <= level <= MAX_LEVEL:
        raise StudyError(f"level {shown(level)}: expected a number from {MIN_LEVEL} to {MAX_LEVEL}, such as 0.95")
    if where is not None and all(name.partition(SEPARATOR)[0].endswith(SUFFIX) for name in (a, b)):
        raise StudyError(f"A and B name their own files: remove the warehouse {str(where)!r}")
    with open_models((a, b), where) as opened:
        first, second = (model.filtered(filter) for model in opened)
        return compare_models(
            first, second, level=level, margin=margin, corruptions=corruptions, metrics=metrics, mixed=mixed
        )


def compare_models(
    a: OpenedModel,
    b: OpenedModel,
    *,
    level: float = LEVEL,
    margin: float = MARGIN,
    corruptions: Sequence[str] = (),
    metrics: Sequence[Metric] = (),
    mixed: bool = False,
) -> Comparison:
    """Compare two models; every difference is candidate − baseline.

    Args:
        a: the baseline.
        b: the candidate.
        level: of intervals and tests, 0.5-1.
        margin: relevant difference of mean corrupted accuracy, 0-1.
        corruptions: only these; by default all that both have.
        metrics: in addition to the default ones.
        mixed: compare them although their protocols differ.

    Raises:
        StudyError: they are the same evaluations, share no corrupted cell, or are not comparable; or a corruption is in
            neither.
        WarehouseError: a cell is incomplete.
    """
    if a.path.resolve() == b.path.resolve() and set(a.selection.ids) & set(b.selection.ids):
        raise StudyError(f"both models are {a.label}: name two different models")
    models = ModelMetrics(b.rows(), a.rows(), metrics=known_metrics(metrics))
    differ = tuple(differing_models(a, b, models.pairing).values())
    if differ and not mixed:
        raise StudyError(
            f"{a.label} and {b.label} are not comparable: they differ in {'; '.join(differ)}: evaluate both alike, or "
            f"compare them all the same with {MIXED_OPTION}"
        )
    described = _with_distinct_labels(a, b)
    distinct = min(models.pairing.image_count, *(model.distinct_count or model.image_count for model in described))
    cells = _shared_cells(a, b, models, corruptions)
    labels = corruption_labels(a.con) | corruption_labels(b.con)
    comparing = _Comparing(models, cells, level, distinct, labels, _class_names(a), _image_files(a, b))
    lost, gained = comparing.changed_images()
    condition = b.selection.filter
    kept = filtered_images(b.con, b.selection.ids[0], condition) if condition else None
    pair = Pair(
        *described, models.pairing, cells.averaged, cells.missing, models.is_about_training, distinct, kept, differ
    )
    verdicts = [
        *comparing.within_margin(margin),
        *comparing.by_metric([metric.name for metric in metrics]),
        *comparing.by_corruption(),
        *comparing.by_cell(),
        *comparing.by_class(),
    ]
    return Comparison(pair, level, margin, tuple(verdicts), lost, gained)


def _with_distinct_labels(a: OpenedModel, b: OpenedModel) -> tuple[DescribedModel, DescribedModel]:
    """Both models, with distinct labels."""
    if a.label != b.label:
        return a.described, b.described
    marks = ((model.path.name, str(model.path), model.selection.ids[0]) for model in (a, b))
    of_a, of_b = next(pair for pair in zip(*marks, strict=True) if pair[0] != pair[1])
    return replace(a.described, label=f"{a.label} ({of_a})"), replace(b.described, label=f"{b.label} ({of_b})")


class _SharedCells(NamedTuple):
    """The cells that are compared.

    Attributes:
        by_severity: whole severities above clean, rising, of each corruption in the order of publication.
        averaged: corruptions that averages are over; empty if only clean images are compared.
        every: all cells of both, clean first, fractional severities among them.
        missing: cells that only one has.
    """

    by_severity: dict[str, list[CellKey]]
    averaged: tuple[str, ...]
    every: list[CellKey]
    missing: tuple[CellKey, ...]

    @property
    def scope(self) -> Scope:
        """What `overall` is over."""
        return "corrupted" if self.averaged else "clean"

    @property
    def overall(self) -> list[Term]:
        """The mean over corruptions of the mean over their whole severities; clean images if there are no others."""
        if not self.averaged:
            return mean_of([CLEAN_CELL])
        weight = 1 / len(self.averaged)
        return [term for corruption in self.averaged for term in mean_of(self.by_severity[corruption], weight)]


def _shared_cells(a: OpenedModel, b: OpenedModel, models: ModelMetrics, corruptions: Sequence[str]) -> _SharedCells:
    known = [c for c in dict.fromkeys([*a.selection.corruptions, *b.selection.corruptions]) if c != CLEAN]
    for corruption in corruptions:
        if corruption not in known:
            raise StudyError(f"neither model was evaluated under {corruption!r}: {did_you_mean(corruption, known)}")
    wanted = [c for c in known if not corruptions or c in corruptions]
    of_either = {cell for model in _sides(models) for cell in model.cells if cell[0] in (CLEAN, *wanted)}
    every = sorted(of_either & set(models.cells), key=lambda cell: (cell[1] > 0, cell))
    by_severity = {
        corruption: [(corruption, severity) for severity in severities]
        for corruption in wanted
        if (severities := averaged_severities([cell[1] for cell in every if cell[0] == corruption]))
    }
    if not by_severity and (wanted or CLEAN_CELL not in every):
        raise StudyError(
            f"{a.label} and {b.label} are not comparable in severities: they share no corruption and severity"
        )
    extras = {*a.selection.extras, *b.selection.extras}
    averaged = tuple(c for c in by_severity if c not in extras) or tuple(by_severity)
    return _SharedCells(by_severity, averaged, every, tuple(sorted(of_either - set(models.cells))))


def _sides(models: ModelMetrics) -> tuple[ModelRows, ModelRows]:
    """Baseline and candidate."""
    assert models.baseline is not None
    return models.baseline, models.candidate


def _class_names(model: OpenedModel) -> dict[int, str]:
    """Class names of a model's dataset, by index."""
    query = "select class_index, class_name from classes where dataset_id = ?"
    return dict(model.con.execute(query, [model.selection.shared["dataset_id"]]).fetchall())


def _image_files(a: OpenedModel, b: OpenedModel) -> dict[int, str]:
    """Files of the baseline's images, by image_id; an exported baseline has none, so the candidate's then."""
    query = "select image_id, file from images where dataset_id = ? and file is not null"
    dataset_id = a.selection.shared["dataset_id"]
    return dict(row for model in (b, a) for row in model.con.execute(query, [dataset_id]).fetchall())


class _Row(NamedTuple):
    """A difference before it is judged: what it is about, both values or why there are none, and more of its facts."""

    scope: Scope
    question: Question
    compared: Compared | str
    facts: dict[str, Any]


@dataclass(frozen=True)
class _Comparing:
    """Two models with the cells that are compared.

    Attributes:
        models: candidate and baseline.
        cells: that both have.
        level: of intervals and tests.
        distinct_count: distinct images of the smaller side.
        labels: of corruptions.
        class_names: of the baseline's dataset, by index.
        files: of images, by image_id.
    """

    models: ModelMetrics
    cells: _SharedCells
    level: float
    distinct_count: int
    labels: Mapping[str, str]
    class_names: Mapping[int, str]
    files: Mapping[int, str]

    def within_margin(self, margin: float) -> list[Difference]:
        """That the candidate is worse, and that it is better, by at most the margin; each a test of its own."""
        compared = self.models.compared(ACCURACY, self.cells.overall)
        rows = [
            self._row(self.cells.scope, ACCURACY, self.cells.overall, compared, relation=relation, limit=margin)
            for relation in ("worse_by_at_most", "better_by_at_most")
        ]
        return [one for row in rows for one in _with_verdicts([row], judge([row.question], self.level))]

    def by_metric(self, more: Sequence[str]) -> Iterator[Difference]:
        """Accuracy, corrupted and clean, then other metrics; corrupted or clean only if one of them is missing."""
        terms: dict[Scope, list[Term]] = {"corrupted": self.cells.overall} if self.cells.averaged else {}
        if CLEAN_CELL in self.cells.every:
            terms["clean"] = mean_of([CLEAN_CELL])
        for scope in terms:
            yield self._alone(scope, ACCURACY, terms[scope])
        for name in dict.fromkeys(name for name in (*COMPARED, *more) if name != ACCURACY):
            metric = self.models.metrics[name]
            for score in [DEFAULT_SCORE] if DEFAULT_SCORE in metric.scores else metric.scores or [None]:
                for scope in sorted(terms):
                    if scope == "corrupted" or not metric.needs_pairs:
                        yield self._alone(scope, name, terms[scope], score=score)
        if len(terms) == 2:
            last = mean_of(self.cells.by_severity[corruption][-1] for corruption in self.cells.averaged)
            yield self._alone("corrupted", ONSET, last, severities="last")

    def by_corruption(self) -> list[Difference]:
        """Mean accuracy under each corruption, the largest drop of the candidate first; intervals hold for all."""
        rows = []
        for corruption, cells in self.cells.by_severity.items():
            facts: dict[str, Any] = {
                "label": self.labels.get(corruption, corruption),
                "crossover": self._crossover(corruption),
            }
            compared = self.models.compared("accuracy", mean_of(cells))
            rows.append(self._row("corruption", "accuracy", mean_of(cells), compared, **facts))
        return self._together(rows)

    def by_cell(self) -> list[Difference]:
        """Accuracy in every cell; exact McNemar tests if compared image by image, else tests of the difference."""
        rows = []
        for cell, compared in self._accuracies.items():
            facts: dict[str, Any] = {"label": self.labels.get(cell[0], cell[0])}
            if self._is_by_image:
                counts = self.models.discordant(cell)
                facts |= dict(zip(("only_a", "only_b"), counts, strict=True))
                exact_p = float(exact_mcnemar(*(np.array(counts) * self.models.independent_share)))
                compared = compared._replace(difference=compared.difference._replace(exact_p=exact_p))
            rows.append(self._row("cell", "accuracy", mean_of([cell]), compared, **facts))
        return self._family(rows, "tests")

    def by_class(self) -> list[Difference]:
        """Mean corrupted accuracy on the images of each class, the largest drop of the candidate first.

        Empty if cells have different images, or if the models' datasets, and so their classes, differ.
        """
        baseline, candidate = sides = _sides(self.models)
        if not self._shares_images or baseline.dataset_id != candidate.dataset_id:
            return []
        terms = self.cells.overall
        weights = np.array([term.weight for term in terms])
        labels = {run: run.rows(self.cells.every[0], _places(side))["label"] for side in sides for run in side.runs}

        def mean_correct(run: RunRows) -> NDArray[np.float64]:
            places = [run.places[term.cell] for term in terms]
            return np.asarray(run.correct[:, places] @ weights, dtype=np.float64)

        rows = []
        for index in np.intersect1d(labels[baseline.runs[0]], labels[candidate.runs[0]]).tolist():
            in_class = {run: of_images == index for run, of_images in labels.items()}
            accuracy = self.models.metrics["accuracy"]
            compared = self.models.difference_of_images(accuracy, mean_correct, in_class.__getitem__)
            facts: dict[str, Any] = {"class_index": index, "label": self.class_names.get(index, str(index))}
            rows.append(self._row("class", "accuracy", terms, compared, **facts))
        return self._together(rows)

    def changed_images(self) -> tuple[ChangedImages, ChangedImages] | tuple[None, None]:
        """Images that only the baseline predicts correctly, and those that only the candidate does."""
        if not (self._is_by_image and self._shares_images):
            return None, None
        ours, theirs = (
            side.runs[0].correct[_places(side)][:, [side.runs[0].places[cell] for cell in self.cells.every]]
            for side in _sides(self.models)
        )
        return self._changed(ours & ~theirs), self._changed(theirs & ~ours)

    def _changed(self, changed: Flags) -> ChangedImages:
        """The images that change in most cells, from (N, cells) whether an image changes."""
        is_corrupted = np.array([cell[1] > 0 for cell in self.cells.every])
        counts = changed.sum(axis=1)
        baseline, _ = _sides(self.models)
        order = np.lexsort((baseline.runs[0].image_ids[_places(baseline)], -counts))
        images = tuple(self._changed_image(int(place), changed[place]) for place in order[:MAX_SHOWN] if counts[place])
        share = float(changed[:, is_corrupted].mean()) if is_corrupted.any() else 0.0
        return ChangedImages(int(changed[:, ~is_corrupted].sum()), share, images)

    def _changed_image(self, place: int, changed: Flags) -> ChangedImage:
        cells = [cell for cell, is_changed in zip(self.cells.every, changed, strict=True) if is_changed]
        agreeing = [corruption for corruption, _ in cells]
        mildest = min(cells, key=lambda cell: (cell[1], -agreeing.count(cell[0]), cell[0]))
        rows, other_rows = (side.runs[0].rows(mildest, _places(side)[[place]]) for side in _sides(self.models))
        label = int(rows["label"][0])
        of_a, of_b = (self._class(int(of_model["predicted"][0])) for of_model in (rows, other_rows))
        name = self.class_names.get(label, str(label))
        image_id = int(rows["image_id"][0])
        file = self.files.get(image_id)
        return ChangedImage(image_id, label, name, len(cells), *mildest, of_a, of_b, file)

    def _class(self, index: int) -> str | None:
        return None if index == OTHER else self.class_names.get(index, str(index))

    def _alone(self, scope: Scope, name: str, terms: Sequence[Term], **keys: Any) -> Difference:
        """A metric of both over some cells, judged by itself."""
        compared = self.models.compared(name, terms, keys.get("score"))
        return self._family([self._row(scope, name, terms, compared, **keys)], "intervals")[0]

    def _together(self, rows: Sequence[_Row]) -> list[Difference]:
        """Rows with intervals that hold for all of them, the largest drop of the candidate first."""
        return sorted(self._family(rows, "intervals"), key=lambda row: row.estimate.value)

    def _family(self, rows: Sequence[_Row], correction: Correction) -> list[Difference]:
        """Rows judged together."""
        questions = [row.question for row in rows]
        return _with_verdicts(rows, judge(questions, self.level, is_two_sided=True, correction=correction))

    def _row(
        self, scope: Scope, name: str, terms: Sequence[Term], compared: Compared | str, *,
        relation: str = "better_by_at_least", limit: float = 0.0, score: str | None = None,
        severities: object = None, **facts: Any,
    ) -> _Row:  # fmt: skip
        """A difference with what judges it; `facts` are more fields of the `Difference`."""
        cells = tuple(term.cell for term in terms)
        if scope == "cell" and cells[0] != CLEAN_CELL:
            severities = [Decimal(str(cells[0][1]))]
        statement = CellModelDifference.model_construct(
            metric=name, score=score, corruptions=list(dict.fromkeys(corruption for corruption, _ in cells)),
            severities=severities, relation=relation, limit=limit,
        )  # fmt: skip
        measured = compared if isinstance(compared, str) else compared.difference
        metric = self.models.metrics[name]
        question = Question(statement, metric, (Value(cells, lambda: measured),), score)
        return _Row(scope, replace(question, distinct_count=self.distinct_count), compared, facts)

    @cached_property
    def _accuracies(self) -> dict[CellKey, Compared]:
        """Accuracy of every cell."""
        measured = {cell: self.models.compared("accuracy", mean_of([cell])) for cell in self.cells.every}
        return {cell: compared for cell, compared in measured.items() if not isinstance(compared, str)}

    @cached_property
    def _ahead(self) -> dict[CellKey, Winner]:
        """The model that is shown to be ahead in each cell, by intervals that hold for all cells together."""
        rows = [self._row("cell", "accuracy", mean_of([cell]), compared) for cell, compared in self._accuracies.items()]
        return {cell: row.winner for cell, row in zip(self._accuracies, self._family(rows, "intervals"), strict=True)}

    def _crossover(self, corruption: str) -> Crossover | None:
        """Where first one, then the other is shown to be ahead."""
        curve = {
            cell[1]: (compared.difference.value, self._ahead[cell])
            for cell, compared in self._accuracies.items()
            if cell[0] in (CLEAN, corruption)
        }
        shown = [(severity, winner) for severity in sorted(curve) if (winner := curve[severity][1])]
        for (low, first), (high, then) in pairwise(shown):
            if first != then:
                between = [(severity, curve[severity][0]) for severity in sorted(curve) if low <= severity <= high]
                return Crossover(_zero_between(between), low, high, "b" if first == "b" else "a")
        return None

    @property
    def _shares_images(self) -> bool:
        return all(model.shares_images for model in _sides(self.models))

    @property
    def _is_by_image(self) -> bool:
        return self.models.pairing.is_paired and all(len(model.runs) == 1 for model in _sides(self.models))


def _places(model: ModelRows) -> NDArray[np.int64]:
    """The rows of the images that are compared."""
    return np.arange(model.image_count) if model.kept is None else np.asarray(model.kept)


def _with_verdicts(rows: Sequence[_Row], verdicts: Sequence[Verdict]) -> list[Difference]:
    """The rows with their verdicts."""
    found = []
    for row, verdict in zip(rows, verdicts, strict=True):
        of_both = (None, None) if isinstance(row.compared, str) else (row.compared.baseline, row.compared.candidate)
        found.append(Difference(verdict, row.scope, *of_both, **row.facts))
    return found


def _zero_between(points: Sequence[tuple[float, float]]) -> float:
    """Where straight lines between (severity, difference) first cross 0."""
    for (start, before), (end, after) in pairwise(points):
        if before and before * after <= 0:
            return start + (end - start) * before / (before - after)
    return points[-1][0]
