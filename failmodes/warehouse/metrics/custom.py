"""Users' own metrics: functions, decorated or not, in a file of a study or in a program."""

import hashlib
import importlib.util
import inspect
import math
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from failmodes.runtime.errors import StudyError, did_you_mean, shown
from failmodes.runtime.storage.locations import read_toml, study_files
from failmodes.warehouse.metrics.accuracy import worst_slice
from failmodes.warehouse.metrics.metric import (
    UNBOUNDED,
    USERS_PARAMETERS,
    Interval,
    Metric,
    all_metrics,
    described_by,
    known_metrics,
    parameters_of,
)

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
KEY = "metrics"  # of a study file, and of a file of a gate's rules


def metric(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    title: str | None = None,
    unit: str = "score",
    higher_is_better: bool | None = None,
    range: tuple[float, float] = UNBOUNDED,  # noqa: A002  # as in tables and `failmodes schema`
    preds: Literal["classes", "probabilities"] = "classes",
    formula: str = "",
    source: str = "",
) -> Any:
    """Make a metric from a function of predictions and labels, as in torchmetrics.

        @failmodes.metric(higher_is_better=True, range=(-1, 1))
        def kappa(preds, target):
            return sklearn.metrics.cohen_kappa_score(target, preds)

    The function takes `preds` and `target` by name: NumPy arrays, or tensors where its parameters are annotated as
    `torch.Tensor`. It returns one number, whose interval is bootstrapped with 200 resamples; or one number per
    image, (N,), whose mean is the metric, with NaN for images that take no part. The metric is then in `cell_metrics`,
    `compare` and `gate` like all others.

    Args:
        function: the function.
        name: in tables and rules, a-z, 0-9 and _; default: the function's name.
        title: in tables; default: the name.
        unit: of its values, such as "nats"; "share" is shown as a percentage.
        higher_is_better: None if neither direction is, or unknown: `gate` then takes no `worse_by_at_most`.
        range: smallest and largest possible value, to which intervals are clipped.
        preds: "classes", (N,) predicted classes from 0; or "probabilities", (N, C) the softmax, which needs all logits
            in the results. Images whose logits are not finite take no part.
        formula: in plain characters, for `failmodes schema`.
        source: paper or standard that defines it.

    Returns:
        The metric, which can be called as the function; or a decorator.

    Raises:
        StudyError: the function has unknown parameters, or an argument is invalid.
    """
    if function is None:
        return partial(
            metric, name=name, title=title, unit=unit, higher_is_better=higher_is_better, range=range, preds=preds,
            formula=formula, source=source,
        )  # fmt: skip
    if isinstance(function, Metric):
        return function
    if not callable(function):
        raise StudyError(f"a metric is a function such as f(preds, target) (given: {shown(function)})")
    own = _checked_name(name or _name_of(function))
    if preds not in ("classes", "probabilities"):
        raise StudyError(f"metric {own!r}: preds is {preds!r}: expected 'classes' or 'probabilities'")
    _check_parameters(own, function)
    least, most = _range_of(own, range)
    return Metric(
        own, title or own.replace("_", " "), function, unit=unit, higher_is_better=higher_is_better,
        range=(least, most), columns=("label", "logits" if preds == "probabilities" else "predicted"),
        formula=formula or described_by(_unbound(function)), source=source,
        preds=preds, interval=Interval(is_continuous=not (math.isfinite(least) and math.isfinite(most))), is_users=True,
        version=_version_of(function),
    )  # fmt: skip


def metrics_of_studies(locations: Iterable[str | Path | None]) -> list[Metric] | None:
    """The metrics of the study files among some locations; None if none is a study file.

    Args:
        locations: as for `find_results`.

    Raises:
        StudyError: a study or a file of metrics cannot be read.
    """
    studies = study_files(locations)
    found = [one for path in studies for one in read_metrics(read_toml(path).get(KEY, []), path.parent, str(path))]
    return _distinct(found, KEY) if studies else None


def named_metrics(names: Iterable[Any], study: str | Path | None = None) -> list[Metric]:
    """Metrics by name, by Python file, or as functions, and those of a study.

    Args:
        names: each a metric's name, FILE.py, or a function.
        study: a study file, whose metrics are included; other locations have none.

    Raises:
        StudyError: a metric is unknown, or a file cannot be read.
    """
    of_study = [] if study is None or Path(study).suffix != ".toml" else metrics_of_studies([study]) or []
    known = known_metrics(of_study)
    found = list(of_study)
    for name in names:
        if not isinstance(name, str):
            found.append(metric(name))
        elif name.endswith(".py"):
            found += read_metrics([name], Path(), "metric")
        elif name in known:
            found.append(known[name])
        elif (of_groups := worst_slice(name)) is not None:
            found.append(of_groups)
        else:
            hint = did_you_mean(name, known, '`failmodes query "from metrics"` lists them')
            raise StudyError(f"unknown metric {name[:100]!r}: {hint}")
    return _distinct(list(dict.fromkeys(found)), KEY)


def user_metrics(functions: Iterable[Any]) -> list[Metric]:
    """Functions, decorated or not, as metrics.

    Raises:
        StudyError: one is not a metric, or two have the same name.
    """
    found = [metric(function) for function in functions]
    for one in found:
        if not one.is_users:
            raise StudyError(f"metrics: {one.name!r} is built in, leave it out")
    return _distinct(found, "metrics")


def read_metrics(files: Any, folder: Path, origin: str) -> list[Metric]:
    """The decorated metrics of the files of a study, in order. Runs these files.

    Args:
        files: the value of the key `metrics`: a list of paths.
        folder: base of relative paths.
        origin: the study, for errors.

    Raises:
        StudyError: a file is missing, fails, or decorates nothing; or two metrics have the same name.
    """
    if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
        raise StudyError(f'{origin}: {KEY}: expected a list of files such as ["metrics.py"] (given: {shown(files)})')
    found: list[Metric] = []
    for file in files:
        path = folder / file
        if not path.is_file():
            raise StudyError(
                f"{origin}: {KEY}: {path} does not exist: expected Python with functions under @failmodes.metric"
            )
        version = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        own = [one for one in vars(_module_of(path, origin)).values() if isinstance(one, Metric) and one.is_users]
        if not own:
            raise StudyError(f"{origin}: {KEY}: {path} decorates no function with @failmodes.metric")
        for one in dict.fromkeys(own):
            object.__setattr__(one, "version", version)  # of the whole file, whose helpers the function may use
        found += dict.fromkeys(own)
    return _distinct(found, f"{origin}: {KEY}")


def _module_of(path: Path, origin: str) -> Any:
    name = f"failmodes_metrics_{hashlib.md5(str(path.absolute()).encode(), usedforsecurity=False).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise StudyError(f"{origin}: {KEY}: {path}: expected a Python file, such as metrics.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look it up here
    try:
        exec(compile(path.read_bytes(), path, "exec"), vars(module))  # not a cached older version
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from error
    except Exception as error:
        raise StudyError(f"{path} raised {type(error).__name__}: {error}") from error
    return module


def _distinct(found: list[Metric], origin: str) -> list[Metric]:
    names = [one.name for one in found]
    for own in names:
        if names.count(own) > 1:
            raise StudyError(f"{origin}: two metrics are called {own!r}: set another name= for one")
    return found


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise StudyError(
            f"metric {name[:100]!r}: expected a name of a-z, 0-9 and _, such as {_suggested(name)!r}: name=…"
        )
    if name in all_metrics():
        raise StudyError(f"metric {name!r}: a built-in metric has this name: choose another, such as name='my_{name}'")
    return name


def _check_parameters(name: str, function: Any) -> None:
    try:
        parameters = parameters_of(function)
    except (TypeError, ValueError) as error:
        raise StudyError(f"metric {name!r}: expected a function such as f(preds, target) ({error})") from error
    if not parameters:
        raise StudyError(f"metric {name!r}: its function has no parameters: expected f(preds, target)")
    unknown = [one for one in parameters if one not in USERS_PARAMETERS]
    if unknown:
        raise StudyError(
            f"metric {name!r}: its function needs {', '.join(unknown)}: expected only preds and target; bind others "
            "with functools.partial"
        )


def _unbound(function: Any) -> Any:
    """The function behind `functools.partial` objects."""
    while isinstance(function, partial):
        function = function.func
    return function


def _name_of(function: Any) -> str:
    own = _unbound(function)
    return str(getattr(own, "__name__", type(own).__name__))


def _suggested(name: str) -> str:
    found = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")
    return found if _NAME.fullmatch(found) else "my_metric"


def _range_of(name: str, given: Any) -> tuple[float, float]:
    if isinstance(given, Sequence) and len(given) == 2 and all(isinstance(end, (int, float)) for end in given):
        least, most = map(float, given)
        if least < most and not math.isnan(least + most if math.isfinite(least + most) else 0.0):
            return least, most
    raise StudyError(
        f"metric {name!r}: range: expected the smallest and largest value, such as (0, 1) (given: {shown(given)})"
    )


def _version_of(function: Any) -> str:
    """Hash of a function: its source, or else its code, and the arguments bound to it."""
    bound: list[str] = []
    while isinstance(function, partial):
        bound.append(repr((function.args, sorted(function.keywords.items()))))
        function = function.func
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        text = repr(function) if code is None else f"{code.co_code!r}{code.co_consts!r}{code.co_names!r}"
    cells = getattr(function, "__closure__", None) or ()
    closed = [repr(cell.cell_contents) for cell in cells if isinstance(cell.cell_contents, (int, float, str, bool))]
    return hashlib.md5(repr([text, bound, closed]).encode(), usedforsecurity=False).hexdigest()
