"""Rows in a terminal: within its width, words whole while that is possible, nothing lost, no control."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from failmodes.analysis.render.row_formats import cell_text, format_rows

VALUES = {
    None: "null", True: "true", 0.1 + 0.2: "0.3", 1.0000001: "1.0", 12345.678901: "12345.678901", 1e-9: "1.0000e-09",
    float("nan"): "nan", Decimal("2.500"): "2.5", 7: "7", "[bold]a[/]": "[bold]a[/]", b"x": "b'x'",
    tuple(range(12)): "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …]", "x" * 1001: "x" * 1000 + "…", "霧": "霧",
    datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC): "2026-01-02 03:04:05+00:00",
}  # fmt: skip


@pytest.mark.parametrize(("value", "text"), VALUES.items())
def test_every_kind_of_value_has_a_text(value: object, text: str) -> None:
    assert cell_text(value) == text


@pytest.mark.parametrize("vertical", [False, True])
@pytest.mark.parametrize("text", ["\x1b[2J", "a\u202eb", "\x9b31m", "::error::x", "##[error]x", "[red]x[/]", ":smile:"])
def test_no_value_acts_on_a_terminal_or_a_ci_runner(text: str, vertical: bool) -> None:
    shown = format_rows([text], [(text,)], 40, vertical=vertical)
    assert all(line.isprintable() and not line.strip().startswith("::") for line in shown.splitlines())
    assert "##[" not in shown
    assert text in shown or not text.isprintable() or "##" in text or "::" in text


TEXTS = st.text(st.characters(categories=["L", "N"], include_characters=" _-"), max_size=30)


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=4), st.integers(40, 120))
def test_no_letter_is_lost_and_no_line_too_wide(rows: list[tuple[str, str, str]], width: int) -> None:
    text = format_rows(["first_name", "second", "third"], rows, width)
    assert max(map(cell_len, text.splitlines())) <= width
    letters = "".join("".join(row) for row in rows).replace(" ", "")
    assert all(text.count(letter) >= letters.count(letter) for letter in set(letters))
