"""Reference pages of charts and saved queries, from the chart modules and query files."""

from markdown_text import code, table

from failmodes.analysis.charts.registry import chart_meaning, image_charts, warehouse_charts
from failmodes.analysis.report.report_charts import MORE_CHARTS, TOPICS
from failmodes.sql import QUERIES, first_comment, read_sql

CHARTS_INTRODUCTION = """# Charts

`failmodes chart NAME WAREHOUSE --output NAME.svg`, or `w.chart("NAME")` in Python. The title of a chart is its main
finding, with the interval. See [figures](../figures.md) for width on paper and the meaning of colors.
"""
QUERIES_INTRODUCTION = """# Saved queries

`failmodes query @NAME WAREHOUSE` runs a saved query, and `failmodes query --list` lists them. Each is one SQL file, a
starting point for your own query.
"""


def charts_page() -> str:
    """Return Markdown with one row per chart."""
    titles = {name: topic.title for topic in TOPICS for name in topic.charts} | dict.fromkeys(MORE_CHARTS, "Details")
    of_warehouses = [(code(name), chart_meaning(name), titles.get(name, "")) for name in warehouse_charts()]
    of_images = [(code(name), chart_meaning(name)) for name in image_charts()]
    return "\n".join(
        [
            CHARTS_INTRODUCTION,
            "## Charts of a warehouse\n",
            table(("name", "shows", "part of the report"), of_warehouses),
            "## Charts of images\n",
            "They corrupt images and need no warehouse; options: `--recipe`, `--image`, `--seed`, `--severity`.\n",
            table(("name", "shows"), of_images),
        ]
    )


def queries_page() -> str:
    """Return Markdown with the question and SQL of each saved query."""
    queries = read_sql(QUERIES)
    lines = [QUERIES_INTRODUCTION]
    lines.append(
        table(("name", "question"), [(f"[`@{name}`](#{name})", first_comment(sql)) for name, sql in queries.items()])
    )
    for name, sql in queries.items():
        lines.append(f"## @{name} {{ #{name} }}\n\n```sql\n{sql.strip()}\n```\n")
    return "\n".join(lines)
