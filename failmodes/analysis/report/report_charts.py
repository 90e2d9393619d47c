"""The charts of a report: their sections, and specifications in each layout without theme and texts."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import duckdb

from failmodes.analysis.charts.registry import draw_selection
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame
from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.render.blocks import Chart
from failmodes.analysis.render.formatting import join_names
from failmodes.runtime.errors import WarehouseError


class Topic(NamedTuple):
    """A section of a report with charts and its strongest findings.

    Attributes:
        key: its name in links, and the section of its kinds of finding.
        title: its heading.
        charts: names of its charts.
    """

    key: str
    title: str
    charts: tuple[str, ...]


LAYOUTS = {"wide": Frame(1120), "page": PAGE, "narrow": Frame(340)}  # report.js chooses by the width of the column
FIRST_SCREEN = "ranking"  # the chart of the first screen
IN_COMPARISON = "differences"  # the chart of each comparison
OF_SHIFTS = "shifts"  # the chart of natural shifts, drawn if there are any
VALUE_CURVES = "curves-over-values"  # the curves over the values of levels, drawn if these have any

TOPICS = (
    Topic("accuracy", "Accuracy curves", ("curves", "accuracy")),
    Topic("predictions", "Confusion and images", ("confusion",)),
    Topic("confidence", "Confidence and calibration", ("calibration",)),
    Topic("abstention", "Abstention and prediction sets", ("abstention",)),
)
MORE_CHARTS = (  # in Details
    "shapes", "distortion-shapes", "distortion", "predictions", "early-warning", "onset",
    "failure-prediction", "attention", "object-attention",
)  # fmt: skip
FINDINGS = {  # headings in Details by the section of kinds of finding
    "accuracy": "Accuracy", "predictions": "Predictions", "confidence": "Confidence",
    "failure-prediction": "Failure prediction", "abstention": "Abstention", "attention": "Attention",
}  # fmt: skip


def draw_charts(
    con: duckdb.DuckDBPyConnection, selection: Selection, names: Iterable[str]
) -> tuple[list[Chart], list[str]]:
    """Charts that can be drawn, and the others with the reasons, those of one reason together."""
    charts = []
    missing = dict[str, list[str]]()
    for name in names:
        try:
            options = {"axis": "value"} if name == VALUE_CURVES else {}
            draw = partial(draw_selection, "curves" if options else name, con, selection, **options)
            charts.append(report_chart(name, draw))
        except WarehouseError as error:
            missing.setdefault(str(error), []).append(name)
    return charts, [f"{join_names(names_of)}: {reason}" for reason, names_of in missing.items()]


def report_chart(name: str, draw: Callable[..., Figure]) -> Chart:
    """A chart in every layout of the page; `draw(frame=…)` draws it."""
    figures = {layout: draw(frame=frame) for layout, frame in LAYOUTS.items()}
    specs = {layout: replace(figure, has_caption=False).to_dict(has_theme=False) for layout, figure in figures.items()}
    datasets = {key: rows for spec in specs.values() for key, rows in spec.pop("datasets", {}).items()}
    for spec in specs.values():
        del spec["usermeta"]
    page = figures["page"]
    return Chart(name, page.title, page.subtitle, datasets, specs, page.source)
