"""Reference page of all metrics, from their registry."""

from itertools import groupby

import duckdb
from markdown_text import code, table

from failmodes.warehouse.database.tables import create_tables
from failmodes.warehouse.database.views import install_views, view_definitions
from failmodes.warehouse.metrics.metric import Metric, all_metrics

INTRODUCTION = """# Metrics

`failmodes load` computes every metric here. `cell_metrics` has one row per cell, metric and score: the value, its 95%
interval over images, and the number of images. Listed is the interval of a single cell. An undefined metric has no row.
The last column lists views that have a column of that name. `failmodes schema METRIC` prints the same in a terminal;
`from metrics` lists all metrics in SQL. See [metrics](../metrics.md) to query them and to add your own.

Attention metrics describe the map of the class predicted on the clean image; names ending in `_of_prediction`, that of
the class predicted on the corrupted image. `failmodes gate` and `failmodes compare --metric NAME` accept every metric.
"""
NO_INTERVAL = "\nNo interval in `cell_metrics`, because it takes 200 resamples (`compare` and `gate` compute it): "
TITLES = {
    "accuracy": "Accuracy and predictions",
    "calibration": "Calibration",
    "temperature": "Temperature scaling",
    "failure_prediction": "Failure prediction",
    "abstention": "Abstention at a threshold",
    "conformal": "Conformal prediction sets",
    "transitions": "Changes from clean, onset and distortion",
    "attention": "Attention",
}
HEADER = ("name", "meaning", "unit", "range", "better", "formula", "interval", "source", "views")
_COLUMNS = "select column_name, table_name from duckdb_columns() where not internal order by all"


def metrics_page() -> str:
    """Return Markdown with one heading per topic and one row per metric."""
    with duckdb.connect() as con:
        create_tables(con)
        install_views(con)
        columns = con.execute(_COLUMNS).fetchall()
    views = view_definitions().keys()
    parts = [INTRODUCTION]
    for topic, metrics in groupby(sorted(all_metrics().values(), key=_place), topic_of):
        parts.append(f"## {TITLES.get(topic, topic.replace('_', ' ').capitalize())}\n")
        rows = [_row(metric, [view for name, view in columns if name == metric.name and view in views])
                for metric in metrics]  # fmt: skip
        parts.append(table(HEADER, rows))
    slow = [code(metric.name) for metric in all_metrics().values() if not metric.interval.is_stored]
    parts.append(f"{NO_INTERVAL}{', '.join(slow)}.\n")
    return "\n".join(parts)


def topic_of(metric: Metric) -> str:
    """Return the name of the module that defines a metric."""
    return metric.function.__module__.rpartition(".")[2]


def _place(metric: Metric) -> tuple[int, str]:
    topic = topic_of(metric)
    return list(TITLES).index(topic) if topic in TITLES else len(TITLES), topic


def _row(metric: Metric, views: list[str]) -> tuple[str, ...]:
    least, most = (f"{end:g}".replace("inf", "∞") for end in metric.range)
    scores = f"; for each score: {', '.join(map(code, metric.scores))}" if metric.scores else ""
    links = ", ".join(f"[{code(view)}](schema.md#{view})" for view in views)
    return (
        code(metric.name), metric.title, metric.unit, f"{least} to {most}", metric.better, f"{metric.formula}{scores}",
        metric.interval.method, metric.source, links,
    )  # fmt: skip
