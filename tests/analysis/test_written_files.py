"""Python methods that write one file: what stands at the path stays."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from precious_files import FILES, NO_FILES, copy_of, holdings

import failmodes
from failmodes.analysis.results.opened_warehouse import Warehouse
from failmodes.runtime.errors import StudyError

METHODS: dict[str, tuple[str, Callable[..., object]]] = {
    "report": (".html", lambda made, path, **more: made["w"].report(path, **more)),
    "chart": (".svg", lambda made, path, **more: made["chart"].save(path, **more)),
    "chart as text": (".svg", lambda made, path, **more: made["chart"].save(str(path), **more)),
    "chart of a comparison": (".json", lambda made, path, **more: made["comparison"].chart().save(path, **more)),
    "comparison": (".md", lambda made, path, **more: made["comparison"].save(path, **more)),
    "claims": (".txt", lambda made, path, **more: made["claims"].save(path, **more)),
    "model card": (".md", lambda made, path, **more: made["w"].publish("model-card", path, **more)),
    "RobustBench": (".csv", lambda made, path, **more: made["w"].publish("robustbench", path, **more)),
    "export": (".duckdb", lambda made, path, **more: made["w"].export(path, evaluation="Alpha", **more)),
}


@pytest.fixture(scope="module")
def made(shaped_warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    path = Path(shutil.copy(shaped_warehouse, tmp_path_factory.mktemp("methods") / "w.duckdb"))
    opened: Warehouse = failmodes.open(path)
    return {
        "w": opened,
        "path": path,
        "chart": opened.chart("accuracy"),
        "comparison": opened.compare("Alpha", "Beta"),
        "claims": opened.claims({"shape": "flat", "corruptions": ["fog"]}),
    }


@pytest.mark.parametrize(
    ("method", "victim"),
    [*((method, "study") for method in METHODS), *(("claims", one) for one in (*NO_FILES, *FILES, "another suffix")),
     ("export", "warehouse")],
)  # fmt: skip
@pytest.mark.test_all
def test_what_is_there_stays(made: dict[str, object], method: str, victim: str, tmp_path: Path) -> None:
    suffix, write = METHODS[method]
    make = (NO_FILES | FILES).get(victim) or copy_of(Path(str(made["path"])))
    path = tmp_path / f"victim{'.dat' if victim == 'another suffix' else suffix}"
    make(path)
    before = holdings(tmp_path)
    with pytest.raises(StudyError, match="victim"):
        write(made, path)
    assert holdings(tmp_path) == before


@pytest.mark.parametrize("method", ["chart", "comparison", "claims"])
@pytest.mark.test_all
def test_outputs_are_replaced_and_force_replaces_more(made: dict[str, object], method: str, tmp_path: Path) -> None:
    suffix, write = METHODS[method]
    path = tmp_path / f"out{suffix}"
    write(made, path)
    written = path.read_bytes()
    write(made, path)
    assert path.read_bytes() == written
    FILES["study"](path)
    write(made, path, force=True)
    assert path.read_bytes() == written
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
