"""An open warehouse: it asks and draws as the commands do, sees what is loaded meanwhile, and describes itself."""

import pickle
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from warehouse_files import write_small_results

from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.analysis.results.opened_warehouse import Warehouse
from failmodes.runtime.errors import LimitError, QueryError, StudyError
from failmodes.warehouse.database.load import load

MALICIOUS = "<b>Alpha</b>'; drop table prediction_facts; --"


@pytest.fixture(scope="module")
def w(shaped_warehouse: Path) -> Warehouse:
    return Warehouse(shaped_warehouse)


@pytest.mark.test_all
def test_sql_takes_parameters_of_any_name(w: Warehouse) -> None:
    assert w.sql("select $query + $self as total", query=1, self=2).item() == 3
    assert w.sql("select count(*) from prediction_facts where corruption = $name", name=MALICIOUS).item() == 0
    assert w.sql("@worst_cells").height > 0
    with pytest.raises(QueryError, match=r"no value for \$floor"):
        w.sql("select $floor")
    with pytest.raises(LimitError, match=r"stopped after 0\.2 s"):
        w.sql("select count(*) from range(1e9::bigint) a, range(1e9::bigint) b", timeout_s=0.2)


@pytest.mark.test_all
def test_filters_without_rows_name_unknown_values(w: Warehouse, capsys: pytest.CaptureFixture[str]) -> None:
    assert w.table("predictions", corruption=["fgo"], severity=1).is_empty()
    assert w.sql("from predictions where corruption = $name", name="fgo").is_empty()
    line = "no row of predictions has corruption 'fgo': did you mean 'fog'?"
    assert capsys.readouterr().err.splitlines() == [line, line]
    assert w.table("predictions", corruption="fog", severity=0.5).is_empty()
    assert capsys.readouterr().err == ""


def test_tables_are_listed_explained_and_filtered(w: Warehouse) -> None:
    every = w.table("accuracy_by_severity", corruption="fog")
    assert every.height > 2
    assert every.equals(every.sort("model_label", "evaluation_id", "severity"))
    rows = w.table("accuracy_by_severity", corruption=["fog", "contrast"], severity=5.0, model_label="Alpha")
    assert rows["corruption"].sort().to_list() == ["contrast", "fog"]
    assert w.table("models", model_label=MALICIOUS).is_empty()
    of_shifts = w.table("accuracy_by_shift")["image_count"].sum()
    stored = w.tables().filter(name="prediction_facts")["row_count"].item()
    assert w.table("predictions").height + of_shifts == stored
    assert w.schema("models").filter(column="family")["meaning"].item()
    with pytest.raises(QueryError, match="did you mean 'models'"):
        w.table("model")


@pytest.mark.test_all
@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"name": "pie"}, "no chart 'pie': expected abstention, accuracy"),
        ({"name": "curves", "theme": "sepia"}, "no theme 'sepia': choose light or dark"),
        ({"name": "curves", "model": "Gamma"}, "no model 'Gamma'"),
        ({"name": "curves", "evaluation": ["zzz"]}, "no evaluation 'zzz'"),
    ],
)
def test_a_bad_choice_of_a_chart_is_one_clear_line(w: Warehouse, choices: dict[str, str], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        w.chart(choices.pop("name"), **choices)


def test_it_describes_itself(w: Warehouse) -> None:
    text = repr(w)
    page = re.sub("<[^>]*>", "", w._repr_html_())
    for part in (str(w.path), "2: Alpha, Beta", "400 of Synthetic digits", "21,200 predictions"):
        assert part in text
        assert part in page


@pytest.mark.test_all
def test_threads_share_one_warehouse_and_see_what_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    for model in ("Alpha", "Beta"):
        write_small_results(tmp_path / model, model)
    load([tmp_path / "Alpha"], path)
    w = Warehouse(path)
    assert w.table("models")["model_label"].to_list() == ["Alpha"]
    start = threading.Barrier(4)

    def ask() -> int:
        start.wait()
        return sum(w.sql("select count(*) as n from outcomes").item() > 0 for _ in range(20))

    def add() -> int:
        start.wait()
        return load([tmp_path / "Beta"], path, derivation=DERIVATION).new_shards

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(work) for work in (ask, ask, ask, add)]
        assert [future.result() for future in futures] == [20, 20, 20, 22]
    assert sorted(w.table("models")["model_label"]) == ["Alpha", "Beta"]
    assert "2: Alpha, Beta" in repr(w)


LIGHT = (
    ("import", "", {"polars", "altair", "duckdb", "numpy", "torch"}),
    ("sql", "w.sql('select 1'); w.table('models'); w.tables(); w.schema(); repr(w)", {"altair", "torch", "scipy"}),
    ("chart", "w.chart('accuracy', model='Alpha')", {"torch", "upath", "fsspec", "filelock"}),
)


@pytest.mark.parametrize(("use", "heavy"), [case[1:] for case in LIGHT], ids=[case[0] for case in LIGHT])
@pytest.mark.test_all
def test_nothing_is_loaded_before_it_is_needed(shaped_warehouse: Path, use: str, heavy: set[str]) -> None:
    opened = f"w = Warehouse({str(shaped_warehouse)!r}); {use}" if use else ""
    code = (
        f"import sys\nfrom failmodes.analysis.results.opened_warehouse import Warehouse\n{opened}\n"
        f"loaded = {heavy!r} & set(sys.modules)\nassert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_open_warehouse_can_be_pickled(w: Warehouse) -> None:
    with pickle.loads(pickle.dumps(w)) as again:
        assert again.table("models").equals(w.table("models"))


@pytest.mark.parametrize("name", [3, ["models"]])
def test_a_name_that_is_no_text_is_refused(w: Warehouse, name: object) -> None:
    for ask in (w.table, w.sql, w.schema, w.images, w.chart):
        with pytest.raises((QueryError, StudyError), match="given: |no chart"):
            ask(name)
