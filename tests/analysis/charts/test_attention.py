"""The title of the chart of attention drift: where attention moves most, as far as that is clear."""

import duckdb
import pytest

from failmodes.analysis.charts import attention as module
from failmodes.analysis.charts.attention import drift_sentence
from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.attention import AttentionAtLast, Lead
from failmodes.analysis.statistics.bootstrap import Estimate

NOTHING = AttentionAtLast([], {}, {}, {}, has_mask_null=False)


def lead(corruption: str, value: float, runner_up: str | None = None, low: float = 0.1) -> Lead:
    return Lead(corruption, value, runner_up, Estimate(0.2, low, 0.3) if runner_up else None)


def test_titles_name_where_attention_moves_most_only_where_that_is_clear(
    con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads = {"Alpha": lead("fog", 0.25, "contrast"), "Beta": lead("contrast", 0.1, "fog", low=-0.1)}
    monkeypatch.setattr(module, "attention_at_last", lambda _, e, __: NOTHING._replace(farthest=leads[e.label]))
    text = drift_sentence(con, select_one(con))
    assert "ttention of Alpha moves most under fog: 0.25\u00a0image\u00a0widths" in text.replace(
        " image", "\u00a0image"
    )
    assert "Beta moves 0.10" in text
    assert "not told apart from fog" in text


def test_titles_of_many_models_count_them(
    many_con: duckdb.DuckDBPyConnection, many_selection: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        module,
        "attention_at_last",
        lambda _, e, __: NOTHING._replace(
            farthest=lead("contrast", 0.2, "motion_blur", low=0.1 if e.label < "D" else -0.1)
        ),
    )
    assert "in 3 of 6 models" in drift_sentence(many_con, many_selection)


def test_where_no_image_has_a_shift_the_title_says_so(
    con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "attention_at_last", lambda *_: NOTHING)
    assert drift_sentence(con, select_one(con)).startswith("Too few images")
