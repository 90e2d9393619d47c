"""The glossary names what exists, each term once, and defines no metric a second time."""

import subprocess
import sys

from failmodes.warehouse.database.schema_listing import column_rows
from failmodes.warehouse.database.views import relation_names
from failmodes.warehouse.glossary import GLOSSARY, glossary
from failmodes.warehouse.metrics.metric import all_metrics


def test_a_term_stands_once_and_what_it_names_exists() -> None:
    shown = {term.term: term for term in glossary()}
    assert len({name.lower() for name in shown}) == len(GLOSSARY)
    for term in GLOSSARY:
        relation, _, column = term.column.partition(".")
        assert relation in ("", *relation_names()), term.term
        assert not column or column in {row.column for row in column_rows(None, relation)}, term.term
        if term.metric:  # which the registry alone defines
            metric = all_metrics()[term.metric]
            assert (term.formula, term.source) == ("", "")
            assert shown[term.term] == term._replace(formula=metric.formula, source=metric.source)


def test_the_list_loads_no_library() -> None:
    code = "import sys, failmodes.warehouse.glossary; print('numpy' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
