"""The metric class: a definition, and one function of a cell that computes it.

A function requests its inputs by the names of its parameters:

- `rows`: the images of the cell (`CellRows`); `clean`: the same images when clean; `curve`: those from clean up to
  here; `reference`: the clean images of the evaluation, the same or others;
- `score`: the confidence score, for a metric of several scores;
- `weights`: (B, N) how often each image counts, for a metric of the whole cell that is fast to resample;
- `preds` and `target`: as in torchmetrics, (N,) predicted and true classes; `preds` are (N, C) softmax probabilities
  if the metric requests them.

It returns the contribution of each image, (N,) with NaN for those that take no part, whose mean is the metric; or one
`Value` of the cell; or, given `weights`, (B,) numbers. If it is not defined it raises `Undefined` with the reason.
From this follow its value, standard error and interval, its mean over cells, its difference between two models, and its
error over training seeds.
"""

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from math import inf, isfinite, isnan, sqrt
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.runtime.errors import StudyError
from failmodes.runtime.hashing import source_hash
from failmodes.runtime.plugins import import_modules
from failmodes.warehouse import metrics as package
from failmodes.warehouse.metrics.cell_rows import CERTAINTY, OTHER, Cell, CellRows, Undefined
from failmodes.warehouse.metrics.intervals import (
    Floats,
    interval_of_mean,
    normal_quantile,
    quantile_interval,
)

NO_IMAGE, NOT_FINITE = "no image takes part", "it is not a finite number"
Weights = NDArray[np.floating[Any]]
RESAMPLES, SEED = 200, 0  # of images: gives standard errors to 5%
FEWEST_IMAGES = 30  # with fewer there are values but no statements
# Largest bias of a value, as a multiple of what resampling adds: of the minimum of alike classes, whose errors a
# resample multiplies by the square root of 2; of smooth functions it is 1
BIAS_OF_SHIFT = 1 / (sqrt(2) - 1)
PLAUSIBLE = 2.0  # standard errors within which two values count as equal
_PAIRED = {"clean", "curve"}  # parameters that need clean images, image by image


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
        quantile: 0-1, for a metric that is a quantile of contributions instead of their mean.
        interval: (parameters as those of `function`, value, level, comparisons) to both ends, if the spread of the
            contributions gives no valid interval.
        bias: bounds of the bias of a sample's value.
        taking_part: for a metric with weights, (N,) bool, which images take part; default: all.
        image_range: smallest and largest contribution of one image; default: `range` where finite.
        is_continuous: whether contributions are continuous, so that their spread is never 0 by chance: intervals then
            add no pseudo-images.
        fewest: how many images a value needs to be comparable with a limit or with another model: with fewer it is not
            measurable; default: as many as any statement where contributions are continuous, or for a quantile.
        counted: (rows) to the number of images that `fewest` is about; default: those that take part.
        refusal: why gates and claims refuse it; '' if they accept it.
        is_stored_with_interval: whether a load computes its interval, which takes 200 times as long without weights.
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
    quantile: float | None = None
    interval: Callable[..., tuple[float, float]] | None = None
    bias: Callable[..., SamplingBias] | None = None
    taking_part: Callable[[CellRows], NDArray[np.bool_]] | None = None
    image_range: tuple[float, float] = (0.0, 0.0)
    is_continuous: bool = False
    fewest: int = 0
    counted: Callable[..., Counted] | None = None
    refusal: str = ""
    is_stored_with_interval: bool = True
    preds: Literal["classes", "probabilities"] = "classes"
    is_users: bool = False
    version: str = ""
    parameters: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", parameters_of(self.function))
        if self.image_range == (0.0, 0.0) and not self.is_continuous:
            least, most = self.range
            made_up = (least if isfinite(least) else -1.0, most if isfinite(most) else 1.0)
            object.__setattr__(self, "image_range", made_up)
        if not self.fewest and (self.is_continuous or self.quantile is not None):
            object.__setattr__(self, "fewest", FEWEST_IMAGES)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the function itself."""
        return self.function(*arguments, **named)

    @property
    def better(self) -> Literal["higher", "lower", "neither"]:
        """Which direction is better."""
        return "neither" if self.higher_is_better is None else "higher" if self.higher_is_better else "lower"

    @property
    def added_images(self) -> float:
        """Pseudo-images at each end of `image_range` in intervals."""
        return 0.0 if self.is_continuous else 1.0

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
        hints = (one.annotation for one in inspect.signature(self.function).parameters.values())
        return any(str(getattr(hint, "__name__", hint)).rpartition(".")[2] == "Tensor" for hint in hints)

    def columns_of(self, score: str | None) -> tuple[str, ...]:
        """The needed columns with a score."""
        if score == "empty_map":
            return (*self.columns, "finite", "predicted.has_map", "predicted.empty")
        return (*self.columns, *(("finite", CERTAINTY[score][0]) if score else ()))


class Value(NamedTuple):
    """The result of a function of a cell if not all of its images take part."""

    value: float
    n: int


class Evaluated(NamedTuple):
    """A metric of one cell.

    Attributes:
        value: of all images.
        n: images that take part.
        images: (N,) contributions, the mean for images that take no part; None without contributions.
        replicates: (B,) values of resampled images; None with contributions or without weights.
        values: (n,) contributions to a quantile; None for other metrics.
        bias: bounds of the bias of `value`.
        independent: for metrics without contributions, the effective number of images as a share of `n`.
    """

    value: float
    n: int
    images: Floats | None = None
    replicates: Floats | None = None
    values: Floats | None = None
    bias: SamplingBias = SamplingBias()
    independent: float = 1.0


def evaluate(metric: Metric, cell: Cell, score: str | None = None, weights: Weights | None = None) -> Evaluated | str:
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


def _evaluate(metric: Metric, cell: Cell, score: str | None, weights: Weights | None) -> Evaluated:
    given = arguments_of(metric, metric.parameters, cell, score)
    if metric.takes_weights:
        return _weighted(metric, cell, given, weights)
    found = _users_value(metric, given, cell) if metric.is_users else metric.function(**given)
    if isinstance(found, Value) or not np.ndim(found):
        alone = found if isinstance(found, Value) else Value(float(found), len(cell.rows))
        own = Evaluated(*alone, independent=cell.rows.independent_share())
        return _with_replicates(metric, cell, score, own, weights)
    images = np.asarray(found)
    if metric.quantile is None:
        return _of_images(images)
    is_known = ~np.isnan(images)
    values = images[is_known]
    if not len(values):
        raise Undefined(NO_IMAGE)
    quantile = float(np.quantile(values.astype(np.float64), metric.quantile))
    own = Evaluated(quantile, len(values), values=values, independent=cell.rows.independent_share(is_known))
    return _with_replicates(metric, cell, score, own, weights)


def _users_value(metric: Metric, given: dict[str, Any], cell: Cell) -> Any:
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
        found = metric.function(**given)
        shape = () if isinstance(found, str | Value) else tuple(np.shape(found))
        if isinstance(found, str):
            raise Undefined(found)
        if isinstance(found, Value):
            return found
        if shape == ():
            return Value(float(found), count)
        if shape == (count,):
            spread = np.full(len(rows), np.nan)
            spread[usable] = np.asarray(found, np.float64)
            return spread
    except Undefined:
        raise
    except Exception as error:
        raise StudyError(f"{where}: it raised {type(error).__name__}: {error}") from error
    raise StudyError(f"{where}: it returned shape {shape}, expected a number or one per image, ({count},)")


def _with_replicates(
    metric: Metric, cell: Cell, score: str | None, found: Evaluated, weights: Weights | None
) -> Evaluated:
    """Add values of resampled images, if weights are given."""
    if not np.isfinite(found.value):
        raise Undefined(NOT_FINITE)
    if weights is None:
        return found
    replicates = np.array([_resampled(metric, cell, score, row) for row in weights])
    known = replicates[np.isfinite(replicates)]
    if len(known) < 2:
        raise Undefined("resampled images do not define it")
    shift = (float(known.mean()) - found.value) * BIAS_OF_SHIFT
    filled = np.where(np.isfinite(replicates), replicates, known.mean())
    return found._replace(replicates=filled, bias=SamplingBias(min(0.0, shift), max(0.0, shift)))


def arguments_of(metric: Metric, parameters: tuple[str, ...], cell: Cell, score: str | None) -> dict[str, Any]:
    """The arguments of a function of a metric, by the names of its parameters."""
    found = {name: _GIVEN[name](cell, score) for name in parameters if name in _GIVEN}
    if _PREDS.isdisjoint(parameters):
        return found
    usable = usable_images(cell.rows, metric.preds)
    preds = cell.rows["predicted"].astype(np.int64) if metric.preds == "classes" else _probabilities(cell.rows)
    own = {"preds": preds, "target": cell.rows["label"].astype(np.int64)}
    for name in _PREDS & set(parameters):
        values = own[name] if usable.all() else own[name][usable]
        found[name] = as_tensor(values) if metric.takes_tensors else values
    return found


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


_GIVEN: Mapping[str, Callable[[Cell, str | None], Any]] = {
    "rows": lambda cell, _: cell.rows,
    "clean": lambda cell, _: cell.clean,
    "curve": lambda cell, _: cell.curve,
    "reference": lambda cell, _: cell.reference,
    "score": lambda _, score: score,
}
_PREDS = {"preds", "target"}
USERS_PARAMETERS = (*_GIVEN, "preds", "target")


def lacking(metric: Metric, cell: Cell, score: str | None, found: Evaluated) -> str:
    """Why a metric of one cell rests on too few images for statements and intervals; '' if it does not."""
    if metric.counted is None:
        count, noun = Counted(found.n * cell.rows.independent_share(), "image")
    else:
        count, noun = metric.counted(**arguments_of(metric, parameters_of(metric.counted), cell, score))
    return "" if count >= metric.fewest else too_few(round(count), noun, metric.fewest)


def too_few(count: int, noun: str = "image", least: int = FEWEST_IMAGES) -> str:
    """The reason why a statement about so few images is not made."""
    what, of, whole = noun.partition(" of ")
    counted = f"{noun} is" if count == 1 else f"{what}s{of}{whole} are"
    return f"{count:,} {counted} too few: at least {least} are needed"


def ends_of(
    metric: Metric, cell: Cell, score: str | None, found: Evaluated, *, level: float = 0.95, comparisons: int = 1
) -> tuple[float, float] | None:
    """Both ends of the interval of a metric in one cell; None if it has none.

    Args:
        metric: the metric.
        cell: its cell.
        score: for a metric of several scores.
        found: the result of `evaluate`.
        level: of the interval.
        comparisons: Bonferroni's correction: how many intervals hold at once.
    """
    if metric.interval is not None:
        given = arguments_of(metric, parameters_of(metric.interval), cell, score)
        return metric.interval(**given, value=found.value, level=level, comparisons=comparisons)
    if lacking(metric, cell, score, found):
        return None
    if found.values is not None and metric.quantile is not None:
        low, high = quantile_interval(
            found.values, metric.quantile, metric.range, comparisons=comparisons, level=level,
            independent=found.independent,
        )  # fmt: skip
        return min(low, found.value), max(high, found.value)
    if found.images is not None:
        scale = len(found.images) / found.n  # the same as in `_of_images`
        least, most = (found.value + (end - found.value) * scale for end in metric.image_range)
        _, low, high = interval_of_mean(
            found.images,
            (least, most),
            comparisons=comparisons,
            level=level,
            added=metric.added_images,
            count=found.n,
            groups=cell.rows.groups,
        )
    elif found.replicates is not None:
        center, variance = of_replicates(found, found.replicates, metric, found.n * found.independent)
        half = normal_quantile(level, comparisons) * float(np.sqrt(variance))
        low = min(found.value, center) - found.bias.high - half
        high = max(found.value, center) - found.bias.low + half
    else:
        return None
    return None if isnan(low) else (max(metric.range[0], low), min(metric.range[1], high))


def of_replicates(found: Evaluated, replicates: Floats, metric: Metric, count: float) -> tuple[float, float]:
    """Center and variance of a resampled metric, with pseudo-images beside `count` effective ones."""
    least, most = metric.image_range
    center = (found.value * count + metric.added_images * (least + most)) / (count + 2 * metric.added_images)
    spread = max(float(replicates.var(ddof=1)), found.bias.error**2)
    return center, spread + 2 * ((most - least) / count) ** 2


def _of_images(contributions: NDArray[Any]) -> Evaluated:
    known = ~np.isnan(contributions) if contributions.dtype.kind == "f" else np.ones(len(contributions), np.bool_)
    n = int(np.count_nonzero(known))
    if not n:
        raise Undefined(NO_IMAGE)
    values = contributions.astype(np.float64)
    mean = float(values.mean() if n == len(values) else values[known].mean())
    if not isfinite(mean):
        raise Undefined(NOT_FINITE)
    if n == len(values):
        return Evaluated(mean, n, values)
    spread = np.where(known, values - mean, 0) * (len(values) / n)
    return Evaluated(mean, n, spread + mean)


def _weighted(metric: Metric, cell: Cell, given: dict[str, Any], weights: Weights | None) -> Evaluated:
    found = metric.function(**given, weights=np.ones((1, len(cell.rows))))
    bias = SamplingBias() if metric.bias is None else metric.bias(cell.rows)
    taking_part = None if metric.taking_part is None else metric.taking_part(cell.rows)
    n = len(cell.rows) if taking_part is None else int(np.count_nonzero(taking_part))
    independent = cell.rows.independent_share(taking_part)
    if weights is None:
        return Evaluated(float(found[0]), n, bias=bias, independent=independent)
    replicates = np.asarray(metric.function(**given, weights=weights), np.float64)
    filled = np.nan_to_num(replicates, nan=float(found[0]))  # for resamples without images that take part
    return Evaluated(float(found[0]), n, replicates=filled, bias=bias, independent=independent)


def _resampled(metric: Metric, cell: Cell, score: str | None, counts: Weights) -> float:
    drawn = cell.taken(np.repeat(np.arange(len(cell.rows)), counts.astype(np.int64)))
    try:
        found = evaluate(metric, drawn, score)
    except StudyError:  # a user's function may need every class, and a resample may lack one
        return np.nan
    return np.nan if isinstance(found, str) else found.value


def _probabilities(rows: CellRows) -> NDArray[np.float64]:
    """(N, C) softmax of all logits."""
    logits = rows["logits"].astype(np.float64)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: NDArray[np.float64] = odds / odds.sum(axis=1, keepdims=True)
    return found


@cache
def parameters_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of those parameters that have no default."""
    return tuple(
        name
        for name, one in inspect.signature(function).parameters.items()
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    )


METRICS: dict[str, Metric] = {}  # those of this package, by name


def define(
    title: str, formula: str, source: str = "", *, name: str = "", columns: tuple[str, ...] = (), **options: Any
) -> Callable[[Callable[..., Any]], Metric]:
    """Register a function as a metric in METRICS, under the function's name; see `Metric`."""

    def register(function: Callable[..., Any]) -> Metric:
        own = name or function.__name__
        metric = Metric(own, title, function, formula=formula, source=source, columns=columns, **options)
        assert own not in METRICS, f"{own} is defined twice"
        METRICS[own] = metric
        return metric

    return register


UNBOUNDED = (-inf, inf)
POSITIVE = (0.0, inf)


FAMILIES = ("accuracy", "calibration", "temperature", "failure_prediction", "transitions", "attention")


@cache
def all_metrics() -> Mapping[str, Metric]:
    """Every metric by name, from all modules of this package."""
    import_modules(package.__name__)
    return dict(sorted(METRICS.items(), key=lambda item: _place(item[1])))


def known_metrics(own: Iterable[Metric] = ()) -> dict[str, Metric]:
    """Every metric by name, with a user's own, which may replace one of this package."""
    return {**all_metrics(), **{metric.name: metric for metric in own}}


def _place(metric: Metric) -> tuple[int, str]:
    """Families in a fixed order, then others by name."""
    family = metric.function.__module__.rpartition(".")[2]
    return (FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)), family


def definitions_hash() -> str:
    """Hash of the source of all definitions: the next load recomputes tables of other definitions."""
    return source_hash(package.__name__)
