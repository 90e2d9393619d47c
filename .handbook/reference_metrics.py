"""The page of all metrics, from their registry."""

from itertools import groupby

import duckdb
from markdown_text import code, table

from failmodes.warehouse.database.tables import create_tables
from failmodes.warehouse.database.views import install_views, view_definitions
from failmodes.warehouse.metrics.metric import Metric, all_metrics

INTRODUCTION = """# Metrics

Every metric that `failmodes load` computes. `cell_metrics` has a row for each cell and metric (and score): the value,
its 95% interval over images, and the number of images that take part. There is no row where a metric is not defined.
The last column lists views with a column of that name. `failmodes schema METRIC` prints the same in a terminal, and
`from metrics` lists all in SQL. [How to query them, and how to add your own](../metrics.md).

A name that ends in `_of_prediction` is of the map of the class predicted on the corrupted image; without it, of the
class predicted on the clean one. `failmodes gate` limits any of them, `failmodes compare --metric NAME` compares it.
"""
NO_INTERVAL = "\nNo interval in `cell_metrics`, since it takes 200 computations (`compare` and `gate` compute it): "
TITLES = {
    "accuracy": "Accuracy and predictions",
    "calibration": "Calibration",
    "temperature": "Temperature scaling",
    "failure_prediction": "Failure prediction",
    "transitions": "Changes from clean, onset and distortion",
    "attention": "Attention",
}
HEADER = ("name", "meaning", "unit", "range", "better", "formula", "source", "views")
_COLUMNS = "select column_name, table_name from duckdb_columns() where not internal order by all"


def metrics_page() -> str:
    """Markdown: a heading a topic, a row a metric."""
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
    slow = [code(metric.name) for metric in all_metrics().values() if not metric.is_stored_with_interval]
    parts.append(f"{NO_INTERVAL}{', '.join(slow)}.\n")
    return "\n".join(parts)


def topic_of(metric: Metric) -> str:
    """The module that defines a metric."""
    return metric.function.__module__.rpartition(".")[2]


def _place(metric: Metric) -> tuple[int, str]:
    topic = topic_of(metric)
    return list(TITLES).index(topic) if topic in TITLES else len(TITLES), topic


def _row(metric: Metric, views: list[str]) -> tuple[str, ...]:
    least, most = (f"{end:g}".replace("inf", "∞") for end in metric.range)
    scores = f"; of each score: {', '.join(map(code, metric.scores))}" if metric.scores else ""
    links = ", ".join(f"[{code(view)}](schema.md#{view})" for view in views)
    return (
        code(metric.name), metric.title, metric.unit, f"{least} to {most}", metric.better, f"{metric.formula}{scores}",
        metric.source, links,
    )  # fmt: skip
