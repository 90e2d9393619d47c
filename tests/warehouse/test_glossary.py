"""The glossary names what exists, each term once, and defines no metric a second time."""

import subprocess
import sys

import pytest

from failmodes.warehouse.database.schema_listing import column_rows
from failmodes.warehouse.database.views import relation_names
from failmodes.warehouse.glossary import GLOSSARY, Term, glossary
from failmodes.warehouse.metrics.metric import all_metrics


def test_a_term_stands_once() -> None:
    names = [term.term.lower() for term in GLOSSARY]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("term", [term for term in GLOSSARY if term.column], ids=lambda term: term.term)
def test_the_column_of_a_term_exists(term: Term) -> None:
    relation, _, column = term.column.partition(".")
    assert relation in relation_names()
    if column:
        assert column in {row.column for row in column_rows(None, relation)}


@pytest.mark.parametrize("term", [term for term in GLOSSARY if term.metric], ids=lambda term: term.term)
def test_a_metric_is_defined_by_the_registry_alone(term: Term) -> None:
    metric = all_metrics()[term.metric]
    assert (term.formula, term.source) == ("", "")
    (shown,) = (one for one in glossary() if one.term == term.term)
    assert (shown.formula, shown.source) == (metric.formula, metric.source)
    assert shown.meaning == term.meaning


def test_the_list_loads_no_library() -> None:
    code = "import sys, failmodes.warehouse.glossary; print('numpy' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
