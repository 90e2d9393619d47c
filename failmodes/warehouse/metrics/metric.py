"""A metric: one object that says what it is, and one function of a cell that computes it.

A function names what it needs as parameters:

- `rows`: the images of the cell (`CellRows`); `clean`: the same images when clean; `curve`: those from clean up to
  here; `reference`: the clean images of the evaluation, be they the same or others;
- `score`: how certain the model is, of a metric that is told for several scores;
- `weights`: (B, N) how often each image counts, of a metric that is a function of the whole cell and fast to resample;
- `preds` and `target`: as torchmetrics has them, (N,) classes predicted and true; where the metric asks for them,
  `preds` are (N, C) softmax probabilities.

It returns what each image contributes, (N,) with NaN for those that take no part, whose mean is the metric; or one
`Value` of the cell; or, given `weights`, (B,) numbers. Where it is not defined it raises `Undefined`, which says why.
From this follow its value, standard error and interval, its mean over cells, its difference between two models, and its
error over training seeds.
"""

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from math import inf, isfinite, isnan
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.warehouse import metrics as package
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.hashing import source_hash
from failmodes.warehouse.metrics.cell_rows import CERTAINTY, OTHER, Cell, CellRows, Undefined
from failmodes.warehouse.metrics.intervals import (
    Floats,
    interval_of_mean,
    normal_quantile,
    quantile_interval,
    quantile_of,
)
from failmodes.warehouse.plugins import import_modules

NO_IMAGE, NOT_FINITE = "no image takes part", "it is not a finite number"
Weights = NDArray[np.floating[Any]]
RESAMPLES, SEED = 200, 0  # of images: a standard error is known to 5% then
PLAUSIBLE = 2.0  # standard errors within which two values may be the same
_PAIRED = {"clean", "curve"}  # parameters that need clean images, image by image


class SamplingBias(NamedTuple):
    """How far the value of a sample may be from the truth on average, and how uncertain it is at least.

    The calibration error is a sum of absolute values, the worst class a minimum, the most frequent prediction a
    maximum: of a sample the first and the last are too large on average, the second too small, and the more so where no
    gap is clear and classes are alike. How much depends on the truth, so it is bounded: bins and classes that may be
    alike, within PLAUSIBLE errors, are taken to be so. A bootstrap does not tell: its resamples are of a sample whose
    gaps are too large.

    Attributes:
        low: the least that the value exceeds the truth by on average; below 0 where it may fall short.
        high: the most.
        error: standard error of the group that may be the extreme one; 0 where there is none.
    """

    low: float = 0.0
    high: float = 0.0
    error: float = 0.0


@dataclass(frozen=True, eq=False)
class Metric:
    """One metric.

    Attributes:
        name: as tables, gate and commands call it.
        title: in words, as charts and tables print it.
        function: computes it, as the module says.
        unit: 'share' (0-1, differences are told in percentage points), 'nats', 'score', 'image widths' and so on.
        higher_is_better: None where neither direction is better.
        range: the least and the most that it can be.
        columns: that it is computed from, of a cell's rows (see `CellRows`).
        formula: in plain characters.
        source: paper or standard that defines it.
        scores: of a metric of several scores, which these are.
        quantile: of a metric that is a quantile of what images contribute, in place of their mean, which one, 0-1.
        interval: (parameters as those of `function`, value, level, comparisons) to both ends, where the spread of the
            contributions gives no honest interval.
        bias: how far the value of a sample may be from the truth on average.
        taking_part: of a metric that takes weights, (N,) bool, which images take part; all if not given.
        image_range: the least and most that one image can contribute; `range` where finite.
        is_continuous: whether images contribute values of a continuous scale, whose spread is never 0 by chance: then
            no made-up images are added to an interval.
        is_stored_with_interval: whether a load computes its interval, which takes 200 times as long without weights.
        preds: what a function that takes `preds` is given.
        is_users: whether it is defined outside of this package.
        version: of a user's metric, a hash of its source.
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

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """The function itself, so that a decorated one can still be called."""
        return self.function(*arguments, **named)

    @property
    def better(self) -> Literal["higher", "lower", "neither"]:
        """Which direction is better."""
        return "neither" if self.higher_is_better is None else "higher" if self.higher_is_better else "lower"

    @property
    def added_images(self) -> float:
        """Made-up images at each end of `image_range` that intervals count."""
        return 0.0 if self.is_continuous else 1.0

    @property
    def takes_score(self) -> bool:
        """Whether it is told for several scores of how certain the model is."""
        return bool(self.scores)

    @property
    def takes_weights(self) -> bool:
        """Whether it computes itself for resampled images."""
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
        """The columns that it is computed from with a score."""
        if score == "empty_map":
            return (*self.columns, "finite", "predicted.has_map", "predicted.empty")
        return (*self.columns, *(("finite", CERTAINTY[score][0]) if score else ()))


class Value(NamedTuple):
    """What a function of a cell returns in place of a number where not all of its images take part."""

    value: float
    n: int


class Evaluated(NamedTuple):
    """A metric of one cell.

    Attributes:
        value: of the images as they are.
        n: images that take part.
        images: (N,) contributions, the mean in place of images that take no part; None where it has none.
        replicates: (B,) values of resampled images; None where it has contributions, or no weights were given.
        values: (n,) what the images contribute to a quantile; None of other metrics.
        bias: how far `value` may exceed the truth on average.
        independent: of metrics without contributions, the effective number of these images as a share of `n`.
    """

    value: float
    n: int
    images: Floats | None = None
    replicates: Floats | None = None
    values: Floats | None = None
    bias: SamplingBias = SamplingBias()
    independent: float = 1.0


def evaluate(metric: Metric, cell: Cell, score: str | None = None, weights: Weights | None = None) -> Evaluated | str:
    """Compute a metric of one cell; why it is not defined there where it is not.

    Args:
        metric: what is computed.
        cell: its rows.
        score: of a metric of several.
        weights: (B, N) how often each image counts, for the replicates of a metric without contributions.
    """
    try:
        if metric.needs_pairs and cell.clean is None:
            raise Undefined("corrupted images do not pair with clean ones")
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # of rows that a check will find
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
    independent = cell.rows.independent_share(is_known)
    own = Evaluated(quantile_of(values, metric.quantile), len(values), values=values, independent=independent)
    return _with_replicates(metric, cell, score, own, weights)


def _users_value(metric: Metric, given: dict[str, Any], cell: Cell) -> Any:
    """What a user's function returns; images that have no `preds` take no part.

    Raises:
        StudyError: it raises, or returns neither a number nor one number an image.
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
    raise StudyError(f"{where}: it returned shape {shape}, expected a number or one an image, ({count},)")


def _with_replicates(
    metric: Metric, cell: Cell, score: str | None, found: Evaluated, weights: Weights | None
) -> Evaluated:
    """The same with values of resampled images, where weights are given."""
    if not np.isfinite(found.value):
        raise Undefined(NOT_FINITE)
    if weights is None:
        return found
    replicates = np.array([_resampled(metric, cell, score, row) for row in weights])
    known = replicates[np.isfinite(replicates)]
    if len(known) < 2:
        raise Undefined("resampled images do not define it")
    shift = float(known.mean()) - found.value  # what a sample of a sample adds, a sample adds about as much
    filled = np.where(np.isfinite(replicates), replicates, known.mean())
    return found._replace(replicates=filled, bias=SamplingBias(min(0.0, shift), max(0.0, shift)))


def arguments_of(metric: Metric, parameters: tuple[str, ...], cell: Cell, score: str | None) -> dict[str, Any]:
    """What a function of a metric asks for by the names of its parameters."""
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
    """(N,) which images have what `preds` is.

    Raises:
        Undefined: none has it.
    """
    if preds == "classes":
        usable = np.asarray(rows["predicted"] != OTHER)
    elif "logits" not in rows or ("logit_classes" in rows and rows["logit_classes"].any()):
        raise Undefined("all logits are not on record: probabilities are those of all classes")
    else:
        usable = np.asarray(np.isfinite(rows["logits"]).all(axis=1))
    if not usable.any():
        raise Undefined(NO_IMAGE)
    return usable


def as_tensor(values: NDArray[Any]) -> Any:
    """A tensor of the same numbers; PyTorch is loaded, since the function's parameters are annotated with its class."""
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


def ends_of(
    metric: Metric, cell: Cell, score: str | None, found: Evaluated, *, level: float = 0.95, comparisons: int = 1
) -> tuple[float, float] | None:
    """Both ends of the interval of a metric in one cell; None where nothing gives one.

    Args:
        metric: what was computed.
        cell: of which.
        score: of a metric of several.
        found: what `evaluate` gave.
        level: of the interval.
        comparisons: Bonferroni's correction: how many intervals hold at once.
    """
    if metric.interval is not None:
        given = arguments_of(metric, parameters_of(metric.interval), cell, score)
        return metric.interval(**given, value=found.value, level=level, comparisons=comparisons)
    if found.values is not None and metric.quantile is not None:
        low, high = quantile_interval(
            found.values, metric.quantile, comparisons=comparisons, level=level, independent=found.independent
        )
        return min(low, found.value), max(high, found.value)
    if found.images is not None:
        scale = len(found.images) / found.n  # as that of the gaps of those that take part, see `_of_images`
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
    """Center and variance of a resampled metric, with made-up images beside `count` effective ones."""
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
    filled = np.nan_to_num(replicates, nan=float(found[0]))  # where no image that takes part is drawn
    return Evaluated(float(found[0]), n, replicates=filled, bias=bias, independent=independent)


def _resampled(metric: Metric, cell: Cell, score: str | None, counts: Weights) -> float:
    drawn = cell.taken(np.repeat(np.arange(len(cell.rows)), counts.astype(np.int64)))
    try:
        found = evaluate(metric, drawn, score)
    except StudyError:  # a user's function may need every class, which a resample may lack
        return np.nan
    return np.nan if isinstance(found, str) else found.value


def _probabilities(rows: CellRows) -> NDArray[np.float64]:
    """(N, C) softmax of all logits."""
    logits = rows["logits"].astype(np.float64)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


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
    """Make a metric of a function and put it among METRICS, under the function's name; see `Metric`."""

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
    """Every metric by name; a file beside this one that defines another is found by being there."""
    import_modules(package.__name__)
    return dict(sorted(METRICS.items(), key=lambda item: _place(item[1])))


def known_metrics(own: Iterable[Metric] = ()) -> dict[str, Metric]:
    """Every metric by name, with a user's own, one of which may replace one of this package."""
    return {**all_metrics(), **{metric.name: metric for metric in own}}


def _place(metric: Metric) -> tuple[int, str]:
    """Families in the order in which people look for them, then others by name."""
    family = metric.function.__module__.rpartition(".")[2]
    return (FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)), family


def definitions_hash() -> str:
    """Hash of the source of all definitions: tables that others have made are computed again at the next load."""
    return source_hash(package.__name__)
