"""`failmodes query` under its limits, and values that Python and Polars lack: one line, or the answer."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from fault_trials import MAX_S, attempt, check_refusal, refused, shell
from marked_cases import quick

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is held by the system on Linux")

CROSS = "range(1_000_000) as a(i), range(1_000_000) as b(j)"
LIMITS = ("--timeout", "2", "--memory-gb", "1")
TIME, MEMORY = "stopped after 2 s", "out of memory"

# A statement that would take minutes or more than 2 GB, how it is printed, and which limit ends it if only one can
HUNGRY = {
    "many steps": (f"select count(*) from {CROSS} where hash(a.i, b.j) = 0", (), TIME),
    "many steps through Arrow": (f"select hash(a.i, b.j) as h from {CROSS} where h % 999 = 0", ("csv",), TIME),
    "time or memory": (f"select * from {CROSS} order by hash(a.i, b.j)", ("json",), ""),
    "an endless recursion": (
        "with recursive t(n) as (select 1 union all select n + 1 from t) select count(*) from t",
        (),
        TIME,
    ),
    "one function of seconds": ("select max(levenshtein(repeat('ab', 40000), repeat('ba', 40000)))", (), TIME),
    "one list": ("select list_sum(range(100000000))", (), MEMORY),
    "one text": ("select length(repeat('x', 3000000000))", ("csv",), MEMORY),
    "growing groups": ("select len(list(i)) from range(3000000000) as t(i)", (), ""),
}


@quick("name", HUNGRY, "time or memory", "an endless recursion", "one text", others="nightly")
@pytest.mark.test_all
def test_a_query_is_held_to_its_time_and_memory(handed: Path, name: str) -> None:
    sql, form, says = HUNGRY[name]
    formats = ("--format", *form) if form else ()
    limits = ("--timeout", "60", *LIMITS[2:]) if says == MEMORY else LIMITS  # time never ends it, however busy all is
    refused("query", sql, *formats, *limits, folder=handed, code=1, says=says, most_s=8)


@pytest.mark.nightly
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_nothing_is_left_of_a_file_that_took_too_long(handed: Path, tmp_path: Path, suffix: str) -> None:
    folder = Path(shutil.copytree(handed, tmp_path / "here"))
    refused(
        "query", f"select a.i from {CROSS}", "--output", f"rows.{suffix}", *LIMITS, folder=folder, code=1, most_s=MAX_S
    )
    assert not list(folder.glob("*rows*"))


@pytest.mark.test_all
def test_the_first_rows_of_very_many_are_there_soon_and_take_little(handed: Path) -> None:
    trial = attempt("query", "select * from range(1000000000)", folder=handed)
    assert (trial.code, trial.stdout.count("\n")) == (0, 50 + 4), trial
    assert "first 50 of" in trial.stderr
    assert trial.elapsed_s < 5
    assert trial.peak_mb < 500


AWKWARD = {
    "infinite date": "select 'infinity'::date as d, '-infinity'::timestamptz as e",
    "year 20000": "select date '20000-01-01' as d, timestamp '20000-01-01 00:00:00' as e",
    "numbers that are none": "select 'nan'::double as a, [-'inf'::double] as c, 1e308::double * 10 as d",
    "invalid UTF-8 as text": "select decode('\\xFF'::blob) as t",
    "large numbers": "select 340282366920938463463374607431768211455::uhugeint as u, repeat('9', 1000)::bignum as v",
    "a union and an interval": "select union_value(num := 1) as u, interval 1000000 years as j",
    "nested": "select [{'a': [1, null]}] as n, map {[1]: 2} as m, [1, 2]::integer[2] as a, '0101'::bit as b",
    "times": "select '24:00:00'::time as t, '12:00:00+15:59:59'::timetz as z",
    "names": f'select 1 as "", 2 as "a\x01\x1b[31m", 3 as a, 4 as a, 5 as {"n" * 60_000}',
    "a null character": "select chr(0) || 'a' as z",
    "no row": "select 1 as a where false",
    "deep brackets": f"select {'(' * 5000}1{')' * 5000}",
    "deep lists": f"select {'[' * 300}1{']' * 300} as d",
    "types of later versions": "select 1::variant as v, 'POINT(1 2)'::geometry as g",
}
FORMS = {"table": (), "csv": ("--format", "csv"), "json": ("--format", "json"), "file": ("--output", "rows.parquet")}


@quick("form", FORMS, "json", others="nightly")
@quick("name", AWKWARD, "infinite date", "a union and an interval", "invalid UTF-8 as text")
def test_values_that_others_lack_are_shown_or_refused_in_one_line(
    handed: Path, tmp_path: Path, name: str, form: str
) -> None:
    trial = attempt("query", AWKWARD[name], str(handed / "warehouse.duckdb"), *FORMS[form], folder=tmp_path)
    if trial.code:
        check_refusal(trial, code=2)
        assert not list(tmp_path.iterdir())
    elif form == "json":
        assert isinstance(json.loads(trial.stdout), list)
    assert "Traceback" not in trial.stderr
    assert "panicked" not in trial.stderr
    assert trial.elapsed_s < 10


def test_sql_that_is_not_utf_8_is_one_line(handed: Path) -> None:
    refused(b"query", b"select '\xff'", folder=handed, says="UTF-8")


@linux_only
@pytest.mark.test_all
@pytest.mark.parametrize("sql", ["select count(*) from prediction_facts", "@worst_cells"])
def test_want_of_memory_is_never_taken_for_damage(handed: Path, sql: str) -> None:
    """Where a library does not end the process (SECURITY.md), one line says so."""
    trial = attempt("query", sql, folder=handed, through=shell("ulimit -v 307200; "))
    if "failmodes: " in trial.stderr:
        check_refusal(trial, "memory")
    assert not any(word in trial.stderr for word in ("delete", "damaged", "cannot be opened", "no warehouse"))
