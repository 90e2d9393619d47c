"""How far a study is: cells published and cells missing, network by network."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from evaluate.devices import choose_device
from evaluate.engine.plan import missing_cells, plan, study_cells
from evaluate.study import read_study
from evaluate.zoo import entries
from ingest.datasets import open_dataset


def print_progress(study_file: Path) -> None:
    """Print one row an evaluation; networks that are not trained yet are named instead."""
    study = read_study(study_file, networks=False)
    if not study.models:
        return  # its predictions are imported: what is there, the warehouse says
    dataset = open_dataset(study.dataset, study.cache)
    console = Console(highlight=False, markup=False)
    untrained = [entry.label for entry in entries(study, dataset) if not entry.is_there]
    if untrained:
        console.print(f"{study.name}: not trained yet: {', '.join(untrained)}")
        return
    table = Table("model", "source", "evaluation", "shards", "missing", title=study.name, title_justify="left")
    for evaluation in (e for group in plan(study, dataset, choose_device(study.evaluation.device)) for e in group):
        missing = missing_cells(study, evaluation)
        table.add_row(
            evaluation.model.label,
            evaluation.source.row()["source_label"],
            evaluation.evaluation_id,
            str(len(study_cells(study, evaluation.evaluation_id))),
            str(len(missing)),
        )
    console.print(table)
