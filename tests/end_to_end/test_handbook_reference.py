"""The pages that the handbook makes from the code leave nothing out, and explain all of it."""

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

import failmodes
from failmodes.analysis.charts.registry import image_charts, warehouse_charts
from failmodes.cli import app
from failmodes.evaluate.study.study_schema import Study
from failmodes.sql import QUERIES, read_sql
from failmodes.warehouse.database.views import view_definitions
from failmodes.warehouse.database_schema import TABLES
from failmodes.warehouse.metrics.metric import all_metrics

pytestmark = pytest.mark.test_all
HANDBOOK = Path(__file__).parents[2] / ".handbook"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(HANDBOOK))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(HANDBOOK) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def page(module: str, function: str) -> str:
    text: str = getattr(import_module(module), function)()
    return text


def test_every_command_has_its_arguments_and_options() -> None:
    text = page("reference_commands", "commands_page")
    commands: Any = typer.main.get_command(app)
    for name, command in commands.commands.items():
        _, _, part = text.partition(f"### {name}\n")
        assert part, name
        for parameter in command.params:
            if not parameter.hidden:
                shown = parameter.opts[0] if parameter.opts[0].startswith("-") else parameter.metavar or parameter.name
                assert shown.lower() in part.partition("\n### ")[0].lower(), (name, shown)
                assert parameter.help, (name, shown)


def tables_of(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A table of the study file and all within it."""
    yield model
    for field in model.model_fields.values():
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            for inner in (part, *getattr(part, "__args__", ())):
                if isinstance(inner, type) and issubclass(inner, BaseModel):
                    yield from tables_of(inner)


def test_every_key_of_a_study_has_value_and_meaning() -> None:
    pytest.importorskip("torch")  # of which attention methods are made
    reference = import_module("reference_study")
    documented = [
        form for model in reference.TABLES.values() for form in (model if isinstance(model, tuple) else (model,))
    ]
    assert set(tables_of(Study)) <= set(documented)
    for model in documented:
        for key, value, _, meaning in reference.key_rows(model):
            assert value, (model.__name__, key)
            assert meaning, (model.__name__, key)
    text = reference.study_page()
    for name, meaning in reference.method_meanings().items():
        assert f"| `{name}` | {meaning} |" in text


def test_every_table_and_view_has_its_columns() -> None:
    text = page("reference_schema", "schema_page")
    for name in [*TABLES, *view_definitions()]:
        assert f"### {name} {{ #{name} }}" in text
    for name, table in TABLES.items():
        part = text.partition(f"### {name} {{")[2].partition("\n### ")[0]
        assert all(f"| `{column.name}` |" in part for column in table.columns)


def test_every_metric_is_explained() -> None:
    reference = import_module("reference_metrics")
    text = reference.metrics_page()
    assert {reference.topic_of(metric) for metric in all_metrics().values()} == set(reference.TITLES)
    for name, metric in all_metrics().items():
        (row,) = (line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"| {metric.title} | {metric.unit} |" in row
        assert metric.formula, name


def test_charts_queries_names_and_errors_are_all_there() -> None:
    charts = page("reference_charts", "charts_page")
    assert all(f"| `{name}` |" in charts for name in {*warehouse_charts(), *image_charts()})
    queries = page("reference_charts", "queries_page")
    assert all(f"## @{name} " in queries for name in read_sql(QUERIES))
    errors = page("reference_errors", "errors_page")
    public = [name for name in failmodes.__all__ if not name.startswith("__")]
    assert all(f"| `{name}` |" in errors for name in public if name.endswith("Error"))
    pytest.importorskip("torch")  # of which one of the names is a subclass
    python = page("reference_python", "python_page")
    assert all(f".{name}\n" in python for name in public if not name.endswith("Error"))


def test_each_guarantee_of_the_security_page_names_tests() -> None:
    page = (HANDBOOK.parent / "SECURITY.md").read_text(encoding="utf-8")
    table = page.split("| input | guarantee | mechanism | tests |\n")[1].split("\n\n")[0].splitlines()[1:]
    tests = {path.name for path in (HANDBOOK.parent / "tests").rglob("test_*.py")}
    named = [set(re.findall(r"`(test_\w+\.py)`", row.rsplit(" | ", 1)[1])) for row in table]
    assert len(named) > 20
    assert all(named)
    assert set.union(*named) <= tests


def test_links_out_of_docs_are_rewritten() -> None:
    mended = import_module("repository_pages").with_inner_links
    pages = {"index.md", "gate.md", "tutorials/two_models.md", "project/security.md"}
    text = "[a](gate.md#x) [`b`](../sql) [c](../SECURITY.md) [d](tutorials/two_models.ipynb) [e](ftp:e) `[f](g)`"
    assert mended(text, "asking.md", pages) == (
        "[a](gate.md#x) `b` [c](project/security.md) [d](tutorials/two_models.md) [e](ftp:e) `[f](g)`"
    )
    assert mended("[a](docs/gate.md)", "project/security.md", pages) == "[a](../gate.md)"
    assert mended("```\n[b](../sql)\n```\n", "asking.md", pages) == "```\n[b](../sql)\n```\n"
