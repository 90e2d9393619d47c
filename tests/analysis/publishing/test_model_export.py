"""A model that is exported by its name: all its training runs, and it is compared as the source would be."""

from pathlib import Path

import pytest
from run_commands import run
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import change_file, value

import failmodes
from failmodes.analysis.publishing.model_export import export_model
from failmodes.analysis.statistics.difference import Measured, ModelMetrics, mean_of
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.opened_models import open_models
from failmodes.runtime.errors import StudyError
from failmodes.warehouse.database.load import load


def difference(models: ModelMetrics, name: str, score: str | None) -> Estimate:
    """The mean over all cells, candidate minus baseline."""
    terms = [*mean_of(models.cells), *mean_of(models.cells, -1.0, of_baseline=True)]
    found = models.measure(name, terms, score)
    assert isinstance(found, Measured)
    return found.interval()


@pytest.mark.test_all
def test_every_metric_of_a_gate_is_the_same_from_the_file(sound_warehouse: Path, tmp_path: Path) -> None:
    target = tmp_path / "baseline.duckdb"
    export_model(sound_warehouse, "Alpha", target)
    names = ["Alpha", "Beta", str(target)]
    with open_models(names, sound_warehouse) as (alpha, beta, baseline):
        here = ModelMetrics(beta.rows(), alpha.rows())
        there = ModelMetrics(beta.rows(), baseline.rows())
        assert there.pairing == here.pairing
        assert there.pairing.is_paired
        for name, score in (("accuracy", None), ("worst_class_accuracy", None), ("ece", None), ("augrc", "energy")):
            assert difference(here, name, score) == difference(there, name, score), name


@pytest.mark.test_all
def test_a_label_without_its_seed_exports_all_training_runs(tmp_path: Path) -> None:
    results = write_synthetic(
        tmp_path / "results",
        images=40,
        models=("Net, seed 0", "Net, seed 1", "Other"),
        corruptions=("fog",),
        severities=(5,),
    )
    load([results.output], tmp_path / "w.duckdb")
    change_file(tmp_path / "w.duckdb", "update models set training_seed = 1 where model_label = 'Net, seed 1'")
    done = export_model(tmp_path / "w.duckdb", "Net", tmp_path / "b.duckdb")
    assert (done.label, done.run_count, done.report.row_count) == ("Net", 2, 2 * 2 * 40)
    with open_models([str(tmp_path / "b.duckdb")]) as (baseline,):
        assert baseline.model.seeds == (0, 1)


@pytest.mark.test_all
def test_the_command_says_what_it_wrote(sound_warehouse: Path, tmp_path: Path) -> None:
    done = run("export", "--evaluation", "Alpha", "b.duckdb", sound_warehouse, folder=tmp_path)
    assert "10,400 predictions in 26 cells" in done.stdout
    assert value(tmp_path / "b.duckdb", "select count(*) from prediction_facts") == 10_400


@pytest.mark.test_all
def test_an_open_warehouse_exports_by_name_or_identity(
    sound_warehouse: Path, synthetic: Synthetic, tmp_path: Path
) -> None:
    w = failmodes.open(sound_warehouse)
    path = w.export(tmp_path / "b.duckdb", evaluation=synthetic.evaluations["Beta"][:8])
    assert failmodes.open(path).table("models")["model_label"].to_list() == ["Beta"]
    with pytest.raises(StudyError, match="no model 'Alpa' in .*: did you mean 'Alpha'"):
        w.export(tmp_path / "other.duckdb", evaluation="Alpa")
    assert not (tmp_path / "other.duckdb").exists()
