"""Charts by name: one module each in `charts`, drawn from a warehouse or from images.

The docstring of a module says what the chart shows. Its function `chart(con, selection, *, frame)` draws a selection;
its function `chart_of_images(request, *, frame)` corrupts images itself. Both return a `Figure`.
"""

import ast
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.resources import files
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from failmodes.analysis.render.formatting import format_count, join_names
from failmodes.runtime.errors import StudyError, WarehouseError, did_you_mean

if TYPE_CHECKING:
    import duckdb

    from failmodes.analysis.charts.style.figure import Figure
    from failmodes.analysis.charts.style.frame import Frame
    from failmodes.analysis.evaluations.selection import Selection
    from failmodes.analysis.images.sample_images import CorruptionRequest

OF_CORRUPTIONS = ("corruption", "corruption_group")  # columns of `corruptions` that a chart can be split by
OF_CLEAN_IMAGES = ("ranking", "confusion", "calibration", "failure-prediction")  # need no others
OF_IMAGES = ("accuracy", "curves", "predictions", "ranking")  # drawn of some of the images, too
MAX_PARTS = 12  # groups of images
RANKING = "ranking"
AXES = ("severity", "value")
PARTS_ABREAST = 2
NO_CHARTS = {"--init--", "registry"}


@cache
def _texts() -> dict[str, str]:
    """The source of each chart, read instead of imported, since importing takes a second."""
    paths = (file for file in files("failmodes.analysis.charts").iterdir() if file.name.endswith(".py"))
    texts = {file.name.removesuffix(".py").replace("_", "-"): file.read_text("utf-8") for file in paths}
    return {name: text for name, text in sorted(texts.items()) if name not in NO_CHARTS}


def warehouse_charts() -> list[str]:
    """Names of charts of a warehouse."""
    return [name for name, text in _texts().items() if "\ndef chart(" in text]


def image_charts() -> list[str]:
    """Names of charts that corrupt images themselves."""
    return [name for name, text in _texts().items() if "\ndef chart_of_images(" in text]


def chart_meaning(name: str) -> str:
    """Description of a chart: the first line of its module."""
    return (ast.get_docstring(ast.parse(_texts()[name])) or "").split("\n")[0]


def chart_meanings() -> dict[str, str]:
    """Every chart with its description."""
    return {name: chart_meaning(name) for name in _texts()}


def complete_chart(incomplete: str) -> list[tuple[str, str]]:
    """Charts, for shell completion."""
    return [(name, meaning) for name, meaning in chart_meanings().items() if name.startswith(incomplete)]


def _function(name: str, function: str) -> Callable[..., "Figure"]:
    """The function of a chart.

    Raises:
        StudyError: unknown chart.
    """
    known = warehouse_charts() if function == "chart" else image_charts()
    if name not in [*_texts()]:  # a list, since the name may not be hashable
        raise StudyError(f"no chart {name!r}: {did_you_mean(str(name), _texts())}")
    if name not in known:
        what = "a warehouse" if function == "chart" else "images"
        raise StudyError(f"the chart {name!r} is not drawn from {what}: choose among {', '.join(known)}")
    module = import_module(f"failmodes.analysis.charts.{name.replace('-', '_')}")
    draw: Callable[..., Figure] = getattr(module, function)
    return draw


def draw_of_images(name: str, request: "CorruptionRequest", frame: "Frame") -> "Figure":
    """Draw a chart that corrupts images itself.

    Raises:
        StudyError, DataError: unknown chart, or images that cannot be read or corrupted.
    """
    return _function(name, "chart_of_images")(request, frame=frame)


def draw_selection(name: str, con: "duckdb.DuckDBPyConnection", selection: "Selection", **options: Any) -> "Figure":
    """Draw a chart of a selection; needs shapes.

    Raises:
        StudyError: unknown chart.
        WarehouseError: the warehouse lacks its data.
    """
    if not selection.corruptions and name not in OF_CLEAN_IMAGES:
        raise WarehouseError("models were evaluated on clean images only")
    return _function(name, "chart")(con, selection, **options)


def draw_from_warehouse(
    path: Path,
    name: str,
    *,
    frame: "Frame",
    models: Sequence[str] = (),
    evaluations: Sequence[str] = (),
    corruptions: Sequence[str] = (),
    published: bool | None = None,
    by: str | None = None,
    axis: str | None = None,
    filter: str = "",
    mixed: bool = False,
) -> "Figure":
    """Draw one chart from a warehouse, with current shapes (see `open_current`).

    Args:
        path: the DuckDB file.
        name: one of `warehouse_charts`.
        frame: its frame.
        models: only these models, by label; for `differences` baseline first.
        evaluations: only these evaluations, by ID or its start; after the models where order matters.
        corruptions: only these corruptions.
        published: draw published models behind; None: if the warehouse has any.
        by: a column of `corruptions`, `evaluation_labels` or `images`, or `class_name`: draw one part per value.
        mixed: rank evaluations that are not comparable too, and name what differs.
        axis: "severity" (the default) or "value" of the levels, for charts over severity that can show both.
        filter: only images that an SQL condition on what is known of them keeps, for OF_IMAGES.

    Raises:
        StudyError: an unknown chart, column, axis, model, evaluation or corruption, or `published`, `axis` or `mixed`
            for a chart without it; or evaluations that are not comparable.
        WarehouseError: the warehouse cannot be read, or lacks the data of the chart.
    """
    from failmodes.analysis.evaluations.selection import select_one
    from failmodes.analysis.judging.stored import open_current
    from failmodes.analysis.statistics.filters import filtered_selection
    from failmodes.analysis.statistics.published import published_curves
    from failmodes.runtime.terminal import note

    options = _options(name, (*models, *evaluations), published, axis)
    ranking = _ranking_options(name, mixed)
    if filter:
        _check_of_images(name, "filter", published)
    with open_current(path) as con:
        selection = select_one(con, models=models, evaluations=evaluations, corruptions=corruptions, **ranking)
        selection = filtered_selection(con, selection, filter)
        if published and published_curves(con, selection).is_empty():
            raise WarehouseError(
                f"no published models on {selection.shared['dataset_label']} under these corruptions: load some with "
                "`failmodes load … --published FILE.csv`; --published-of names their dataset"
            )
        if by is None:
            drawn = draw_selection(name, con, selection, frame=frame, **options)
        else:
            drawn = _split(name, con, selection, by, frame, options)
    for sentence in selection.exclusions:
        note(sentence)
    return replace(drawn, subtitle=" ".join([drawn.subtitle, *selection.exclusions]))


def _options(name: str, named: Sequence[str], published: bool | None, axis: str | None) -> dict[str, Any]:
    """The options of a chart.

    Raises:
        StudyError: unknown chart or axis, or an option that the chart does not have.
    """
    known = signature(_function(name, "chart")).parameters
    if published is not None and "published" not in known:
        raise StudyError(f"chart {name!r} shows no published models: leave out --published")
    options: dict[str, Any] = {"named": named} if "named" in known else {}
    if axis is not None:
        if axis not in AXES:
            raise StudyError(f"no axis {axis!r}: choose {' or '.join(AXES)}")
        if "axis" not in known:
            raise StudyError(f"chart {name!r} has one axis: leave out --axis")
        options["axis"] = axis
    return options | ({} if published is None else {"published": published})


def _ranking_options(name: str, mixed: bool) -> dict[str, Any]:
    """Options of `select_one` for a ranking.

    Raises:
        StudyError: `mixed` for a chart that ranks no models.
    """
    from failmodes.analysis.evaluations.comparability import MIXED_OPTION

    if name == RANKING:
        return {"mixed": mixed, "ranked": True, "on_shared_images": True}
    if mixed:
        raise StudyError(f"chart {name!r} ranks no models: leave out {MIXED_OPTION}")
    return {}


def _split(
    name: str, con: "duckdb.DuckDBPyConnection", selection: "Selection", by: str, frame: "Frame",
    options: dict[str, Any],
) -> "Figure":  # fmt: skip
    """The chart once per value of a column, with one title and caption."""
    import altair as alt

    from failmodes.analysis.charts.style.frame import GAP_PX, lettered
    from failmodes.analysis.charts.style.theme import TITLE_PX

    is_of_images = by not in OF_CORRUPTIONS and by not in selection.shared
    parts = (parts_of_images if is_of_images else parts_by)(con, selection, by)
    if is_of_images:
        _check_of_images(name, "by", options.get("published"))
        if "beside" in signature(_function(name, "chart")).parameters:
            options = options | {"beside": tuple(parts.values())}
    whole = draw_selection(name, con, selection, frame=frame, **options)
    columns = PARTS_ABREAST if frame.is_wide else 1
    width = (frame.width_px - GAP_PX * (columns - 1)) / columns
    plots = [
        draw_selection(
            name,
            con,
            part,
            frame=frame._replace(width_px=width, part=number, has_letters=False),
            **options,
        ).plot.properties(title=alt.Title(lettered(value, number, frame), fontSize=TITLE_PX, anchor="start"))
        for number, (value, part) in enumerate(parts.items())
    ]
    plot = alt.concat(*plots, columns=columns, spacing=GAP_PX)
    return replace(whole, plot=plot, subtitle=f"By {by.replace('_', ' ')}. {whole.subtitle}")


def parts_by(con: "duckdb.DuckDBPyConnection", selection: "Selection", by: str) -> dict[str, "Selection"]:
    """The parts of a selection by the value of a column, of its corruptions or of its evaluations.

    Raises:
        StudyError: the column has a single value.
    """
    value_of: dict[Any, str]
    if by in OF_CORRUPTIONS:
        stored = dict(con.sql(f"select corruption, {by} from corruptions").fetchall())
        field = "corruptions"
        value_of = {corruption: str(stored[corruption]) for corruption in selection.corruptions}
    else:
        field = "evaluations"
        value_of = {evaluation: str(evaluation.facts[by]) for evaluation in selection.evaluations}
    filters: dict[str, Any] = {
        value: {field: tuple(evaluation for evaluation in value_of if value_of[evaluation] == value)}
        for value in value_of.values()
    }
    parts = {value: replace(selection, **changes) for value, changes in filters.items()}
    if len(parts) < 2:
        raise StudyError(f"nothing to split by {by!r}: its only value in this chart is {next(iter(parts))}")
    return parts


def parts_of_images(con: "duckdb.DuckDBPyConnection", selection: "Selection", by: str) -> dict[str, "Selection"]:
    """The parts of a selection by an attribute of its images: each group by name and number of images.

    Raises:
        StudyError: an unknown attribute, or one with a single value or more than MAX_PARTS.
    """
    from failmodes.analysis.statistics.attributes import MISSING, MISSING_NAME, attribute_columns, attribute_groups
    from failmodes.analysis.statistics.filters import filtered_run, filtered_selection

    if by not in (known := attribute_columns(con)):
        columns = (*OF_CORRUPTIONS, *selection.shared, *known)
        raise StudyError(f"no column {by!r}: {did_you_mean(by, columns, f'choose among {join_names(columns)}')}")
    images = filtered_run(con, selection.ids[0], selection.filter).every_image
    groups = attribute_groups(con, selection.shared["dataset_id"], by, images)
    conditions = dict(zip(groups.names, groups.conditions, strict=True))
    if len(groups.images(MISSING)):
        conditions[MISSING_NAME] = groups.missing_condition
    if not 2 <= len(conditions) <= MAX_PARTS:
        values = f"its only value in this chart is {next(iter(conditions))}"
        more = f"it has {len(conditions):,} values, a chart shows at most {MAX_PARTS}: choose some with --filter"
        raise StudyError(f"nothing to split by {by!r}: {values if len(conditions) < 2 else more}")
    parts = {name: filtered_selection(con, selection, condition) for name, condition in conditions.items()}
    return {f"{name} ({format_count(part.image_count, 'image')})": part for name, part in parts.items()}


def _check_of_images(name: str, option: str, published: bool | None) -> None:
    """Refuse an option for a chart whose values are stored of all images alone, or with published models."""
    if published:
        raise StudyError(f"published models are of all images: leave out --published, or {option}")
    if name not in OF_IMAGES:
        raise StudyError(
            f"chart {name!r} is of all images: leave out {option} (charts of some: {', '.join(OF_IMAGES)})"
        )
