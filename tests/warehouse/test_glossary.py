"""The glossary names what exists, each term once."""

import pytest

from failmodes.warehouse.database.relations import relation_names
from failmodes.warehouse.database.schema_listing import column_rows
from failmodes.warehouse.glossary import GLOSSARY, Term


def test_a_term_stands_once() -> None:
    names = [term.term.lower() for term in GLOSSARY]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("term", [term for term in GLOSSARY if term.column], ids=lambda term: term.term)
def test_the_column_of_a_term_exists(term: Term) -> None:
    relation, _, column = term.column.partition(".")
    assert relation in relation_names()
    if column:
        assert column in {row.column for row in column_rows(None, relation)}
