"""What `make unchanged` finds, and what it takes for the same; scenarios are not run here."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from comparison import Compared, compare
from expectations import Expectations, read_expectations
from side import Side
from sides import ALL_SCENARIOS, HERE, Broken, check_stated

pytestmark = pytest.mark.test_all
IDS = ("aaaa000000000001", "bbbb000000000002")
OTHER_IDS = ("ffff000000000009", "eeee000000000008")  # in another order
TEXT = "loaded in 3.1 s\nid {}\n{} 61.7 points under fog.\n"
CELLS = [{"corruption": "fog", "n": 5}, {"corruption": "snow", "n": 6}]
PAGE = "<!doctype html><h2>Curves</h2><p>ResNet drops 61.7 points under fog.</p>{}"
CHART = {"encoding": {"x": {"title": "Severity"}}, "datasets": {"data-" + "0" * 32: [{"severity": 1, "accuracy": 0.5}]}}


def rows(ids: tuple[str, str] = IDS, accuracy: float = 0.8461538461538461) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "evaluation_id": [ids[0], ids[0], ids[1]],
            "model_label": ["ResNet", "ResNet", "ViT"],
            "dataset_label": ["photographs"] * 3,
            "severity": [1, 2, 1],
            "accuracy": [accuracy, 0.5, 0.25],
        }
    )


def pair(
    ids: tuple[str, str] = IDS, names: tuple[str, str] = ("ResNet", "ViT"), only: tuple[int, int] = (3, 5)
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "evaluation_id_a": [ids[0]],
            "evaluation_id_b": [ids[1]],
            "model_label_a": [names[0]],
            "model_label_b": [names[1]],
            "only_a_correct_count": [only[0]],
            "only_b_correct_count": [only[1]],
        }
    )


def answer(side: Side, **changes: Any) -> None:
    """What both sides answer, but for the changes."""
    told: dict[str, Any] = {
        "rows": rows(), "pair": pair(), "text": TEXT.format(IDS[0], "ResNet drops"),
        "json": {"verdict": "supported", "elapsed_s": 1.5, "cells": CELLS},
        "chart": CHART, "page": PAGE.format(""), "help": "--timeout SECONDS  Limit, such as 10 s. [default: 3600]",
    } | changes  # fmt: skip
    side.rows("w.rows", told["rows"].to_arrow())
    side.rows("w.pair", told["pair"].to_arrow())
    side.text("load.out", told["text"])
    side.text("fixed.help", told["help"])
    side.json("claims", told["json"])
    side.json("chart", told["chart"])
    (side.work / "report.html").write_text(told["page"])
    side.file("report", "report.html")
    side.python("refused", told.get("call", list))


Made = Callable[..., Compared]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """The comparison of BASE's answers with ours, after changes."""

    def make(**changes: Any) -> Compared:
        folders = []
        for which in ("base", "ours"):
            for folder in (work := tmp_path / which / "work", answers := tmp_path / which / "answers"):
                folder.mkdir(parents=True)
            side = Side(work, answers, tmp_path, which)
            answer(side, **(changes if which == "ours" else {}))
            side.close(1.0)
            folders.append(answers)
        return compare("case", *folders)

    return make


def lines(compared: Compared) -> list[str]:
    return [str(difference) for difference in compared.found.values()]


def refuse() -> None:
    raise ValueError("no")


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"rows": rows(accuracy=0.8461538461538461 * (1 + 3e-8))}, "w.rows.parquet: column accuracy: 0.846153846"),
        ({"rows": rows().head(2)}, "w.rows.parquet: row lost: "),
        ({"rows": rows().drop("severity")}, "w.rows.parquet: columns: ['severity'] → in another"),
        ({"rows": rows().with_columns(pl.col("severity").cast(pl.Int32))}, "type of severity: Int64 → Int32"),
        ({"pair": pair(only=(5, 3))}, "column only_a_correct_count: 3 → 5"),
        ({"text": TEXT.format(IDS[0], "ResNet falls")}, "text: ResNet drops → ResNet falls"),
        ({"text": TEXT.format(IDS[0], "ResNet drops").replace(".7", ".8")}, "numbers in text: drops 61.7 → drops 61.8"),
        ({"text": TEXT.format(IDS[0], "  ResNet drops")}, "layout"),
        ({"page": PAGE.format("").replace("Curves", "Accuracy")}, "report.report.html: text: Curves → Accuracy"),
        ({"page": PAGE.format('<script type="application/json">{"a": 1}</script>')}, "report.html: charts: 0 → 1"),
        ({"help": "--timeout SECONDS  Limit, such as 10 s. [default: 60]"}, "text: [default: 3600] → [default: 60]"),
        ({"help": "--timeout SECONDS  Limit, such as 20 s. [default: 3600]"}, "numbers in text: as 10 → as 20"),
        ({"chart": CHART | {"encoding": {"x": {"title": "Level"}}}}, "chart.json: value .encoding.x.title: Severity"),
        ({"call": refuse}, "refused: exit code or refusal: None → ValueError"),
    ],
)  # fmt: skip
def test_a_change_is_found(made: Made, changes: dict[str, Any], found: str) -> None:
    compared = made(**changes)
    assert any(found in line for line in lines(compared)), lines(compared)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rows": rows().reverse()},
        {"rows": rows(accuracy=0.8461538461538461 * (1 + 1e-12))},
        {"rows": rows(OTHER_IDS), "pair": pair(OTHER_IDS), "text": TEXT.format(OTHER_IDS[0], "ResNet drops")},
        {"pair": pair(IDS[::-1], ("ViT", "ResNet"), (5, 3))},
        {"json": {"verdict": "supported", "elapsed_s": 9, "cells": CELLS}},
        {"chart": CHART | {"datasets": {"data-" + "1" * 32: [{"severity": 1, "accuracy": 0.5}]}}},
    ],
)  # fmt: skip
def test_what_a_run_decides_is_no_change(made: Made, changes: dict[str, Any]) -> None:
    assert lines(made(**changes)) == []


def test_identities_map_one_to_one_in_both_directions(made: Made, tmp_path: Path) -> None:
    merged = lines(made(rows=rows((IDS[0], IDS[0])), pair=pair((IDS[0], IDS[0]))))
    assert any("several identities become one" in line for line in merged)
    split = rows().with_columns(evaluation_id=pl.Series([IDS[0], OTHER_IDS[0], IDS[1]]))
    for which in ("base", "ours"):
        (tmp_path / which).rename(tmp_path / f"{which}-before")
    assert any("one identity becomes several" in line for line in lines(made(rows=split)))


def test_the_order_of_a_list_is_compared(made: Made) -> None:
    turned = {
        "verdict": "supported",
        "elapsed_s": 1.5,
        "cells": [{"corruption": "snow", "n": 6}, {"corruption": "fog", "n": 5}],
    }
    assert any("cells.order" in line for line in lines(made(json=turned)))


def test_a_change_in_many_rows_is_one_line_with_a_count(made: Made) -> None:
    [line] = lines(made(rows=rows().with_columns(pl.col("accuracy") * 1.01)))
    assert "(×3, at most 9.9e-03 apart)" in line


def test_what_computes_anew_is_held_to_a_ten_thousandth(tmp_path: Path) -> None:
    folders = []
    for which, logit in (("base", 2.0), ("near", 2.0001), ("far", 2.001)):
        (tmp_path / which / "w").mkdir(parents=True)
        side = Side(tmp_path / which / "w", tmp_path / which, tmp_path, which)
        side.rows("logits", pl.DataFrame({"image_id": [0], "logits": [[logit, 0.5]]}).to_arrow(), evaluated=True)
        side.close(1.0)
        (tmp_path / which / "w").rmdir()
        folders.append(tmp_path / which)
    assert lines(compare("case", folders[0], folders[1])) == []
    assert len(lines(compare("case", folders[0], folders[2]))) == 1


# --- expected differences

RETIRED = """[[retired]]
answer = "case/{}"
before = 1
now = 1
reason = "replaced"
issue = 1
test = "tests/{}.py"
"""


def expect(difference: str, count: int = 1) -> dict[str, Any]:
    return {"difference": difference, "count": count, "reason": "meant", "issue": 1}


def retire(answer: str, before: int, now: int) -> dict[str, Any]:
    return {
        "answer": answer,
        "before": before,
        "now": now,
        "reason": "replaced",
        "issue": 1,
        "test": "tests/test_api.py",
    }


def test_an_expected_difference_is_named_exactly_with_its_count(made: Made) -> None:
    compared = made(rows=rows().with_columns(pl.col("accuracy") * 1.01))
    [difference] = compared.found.values()
    assert Expectations([expect(difference.key, 3)], []).unexpected(compared) == []
    assert Expectations([expect(difference.key, 2)], []).unexpected(compared) != []
    assert Expectations([expect(difference.key[:-1], 3)], []).unexpected(compared) != []


def test_an_entry_that_names_no_difference_is_reported(made: Made) -> None:
    expected = Expectations([expect("case/x: text: a → b"), expect("other/x: text: a → b")], [])
    expected.unexpected(made())
    assert expected.unmet(["case"]) == ["case/x: text: a → b"]


def test_a_retired_answer_states_what_was_compared_and_keeps_its_verdicts(made: Made) -> None:
    compared = made(json={"verdict": "contradicted", "by": "fog"})
    before, now = compared.of_answers["claims.json"]
    [line] = Expectations([], [retire("case/claims.json", before, now)]).unexpected(compared)
    assert "verdicts: ['supported'] → ['contradicted']" in line
    assert len(Expectations([], [retire("case/claims.json", before, now + 1)]).unexpected(compared)) == 2


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (RETIRED.format("w.rows.parquet", "test_api"), "never retired"),
        (RETIRED.format("a.json", "nowhere"), "is no file"),
        ('[[expected]]\ndifference = "case/a: text: a → b"\nissue = 1', "an entry of expected has"),
    ],
)  # fmt: skip
def test_an_entry_that_allows_too_much_is_refused(tmp_path: Path, entry: str, said: str) -> None:
    (tmp_path / "expected.toml").write_text(entry)
    with pytest.raises(Broken, match=said):
        read_expectations(tmp_path / "expected.toml")


def test_the_entries_here_are_valid() -> None:
    read_expectations()


# --- scenarios


def test_two_equal_failures_are_no_agreement(tmp_path: Path) -> None:
    (tmp_path / "exits").write_text(json.dumps({"gate": {"stated": 0, "found": 2}}))
    with pytest.raises(Broken, match="gate: states 0, found 2"):
        check_stated("case", tmp_path)


def test_words_are_translated_on_our_side(tmp_path: Path) -> None:
    side = Side(tmp_path, tmp_path, tmp_path, "ours")
    side.words = [{"command": "load", "base": ["--into", "x"], "ours": ["--to=x"]}]
    assert side.translated(["load", "here", "--into", "x", "-v"]) == ["load", "here", "--to=x", "-v"]
    assert side.translated(["query", "--into", "x"]) == ["query", "--into", "x"]


@pytest.mark.parametrize("name", ALL_SCENARIOS)
def test_a_scenario_pins_its_counts_and_imports_nothing_private(name: str) -> None:
    source = (HERE / "scenarios" / f"{name}.py").read_text()
    assert "\nCOUNTED = {" in source
    imports = re.findall(r"(?m)^ *(?:from|import) (failmodes\S*)", source)
    assert set(imports) <= {"failmodes", "failmodes.imagecorruptions"}
