"""The metric class: a definition, one function of a cell that computes it, and how its interval is computed.

A function requests its inputs by the names of its parameters:

- `rows`: the images of the cell (`CellRows`); `clean`: the same images when clean; `curve`: those from clean up to
  here; `reference`: the clean images of the evaluation, the same or others;
- `score`: the confidence score, for a metric of several scores; `threshold`: the stored one of this score, or None;
- `weights`: (B, N) how often each image counts, for a statistic that is fast to resample;
- `preds` and `target`: as in torchmetrics, (N,) predicted and true classes; `preds` are (N, C) softmax probabilities
  if the metric requests them.

It returns the contribution of each image, (N,) with NaN for those that take no part, whose mean is the metric; or a
statistic of the cell: one `Value`, or, given `weights`, (B,) numbers. If it is not defined it raises `Undefined` with
the reason. From this and its `Interval` follow its value, standard error and interval, its mean over cells, its
difference between two models, and its error over training seeds.
"""

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from math import inf, isfinite, isnan, sqrt
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.runtime.errors import StudyError
from failmodes.runtime.hashing import source_hash
from failmodes.runtime.packages import import_modules
from failmodes.warehouse import metrics as package
from failmodes.warehouse.metrics.cell_rows import CERTAINTY, OTHER, CellRows, ComparedCell, Undefined
from failmodes.warehouse.metrics.intervals import (
    Floats,
    auroc_interval,
    exact_interval,
    interval_of_mean,
    normal_quantile,
    quantile_interval,
)

NO_IMAGE, NOT_FINITE = "no image takes part", "it is not a finite number"
Weights = NDArray[np.floating[Any]]
Ends = tuple[float, float]
RESAMPLES, SEED = 200, 0  # of images: gives standard errors to 5%
FEWEST_IMAGES = 30  # with fewer there are values but no statements
# Largest bias of a value, as a multiple of what resampling adds: of the minimum of alike classes, whose errors a
# resample multiplies by the square root of 2; of smooth functions it is 1
BIAS_OF_SHIFT = 1 / (sqrt(2) - 1)
# Names of intervals, as JSON and the reference of metrics have them
CLOPPER_PEARSON, NEWCOMBE, NORMAL, BOOTSTRAP = "Clopper-Pearson", "Newcombe", "normal", "bootstrap"
SKEWNESS_CORRECTED = f"{NORMAL}, corrected for skewness"
PLAUSIBLE = 2.0  # standard errors within which two values count as equal
_PAIRED = {"clean", "curve"}  # parameters that need clean images, image by image


class Value(NamedTuple):
    """The result of a function of a cell if not all of its images take part."""

    value: float
    n: int


class SamplingBias(NamedTuple):
    """Bounds of the bias of a sample's value, and its minimal uncertainty.

    The calibration error is a sum of absolute values, the worst class a minimum, the most frequent prediction a
    maximum: of a sample the first and the last are too large on average, the second too small, and the more so where no
    gap is clear and classes are alike. How much depends on the truth, so it is bounded: bins and classes that may be
    alike, within PLAUSIBLE errors, are taken to be so. A bootstrap does not tell: its resamples are of a sample whose
    gaps are too large.

    Attributes:
        low: lower bound of the mean excess over the truth; negative if the value may be too small.
        high: upper bound.
        error: standard error of the extreme group; 0 without groups.
    """

    low: float = 0.0
    high: float = 0.0
    error: float = 0.0


class Counted(NamedTuple):
    """Images that a value rests on, and what they are, in the singular."""

    images: float
    noun: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Interval:
    """The interval of a metric: here of the mean of contributions, or by bootstrap if it is a statistic of the cell.

    Attributes:
        image_range: smallest and largest contribution of one image, of which a pseudo-image each is added; default:
            the metric's range where finite, else 1 away from 0.
        is_continuous: whether contributions are continuous, so that their spread is never 0 by chance: the interval
            is then corrected for skewness, and no pseudo-images are added.
        minimum: how many images a value needs to be comparable with a limit or with another model: with fewer it is
            not measurable; default: as many as any statement where contributions are continuous.
        counted: (parameters as the metric's) to the numbers of images that `minimum` is about; default: the images
            that take part.
        named: its method; default: that of a mean.
    """

    image_range: tuple[float, float] | None = None
    is_continuous: bool = False
    minimum: int = 0
    counted: Callable[..., Sequence[Counted]] | None = None
    named: str = ""
    has_formula: ClassVar[bool] = False  # of a single cell, which is more exact than one from an error
    is_stored: ClassVar[bool] = True  # whether a load computes it

    @property
    def method(self) -> str:
        """Its name, of a single cell."""
        return self.named or (SKEWNESS_CORRECTED if self.is_continuous else NORMAL)

    @property
    def pseudo_images(self) -> float:
        """Pseudo-images at each end of the range of contributions."""
        return 0.0 if self.is_continuous else 1.0

    def counts(self, evaluated: "Evaluated") -> Sequence[Counted]:
        """The numbers of images that `minimum` is about."""
        if self.counted is None:
            return [Counted(evaluated.effective_n, "image")]
        counts: Sequence[Counted] = evaluated.ask(self.counted)
        return counts

    def lacking(self, evaluated: "Evaluated") -> str:
        """Why a value rests on too few images for statements; '' if it does not."""
        minimum = self.minimum or (FEWEST_IMAGES if self.is_continuous else 0)
        count, noun = min(self.counts(evaluated))
        return "" if count >= minimum else too_few(round(count), noun, minimum)

    def ends(self, evaluated: "Evaluated", level: float, comparisons: int) -> Ends | None:
        """Both ends, which hold for all `comparisons` together (Bonferroni); None if there is no interval."""
        if self.lacking(evaluated):
            return None
        if evaluated.replicates is not None:
            return _bootstrap_ends(evaluated, evaluated.replicates, level, comparisons)
        if evaluated.images is None:
            return None
        scale = len(evaluated.images) / evaluated.n  # the same as in `_of_images`
        least, most = (evaluated.value + (end - evaluated.value) * scale for end in evaluated.metric.image_range)
        _, low, high = interval_of_mean(
            evaluated.images,
            (least, most),
            comparisons=comparisons,
            level=level,
            pseudo_images=self.pseudo_images,
            count=evaluated.n,
            groups=evaluated.cell.rows.groups,
        )
        return evaluated.within_range(low, high)


@dataclass(frozen=True, kw_only=True, eq=False)
class Unstored(Interval):
    """A bootstrap by computing a statistic of each resample: too slow for a load, which stores the value alone."""

    is_stored = False
    named: str = BOOTSTRAP


@dataclass(frozen=True, kw_only=True, eq=False)
class Bootstrap(Interval):
    """A bootstrap of a statistic with weights.

    Attributes:
        bias: (rows) to bounds of the bias of a sample's value; default: none.
        taking_part: (rows) to (N,) bool, which images take part; default: all.
    """

    bias: Callable[[CellRows], SamplingBias] | None = None
    taking_part: Callable[[CellRows], NDArray[np.bool_]] | None = None
    named: str = BOOTSTRAP


@dataclass(frozen=True, kw_only=True, eq=False)
class ExactShare(Interval):
    """Clopper and Pearson's exact interval of a share of images, each of which contributes 0, 1, or 1/2 for a tie.

    Attributes:
        of_all: whether all images of the cell take part.
    """

    of_all: bool = True
    has_formula = True
    named: str = CLOPPER_PEARSON

    def ends(self, evaluated: "Evaluated", level: float, comparisons: int) -> Ends:
        """Both ends; of duplicates with the effective number of images."""
        hits = round(2 * evaluated.value * evaluated.n) / 2
        whole = np.array([np.floor(hits), np.ceil(hits)]) * evaluated.independent
        low, high = exact_interval(whole, evaluated.effective_n, comparisons=comparisons, level=level)
        return float(low[0]), float(high[1])


@dataclass(frozen=True, kw_only=True, eq=False)
class OrderStatistic(Interval):
    """Order statistics as the interval of a quantile of contributions.

    Attributes:
        quantile: 0-1.
    """

    quantile: float
    has_formula = True
    named: str = "order statistics"
    minimum: int = FEWEST_IMAGES

    def ends(self, evaluated: "Evaluated", level: float, comparisons: int) -> Ends | None:
        """Both ends, the range of the metric where no order statistic is one."""
        if self.lacking(evaluated) or evaluated.values is None:
            return None
        low, high = quantile_interval(
            evaluated.values, self.quantile, evaluated.metric.range, comparisons=comparisons, level=level,
            independent=evaluated.independent,
        )  # fmt: skip
        return min(low, evaluated.value), max(high, evaluated.value)


@dataclass(frozen=True, kw_only=True, eq=False)
class NewcombeAuroc(Interval):
    """Newcombe's interval of an AUROC; `counted` gives the positive and the negative images."""

    has_formula = True
    named: str = NEWCOMBE

    def ends(self, evaluated: "Evaluated", level: float, comparisons: int) -> Ends:
        """Both ends."""
        positives, negatives = (count.images for count in self.counts(evaluated))
        return auroc_interval(evaluated.value, positives, negatives, comparisons=comparisons, level=level)


@dataclass(frozen=True, kw_only=True, eq=False)
class Formula(Interval):
    """An interval of one metric alone.

    Attributes:
        formula: (parameters as the metric's, value, level, comparisons) to both ends.
    """

    formula: Callable[..., Ends]
    has_formula = True

    def ends(self, evaluated: "Evaluated", level: float, comparisons: int) -> Ends:
        """Both ends."""
        low, high = evaluated.ask(self.formula, value=evaluated.value, level=level, comparisons=comparisons)
        return low, high


@dataclass(frozen=True, eq=False)
class Metric:
    """One metric.

    Attributes:
        name: in tables, rules and commands.
        title: in charts and tables.
        function: computes it; see the module.
        unit: 'share' (0-1, differences are printed in percentage points), 'nats', 'score', 'image widths' and so on.
        higher_is_better: None if neither direction is better.
        range: smallest and largest possible value.
        columns: the needed columns of a cell's rows (see `CellRows`).
        formula: in plain characters.
        source: paper or standard that defines it.
        scores: the scores of a metric of several scores.
        interval: how its interval is computed.
        refusal: why gates and claims refuse it; '' if they accept it.
        preds: kind of `preds` for its function.
        is_users: whether it is defined outside this package.
        version: for a user's metric, a hash of its source.
    """

    name: str
    title: str
    function: Callable[..., Any]
    unit: str = "share"
    higher_is_better: bool | None = True
    range: tuple[float, float] = (0.0, 1.0)
    columns: tuple[str, ...] = ()
    formula: str = ""
    source: str = ""
    scores: tuple[str, ...] = ()
    interval: Interval = Interval()
    refusal: str = ""
    preds: Literal["classes", "probabilities"] = "classes"
    is_users: bool = False
    version: str = ""
    parameters: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", parameters_of(self.function))

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the function itself."""
        return self.function(*arguments, **named)

    @property
    def better(self) -> Literal["higher", "lower", "neither"]:
        """Which direction is better."""
        return "neither" if self.higher_is_better is None else "higher" if self.higher_is_better else "lower"

    @property
    def image_range(self) -> tuple[float, float]:
        """Smallest and largest contribution of a pseudo-image; zeros where none is added."""
        if self.interval.image_range is not None:
            return self.interval.image_range
        if self.interval.is_continuous:
            return 0.0, 0.0
        least, most = self.range
        return (least if isfinite(least) else -1.0), (most if isfinite(most) else 1.0)

    @property
    def is_share_of_images(self) -> bool:
        """Whether it is a share of all images of a cell, each of which contributes 0 or 1."""
        return isinstance(self.interval, ExactShare) and self.interval.of_all

    @property
    def takes_score(self) -> bool:
        """Whether it is computed for several confidence scores."""
        return bool(self.scores)

    @property
    def takes_weights(self) -> bool:
        """Whether its function computes it for resampled images."""
        return "weights" in self.parameters

    @cached_property
    def needs_pairs(self) -> bool:
        """Whether it compares a cell with the clean images."""
        return bool(_PAIRED & set(self.parameters))

    @cached_property
    def takes_tensors(self) -> bool:
        """Whether parameters of its function are annotated as torch.Tensor."""
        hints = (parameter.annotation for parameter in inspect.signature(self.function).parameters.values())
        return any(str(getattr(hint, "__name__", hint)).rpartition(".")[2] == "Tensor" for hint in hints)

    def columns_of(self, score: str | None) -> tuple[str, ...]:
        """The needed columns with a score."""
        if score == "empty_map":
            return (*self.columns, "finite", "predicted.has_map", "predicted.empty")
        return (*self.columns, *(("finite", CERTAINTY[score][0]) if score else ()))


@dataclass(frozen=True, eq=False)
class Evaluated:
    """A metric of one cell.

    Attributes:
        metric: the metric.
        cell: its rows.
        score: of a metric of several scores.
        value: of all images.
        n: images that take part.
        independent: the effective number of them as a share of `n`; 1 without duplicates.
        images: (N,) contributions, the mean for images that take no part; None without contributions.
        replicates: (B,) values of resampled images; None with contributions or without weights.
        values: (n,) contributions to a quantile; None for other metrics.
        bias: bounds of the bias of `value`.
    """

    metric: Metric
    cell: ComparedCell
    score: str | None
    value: float
    n: int
    independent: float
    images: Floats | None = None
    replicates: Floats | None = None
    values: Floats | None = None
    bias: SamplingBias = SamplingBias()

    @property
    def effective_n(self) -> float:
        """Kish's effective number of the images that take part."""
        return self.n * self.independent

    @property
    def lacking(self) -> str:
        """Why the value rests on too few images for statements and intervals; '' if it does not."""
        return self.metric.interval.lacking(self)

    def ends(self, level: float = 0.95, comparisons: int = 1) -> Ends | None:
        """Both ends of the interval; None if there is none.

        Args:
            level: of the interval.
            comparisons: Bonferroni's correction: how many intervals hold at once.
        """
        return self.metric.interval.ends(self, level, comparisons)

    def ask(self, function: Callable[..., Any], **others: Any) -> Any:
        """The result of a function of the cell with parameters as those of a metric, and others."""
        return function(**arguments_of(self.metric, parameters_of(function), self.cell, self.score), **others)

    def within_range(self, low: float, high: float) -> Ends | None:
        """Ends cut to the range of the metric; None if they are not numbers."""
        return None if isnan(low) else (max(self.metric.range[0], low), min(self.metric.range[1], high))


def evaluate(
    metric: Metric, cell: ComparedCell, score: str | None = None, weights: Weights | None = None
) -> Evaluated | str:
    """Compute a metric of one cell, or return the reason why it is not defined there.

    Args:
        metric: the metric.
        cell: its rows.
        score: for a metric of several scores.
        weights: (B, N) how often each image counts, for the replicates of a metric without contributions.
    """
    try:
        if metric.needs_pairs and cell.clean is None:
            raise Undefined("corrupted images do not pair with clean ones")
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # for rows that a data check reports
            return _evaluate(metric, cell, score, weights)
    except Undefined as error:
        return str(error)


def _evaluate(metric: Metric, cell: ComparedCell, score: str | None, weights: Weights | None) -> Evaluated:
    arguments = arguments_of(metric, metric.parameters, cell, score)
    if metric.takes_weights:
        return _weighted(metric, cell, score, arguments, weights)
    result = _users_value(metric, arguments, cell) if metric.is_users else metric.function(**arguments)
    if isinstance(result, Value) or not np.ndim(result):
        value, n = result if isinstance(result, Value) else (float(result), len(cell.rows))
        independent = cell.rows.independent_share()
        evaluated = Evaluated(metric, cell, score, value, n, independent)
        return _with_replicates(evaluated, weights)
    contributions = np.asarray(result)
    if isinstance(metric.interval, OrderStatistic):
        return _with_replicates(_of_quantile(metric, cell, score, contributions, metric.interval.quantile), weights)
    return _of_images(metric, cell, score, contributions)


def _of_quantile(
    metric: Metric, cell: ComparedCell, score: str | None, contributions: NDArray[Any], quantile: float
) -> Evaluated:
    is_known = ~np.isnan(contributions)
    values = contributions[is_known]
    if not len(values):
        raise Undefined(NO_IMAGE)
    value = float(np.quantile(values.astype(np.float64), quantile))
    return Evaluated(metric, cell, score, value, len(values), cell.rows.independent_share(is_known), values=values)


def _of_images(metric: Metric, cell: ComparedCell, score: str | None, contributions: NDArray[Any]) -> Evaluated:
    is_known = ~np.isnan(contributions) if contributions.dtype.kind == "f" else np.ones(len(contributions), np.bool_)
    n = int(np.count_nonzero(is_known))
    if not n:
        raise Undefined(NO_IMAGE)
    images = contributions.astype(np.float64)
    mean = float(images.mean() if n == len(images) else images[is_known].mean())
    if not isfinite(mean):
        raise Undefined(NOT_FINITE)
    if n < len(images):
        images = np.where(is_known, images - mean, 0) * (len(images) / n) + mean
    independent = cell.rows.independent_share(None if n == len(images) else is_known)
    return Evaluated(metric, cell, score, mean, n, independent, images)


def _weighted(
    metric: Metric, cell: ComparedCell, score: str | None, arguments: dict[str, Any], weights: Weights | None
) -> Evaluated:
    value = float(metric.function(**arguments, weights=np.ones((1, len(cell.rows))))[0])
    method = metric.interval
    assert isinstance(method, Bootstrap), f"{metric.name} takes weights"
    bias = SamplingBias() if method.bias is None else method.bias(cell.rows)
    taking_part = None if method.taking_part is None else method.taking_part(cell.rows)
    n = len(cell.rows) if taking_part is None else int(np.count_nonzero(taking_part))
    evaluated = Evaluated(metric, cell, score, value, n, cell.rows.independent_share(taking_part), bias=bias)
    if weights is None:
        return evaluated
    replicates = np.asarray(metric.function(**arguments, weights=weights), np.float64)
    return replace(evaluated, replicates=np.nan_to_num(replicates, nan=value))  # resamples in which no image takes part


def _with_replicates(evaluated: Evaluated, weights: Weights | None) -> Evaluated:
    """Add values of resampled images, if weights are given."""
    if not np.isfinite(evaluated.value):
        raise Undefined(NOT_FINITE)
    if weights is None:
        return evaluated
    replicates = np.array([_resampled(evaluated, row) for row in weights])
    known = replicates[np.isfinite(replicates)]
    if len(known) < 2:
        raise Undefined("resampled images do not define it")
    shift = (float(known.mean()) - evaluated.value) * BIAS_OF_SHIFT
    replicates = np.where(np.isfinite(replicates), replicates, known.mean())
    return replace(evaluated, replicates=replicates, bias=SamplingBias(min(0.0, shift), max(0.0, shift)))


def _resampled(evaluated: Evaluated, counts: Weights) -> float:
    resample = evaluated.cell.taken(np.repeat(np.arange(len(evaluated.cell.rows)), counts.astype(np.int64)))
    try:
        again = evaluate(evaluated.metric, resample, evaluated.score)
    except StudyError:  # a user's function may need every class, and a resample may lack one
        return np.nan
    return np.nan if isinstance(again, str) else again.value


def _bootstrap_ends(evaluated: Evaluated, replicates: Floats, level: float, comparisons: int) -> Ends | None:
    """A normal interval with the variance of replicates, pseudo-images, and the bounds of the bias."""
    least, most = evaluated.metric.image_range
    added, count = evaluated.metric.interval.pseudo_images, evaluated.effective_n
    center = (evaluated.value * count + added * (least + most)) / (count + 2 * added)
    spread = max(float(replicates.var(ddof=1)), evaluated.bias.error**2)
    half = normal_quantile(level, comparisons) * sqrt(spread + 2 * ((most - least) / count) ** 2)
    low = min(evaluated.value, center) - evaluated.bias.high - half
    high = max(evaluated.value, center) - evaluated.bias.low + half
    return evaluated.within_range(low, high)


def _users_value(metric: Metric, arguments: dict[str, Any], cell: ComparedCell) -> Any:
    """The result of a user's function; images without `preds` take no part.

    Raises:
        StudyError: it raises, or returns neither a number nor one number per image.
    """
    rows = cell.rows
    where = f"metric {metric.name!r}, {rows.corruption} at severity {rows.severity:g}"
    usable = np.ones(len(rows), np.bool_)
    if not _PREDS.isdisjoint(metric.parameters):
        usable = usable_images(rows, metric.preds)
    count = int(np.count_nonzero(usable))
    try:
        result = metric.function(**arguments)
        shape = () if isinstance(result, str | Value) else tuple(np.shape(result))
        if isinstance(result, str):
            raise Undefined(result)
        if isinstance(result, Value):
            return result
        if shape == ():
            return Value(float(result), count)
        if shape == (count,):
            contributions = np.full(len(rows), np.nan)
            contributions[usable] = np.asarray(result, np.float64)
            return contributions
    except Undefined:
        raise
    except Exception as error:
        raise StudyError(f"{where}: it raised {type(error).__name__}: {error}") from error
    raise StudyError(f"{where}: it returned shape {shape}, expected a number or one per image, ({count},)")


def arguments_of(metric: Metric, parameters: tuple[str, ...], cell: ComparedCell, score: str | None) -> dict[str, Any]:
    """The arguments of a function of a metric, by the names of its parameters."""
    arguments = {name: _ARGUMENTS[name](cell, score) for name in parameters if name in _ARGUMENTS}
    if _PREDS.isdisjoint(parameters):
        return arguments
    usable = usable_images(cell.rows, metric.preds)
    preds = cell.rows["predicted"].astype(np.int64) if metric.preds == "classes" else _probabilities(cell.rows)
    both = {"preds": preds, "target": cell.rows["label"].astype(np.int64)}
    for name in _PREDS & set(parameters):
        values = both[name] if usable.all() else both[name][usable]
        arguments[name] = as_tensor(values) if metric.takes_tensors else values
    return arguments


def usable_images(rows: CellRows, preds: str) -> NDArray[np.bool_]:
    """(N,) which images have `preds`.

    Raises:
        Undefined: none has.
    """
    if preds == "classes":
        usable = np.asarray(rows["predicted"] != OTHER)
    elif "logits" not in rows or ("logit_classes" in rows and rows["logit_classes"].any()):
        raise Undefined("not all logits are stored, which probabilities need")
    else:
        usable = np.asarray(np.isfinite(rows["logits"]).all(axis=1))
    if not usable.any():
        raise Undefined(NO_IMAGE)
    return usable


def as_tensor(values: NDArray[Any]) -> Any:
    """A tensor of the same numbers; PyTorch is loaded, since parameters are annotated with its class."""
    return sys.modules["torch"].from_numpy(np.ascontiguousarray(values))


_ARGUMENTS: Mapping[str, Callable[[ComparedCell, str | None], Any]] = {
    "rows": lambda cell, _: cell.rows,
    "clean": lambda cell, _: cell.clean,
    "curve": lambda cell, _: cell.curve,
    "reference": lambda cell, _: cell.reference,
    "score": lambda _, score: score,
    "threshold": lambda cell, score: cell.thresholds.get(score or ""),
}
_PREDS = {"preds", "target"}
USERS_PARAMETERS = ("rows", "clean", "curve", "reference", "score", "preds", "target")


def too_few(count: int, noun: str = "image", least: int = FEWEST_IMAGES) -> str:
    """The reason why a statement about so few images is not made."""
    what, of, whole = noun.partition(" of ")
    counted = f"{noun} is" if count == 1 else f"{what}s{of}{whole} are"
    return f"{count:,} {counted} too few: at least {least} are needed"


def _probabilities(rows: CellRows) -> NDArray[np.float64]:
    """(N, C) softmax of all logits."""
    logits = rows["logits"].astype(np.float64)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float64] = odds / odds.sum(axis=1, keepdims=True)
    return probabilities


@cache
def parameters_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of those parameters that have no default."""
    return tuple(
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    )


METRICS: dict[str, Metric] = {}  # those of this package, by name


def define(title: str, *, name: str = "", formula: str = "", **options: Any) -> Callable[[Callable[..., Any]], Metric]:
    """Register a function as a metric in METRICS, under its name; the formula is the start of its docstring.

    Args:
        title: of the metric, see `Metric`.
        name: default: that of the function.
        formula: default: the first paragraph of the function's docstring.
        options: other fields of `Metric`.
    """

    def register(function: Callable[..., Any]) -> Metric:
        metric = Metric(
            name or function.__name__, title, function, formula=formula or described_by(function), **options
        )
        assert metric.name not in METRICS, f"{metric.name} is defined twice"
        METRICS[metric.name] = metric
        return metric

    return register


def described_by(function: Any) -> str:
    """The first paragraph of a function's docstring, without its final period."""
    return " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split()).removesuffix(".")


CONTINUOUS = Interval(is_continuous=True)
UNBOUNDED = (-inf, inf)
POSITIVE = (0.0, inf)


FAMILIES = (
    "accuracy",
    "calibration",
    "temperature",
    "failure_prediction",
    "abstention",
    "conformal",
    "transitions",
    "attention",
)


@cache
def all_metrics() -> Mapping[str, Metric]:
    """Every metric by name, from all modules of this package."""
    import_modules(package.__name__)
    return dict(sorted(METRICS.items(), key=lambda item: _place(item[1])))


def known_metrics(users: Iterable[Metric] = ()) -> dict[str, Metric]:
    """Every metric by name, with a user's own, which may replace one of this package."""
    return {**all_metrics(), **{metric.name: metric for metric in users}}


def _place(metric: Metric) -> tuple[int, str]:
    """Families in a fixed order, then others by name."""
    family = metric.function.__module__.rpartition(".")[2]
    return (FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)), family


def definitions_hash() -> str:
    """Hash of the source of all definitions: the next load recomputes tables of other definitions."""
    return source_hash(package.__name__)
