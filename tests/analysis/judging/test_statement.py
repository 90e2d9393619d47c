"""English of statements: what each form says, and what a claim is called where it is stored."""

from typing import Any

import pytest
from statement_forms import FLAT, FORMS, LIMITED

from failmodes.analysis.judging.statement import statement_text, stored_rows
from failmodes.ingest.statements import as_statement, check_claims


@pytest.mark.parametrize(("keys", "english"), FORMS)
def test_every_form_has_its_english(keys: dict[str, Any], english: str) -> None:
    assert statement_text(as_statement(keys)) == english


def test_a_stored_row_is_called_by_its_name() -> None:
    named, plain = check_claims([LIMITED | {"name": "holds in fog"}, FLAT], "study")
    assert [title for title, _ in stored_rows([named, plain])] == [
        "holds in fog",
        "the accuracy curve under fog is flat",
    ]
