"""`failmodes query` under its limits: what asks for more is stopped in one line, whatever the function."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from fault_trials import attempt, check_refusal, refused, shell

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is held by the system on Linux")

CROSS = "range(1_000_000) as a(i), range(1_000_000) as b(j)"
ENDLESS = "with recursive t(n) as (select 1 union all select n + 1 from t)"

# Each would take minutes or more than 2 GB
HUNGRY = {
    "a list in one step": "select list_sum(range(100000000))",
    "a text of 3 GB": "select length(repeat('x', 3000000000))",
    "a list of 3e9": "select len(list(i)) from range(3000000000) as t(i)",
    "a sorted cross join": f"select * from {CROSS} order by hash(a.i, b.j)",
    "an endless recursion": f"{ENDLESS} select count(*) from t",
    "an endless, growing recursion": "with recursive t(x) as (select 'x' union all select x || x from t) "
    "select max(length(x)) from t",
    "a cross join": f"select count(*) from {CROSS} where hash(a.i, b.j) = 0",
    "groups without end": f"select i, j, count(*) from {CROSS} group by all having count(*) > 1",
    "distinct rows without end": f"select count(distinct hash(i, j)) from {CROSS}",
    "a window over all": f"select sum(i) over (order by j desc) from {CROSS}",
    "a pivot with a million columns": "pivot (select i, i % 1000000 as c from range(10000000) as t(i)) on c "
    "using sum(i)",
    "a product of texts": "select max(length(a.x || b.x)) from (select repeat('x', 1000000) as x from range(3000)) "
    "as a, (select repeat('y', 1000000) as x from range(3000)) as b",
    "all permutations": "select count(*) from range(3000) as a, range(3000) as b, range(3000) as c, range(3000) as d "
    "where a.range + b.range * c.range = d.range + 7",
    "a pattern on long texts": "select sum(length(regexp_replace(repeat('ab', 500000) || i, '(a|b|ab)*c', 'x', 'g'))) "
    "from range(100000) as t(i)",
    "texts that differ": "select max(levenshtein(repeat('ab', 300000), repeat('ba', 300000)))",
    "a list of lists": "select len(list_transform(range(100000), lambda x: range(100000)))",
    "a JSON of lists": "select length(to_json(range(300000000))::varchar)",
    "bits": "select length(bitstring('1', 2000000000))",
}
QUICK = ("a list in one step", "a text of 3 GB", "a cross join")
TIMEOUT_S = "2"


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in HUNGRY]
)
def test_a_query_is_held_to_its_time_and_memory(handed: Path, name: str) -> None:
    """The limit is on the process, so that it holds within a function too; `refused` allows 10 s and 2 GB."""
    trial = refused("query", HUNGRY[name], "--timeout", TIMEOUT_S, "--memory-gb", "1", folder=handed, code=1)
    line = trial.stderr.splitlines()[-1]
    assert f"stopped after {TIMEOUT_S} s" in line or "memory" in line, line
    assert trial.elapsed_s < 6


@pytest.mark.slow
@pytest.mark.parametrize("name", HUNGRY)
@pytest.mark.parametrize("form", ["csv", "json"])
def test_the_limits_hold_for_every_form(handed: Path, name: str, form: str) -> None:
    limits = ("--timeout", TIMEOUT_S, "--memory-gb", "1")
    trial = refused("query", HUNGRY[name], "--format", form, *limits, folder=handed, code=1)
    assert trial.stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_nothing_is_left_of_a_file_that_took_too_long(handed: Path, tmp_path: Path, suffix: str) -> None:
    folder = Path(shutil.copytree(handed, tmp_path / "here"))
    sql = f"select a.i, b.j from {CROSS}"
    refused("query", sql, "--output", f"rows.{suffix}", "--timeout", TIMEOUT_S, folder=folder, code=1)
    assert not list(folder.glob("*rows*"))


def test_the_first_rows_of_very_many_are_there_soon_and_take_little(handed: Path) -> None:
    trial = attempt("query", "select * from range(1000000000)", folder=handed)
    assert trial.code == 0, trial
    assert trial.stdout.count("\n") == 50 + 4
    assert "first 50 of" in trial.stderr
    assert trial.elapsed_s < 5
    assert trial.peak_mb < 500


@pytest.mark.slow
def test_a_file_of_very_many_rows_takes_little_memory(handed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(handed, tmp_path / "here"))
    for suffix in ("csv", "parquet"):
        trial = attempt("query", "select * from range(20000000)", "--output", f"rows.{suffix}", folder=folder)
        assert trial.code == 0, trial
        assert trial.peak_mb < 700, suffix


@pytest.mark.parametrize("value", ["inf", "nan", "-1", "0", "-inf", "1e999", "soon", ""])
def test_a_limit_that_is_none_is_refused(handed: Path, value: str) -> None:
    for option in ("--timeout", "--memory-gb"):
        trial = attempt("query", "select 1", option, value, folder=handed)
        assert trial.code == 2, (option, trial)
        assert "Traceback" not in trial.stderr
        assert trial.stdout == ""


# What no type of Python's or Polars' holds, or no column takes: the answer, or one line
AWKWARD = {
    "infinite date": "select 'infinity'::date as d, '-infinity'::date as e",
    "infinite moment": "select 'infinity'::timestamp as d, '-infinity'::timestamptz as e",
    "year 20000": "select date '20000-01-01' as d, timestamp '20000-01-01 00:00:00' as e",
    "before our era": "select date '4000-01-01 (BC)' as d",
    "numbers that are none": "select 'nan'::double as a, 'inf'::float as b, [-'inf'::double] as c",
    "invalid UTF-8": "select '\\xFF'::blob as b, encode('é') as c",
    "invalid UTF-8 as text": "select decode('\\xFF'::blob) as t",
    "a cast that is too large": "select repeat('9', 1000000)::hugeint as h",
    "a power that is too large": "select pow(10::decimal(38, 0), 400)::decimal(38, 0) as p",
    "the largest numbers": "select 170141183460469231731687303715884105727 as h, 1e308::double * 10 as d, "
    "340282366920938463463374607431768211455::uhugeint as u",
    "a number without bound": "select repeat('9', 1000)::bignum as v",
    "an interval": "select interval 1 day as i, interval 1000000 years as j",
    "a union": "select union_value(num := 1) as u",
    "a map": "select map {'a': 1, 'b': null} as m, map {[1]: 2} as n",
    "nested": "select [{'a': [1, null], 'b': {'c': 'x'}}] as n, null as o, [] as e, {'a': null} as s",
    "an array": "select [1, 2]::integer[2] as a",
    "times": "select '24:00:00'::time as t, '12:00:00+15:59:59'::timetz as z, "
    "'1992-01-01 00:00:00.123456789'::timestamp_ns as n",
    "bits": "select '0101'::bit as b",
    "an identity": "select uuid() is not null as u, '47183823-2574-4bfd-b411-99ed177d3e43'::uuid as v",
    "an enum": "select 'a'::enum('a', 'b') as e",
    "the same name twice": "select 1 as a, 2 as a",
    "no name": 'select 1 as ""',
    "a name of controls": 'select 1 as "a\x01\x1b[31m"',
    "no row": "select 1 as a where false",
    "no column": "select columns('zzz') from models",
    "a null character": "select chr(0) || 'a' as z",
    "a very long text": "select repeat('x', 5000000) as t",
    "a very long name": f"select 1 as {'n' * 60_000}",
    "a thousand columns": f"select {', '.join(f'{i} as c{i}' for i in range(1000))}",
    "deep brackets": f"select {'(' * 5000}1{')' * 5000}",
    "deep lists": f"select {'[' * 300}1{']' * 300} as d",
    "a long sum": f"select {'+'.join('1' for _ in range(20_000))} as s",
    "variants": "select 1::variant as v",
    "geometry": "select 'POINT(1 2)'::geometry as g",
}
QUICKLY = ("infinite date", "year 20000", "invalid UTF-8 as text", "a union", "deep brackets")
FORMS = {
    "table": (),
    "csv": ("--format", "csv"),
    "json": ("--format", "json"),
    "parquet": ("--output", "rows.parquet"),
    "csv file": ("--output", "rows.csv"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICKLY else pytest.mark.slow) for name in AWKWARD]
)
def test_values_that_others_lack_are_shown_or_refused_in_one_line(
    handed: Path, tmp_path: Path, name: str, form: str
) -> None:
    if name in QUICKLY and form in ("csv", "csv file") and name != "infinite date":
        pytest.skip("the quick ones are tried as table, JSON and Parquet")
    warehouse = str(handed / "warehouse.duckdb")
    (tmp_path / "here").mkdir()
    trial = attempt("query", AWKWARD[name], warehouse, *FORMS[form], folder=tmp_path / "here")
    if trial.code:
        check_refusal(trial, code=2)
        assert not list((tmp_path / "here").iterdir())
    elif form == "json":
        assert isinstance(json.loads(trial.stdout), list)
    assert "Traceback" not in trial.stderr
    assert "panicked" not in trial.stderr
    assert trial.elapsed_s < 10


@pytest.mark.parametrize(
    "sql", ["-- a comment\nselect 41 + 1", "--\nselect 42", "--format\nselect 42", "-- c\n\tselect 42"]
)
def test_a_statement_that_begins_like_an_option_is_sql(handed: Path, sql: str) -> None:
    trial = attempt("query", sql, folder=handed)
    assert (trial.code, "42" in trial.stdout) == (0, True), trial


def test_sql_that_is_not_utf_8_is_one_line(handed: Path) -> None:
    refused(b"query", b"select '\xff'", folder=handed, says="UTF-8")


@linux_only
@pytest.mark.parametrize(
    "limit_mb", [300, *(pytest.param(mb, marks=pytest.mark.slow) for mb in (200, 400, 600, 800, 1200, 1600, 2400))]
)
def test_want_of_memory_is_never_taken_for_damage(handed: Path, limit_mb: int) -> None:
    for arguments in (
        ("query", "select count(*) from prediction_facts"),
        ("query", "@worst_cells", "--format", "json"),
    ):
        trial = attempt(*arguments, folder=handed, through=shell(f"ulimit -v {limit_mb * 1024}; "))
        if trial.code:
            check_refusal(trial, "memory")
        assert not any(word in trial.stderr for word in ("delete", "damaged", "cannot be opened", "no warehouse"))
