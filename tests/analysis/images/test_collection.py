"""Which pictures a filter gives, how many, and what is said of them; images along their curves."""

from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pytest
from pictured_results import LEVELS, Pictured

from failmodes.analysis.images.collection import changed_pictures, find_curves, find_pictures
from failmodes.analysis.images.rows import matching_rows
from failmodes.runtime.errors import LimitError, QueryError, StudyError
from failmodes.warehouse.database.connection import open_warehouse

NO_BREAK = "\N{NO-BREAK SPACE}"


@pytest.mark.test_all
def test_a_filter_orders_limits_and_counts(made: Pictured) -> None:
    sheet = find_pictures(
        made.warehouse, "corruption = 'fog' and severity = 2.5 and not correct order by confidence desc limit 3"
    )
    assert [(p.row.image_id, p.row.severity, p.row.correct) for p in sheet.all] == [
        (5, Decimal("2.5"), False), (5, Decimal("2.5"), False), (4, Decimal("2.5"), False),
    ]  # fmt: skip
    assert sheet.headline.replace(NO_BREAK, " ").startswith("12 images match: corruption = 'fog' and severity = 2.5")
    assert sheet.source == "Data: Patterns; subset: all 6 images; corruptions: cifar-c recipe, seed 0."
    assert sheet.notes == []


@pytest.mark.parametrize(
    ("condition", "shown", "note"),
    [
        ("true", 24, "60 images match, the first 24 are shown: end the filter with `limit N` for more"),
        ("true limit 50", 50, None),
        ("true limit 1000", 60, None),
        ("corruption = 'fog'", 24, None),
        ("true -- limit 3", 24, "60 images match, the first 24 are shown: end the filter with `limit N` for more"),
        ("true qualify row_number() over (order by image_id) <= 4", 4, None),
    ],
)
@pytest.mark.test_all
def test_a_sheet_is_bounded_and_says_so(made: Pictured, condition: str, shown: int, note: str | None) -> None:
    sheet = find_pictures(made.warehouse, condition)
    assert len(sheet.all) == shown
    assert [line.replace(NO_BREAK, " ") for line in sheet.notes] == ([] if note is None else [note])


@pytest.mark.test_all
@pytest.mark.parametrize(
    ("condition", "line"),
    [
        ("true; drop table prediction_facts", "2 statements, expected one"),
        ("true union all select 1", "the filter adds another SELECT"),
        ("true) or (true", "syntax error"),
        ("corruptoin = 'fog'", 'Candidate bindings: "corruption"'),
        ("exists (from read_csv('/etc/passwd'))", "Permission Error"),
        ("getenv('HOME') = ''", "getenv"),
        ("(select count(*) from range(1e9::bigint) a, range(1e9::bigint) b) > 0", "stopped after 0.5 s"),
    ],
)
def test_a_filter_that_is_none_or_reads_elsewhere_is_one_line(made: Pictured, condition: str, line: str) -> None:
    before = made.warehouse.read_bytes()
    with pytest.raises((QueryError, LimitError)) as raised:
        find_pictures(made.warehouse, condition, timeout_s=0.5 if "range" in condition else 60)
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)
    assert made.warehouse.read_bytes() == before


@pytest.mark.test_all
def test_an_image_along_its_curve_a_row_a_model(made: Pictured) -> None:
    curves = find_curves(made.warehouse, [1, 0, 1], corruptions=["contrast"])
    found = [[(p.row.image_id, p.row.model_label, float(p.row.severity)) for p in row] for row in curves.rows]
    assert found == [
        [(image, label, severity) for severity in (0.0, 1.0, 2.5)] for image in (1, 0) for label in ("Alpha", "Beta")
    ]
    one = find_curves(made.warehouse, [1], corruptions=["contrast"], models=["Beta"])
    assert one.headline == "Image 1 under contrast (true class: dog): Beta first misclassifies it at severity 1"
    assert [p.center for p in curves.rows[2]] == [(0.25, 0.5)] * 3
    assert [p.center for p in curves.rows[0]] == [None] * 3  # its map is empty
    assert "dot: its centroid, stored for 6 of 12" in curves.details


@pytest.mark.test_all
@pytest.mark.parametrize(
    ("images", "options", "line"),
    [
        ([6], {"corruptions": ["fog"]}, "image 6 was not evaluated: 6 images were, from 0 to 5"),
        ([1], {}, "name the corruption, such as fog"),
        ([1], {"corruptions": ["foog"]}, "no corruption 'foog' in this warehouse"),
        ([1], {"corruptions": ["fog"], "models": ["Gamma"]}, "no model 'Gamma' in this warehouse"),
    ],
)
def test_a_curve_that_is_not_there_is_one_line(made: Pictured, images: list[int], options: dict, line: str) -> None:
    with pytest.raises(StudyError, match=line):
        find_curves(made.warehouse, images, **options)


@pytest.mark.test_all
def test_a_condition_may_ask_for_what_is_correct_when_clean(handed: Path) -> None:
    """As two sets of predictions give it, put side by side by hand."""
    warehouse = handed / "warehouse.duckdb"
    with duckdb.connect(str(warehouse), read_only=True) as con:
        rows = con.execute(
            "select evaluation_id, image_id, corruption, severity, predicted = label from prediction_facts"
        )
        predictions = {(e, i, c, float(s)): correct for e, i, c, s, correct in rows.fetchall()}
    expected = {
        (e, i)
        for (e, i, corruption, severity), correct in predictions.items()
        if (corruption, severity) == ("brightness", 5) and not correct and predictions[e, i, "none", 0]
    }
    found = matching_rows(
        warehouse,
        "corruption = 'brightness' and severity = 5 and clean_correct and not correct",
    )
    assert {(row.evaluation_id, row.image_id) for row in found.rows} == expected
    incorrect = [1 for (*_, corruption, severity), is_correct in predictions.items()
                 if (corruption, severity) == ("brightness", 5) and not is_correct]  # fmt: skip
    assert 0 < len(found.rows) < len(incorrect)


def first_evaluation(con: duckdb.DuckDBPyConnection) -> str:
    ((evaluation_id,),) = con.execute("select min(evaluation_id) from evaluations").fetchall()
    return evaluation_id


@pytest.mark.test_all
def test_strips_of_changed_images_lead_from_the_clean_image_to_those_that_were_evaluated(made: Pictured) -> None:
    with open_warehouse(made.warehouse) as con:
        cells = {0: ("none", 0.0), 2: ("fog", 1.0), 3: ("contrast", 2.5)}
        found, reason = changed_pictures(con, first_evaluation(con), cells)
    assert (sorted(found), reason) == ([0, 2, 3], "")
    severities = {image: [float(one.row.severity) for one in strip] for image, strip in found.items()}
    assert severities == {0: [0], 2: [0, 1], 3: [0, 1, 2.5]}, "of fractions that one alone which was asked for"
    for image, corruption in ((2, "fog"), (3, "contrast")):
        np.testing.assert_array_equal(found[image][0].pixels, made.dataset.images[image])
        for level, picture in zip(LEVELS, found[image][1:], strict=False):
            np.testing.assert_array_equal(picture.pixels, made.corrupted[corruption, level][image])
            assert (picture.row.corruption, picture.row.correct) == (corruption, False)
