"""Formats to publish results in, and how a file is written."""

from collections.abc import Callable, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NamedTuple

from failmodes.analysis.evaluations.selection import select_one
from failmodes.analysis.judging.stored import open_current
from failmodes.analysis.publishing import FormatName
from failmodes.analysis.publishing.croissant import write_croissant
from failmodes.analysis.publishing.every_eval_ever import write_every_eval_ever
from failmodes.analysis.publishing.latex import write_latex
from failmodes.analysis.publishing.mlflow_runs import write_mlflow
from failmodes.analysis.publishing.model_card import write_model_card
from failmodes.analysis.publishing.robustbench_table import write_robustbench
from failmodes.analysis.publishing.tensorboard_runs import write_tensorboard
from failmodes.analysis.publishing.timm_table import write_timm
from failmodes.analysis.publishing.wandb_runs import write_wandb
from failmodes.analysis.publishing.written import Written
from failmodes.analysis.render.formatting import join_names
from failmodes.runtime.errors import StudyError
from failmodes.runtime.storage.files import is_url
from failmodes.runtime.storage.locations import user_path
from failmodes.warehouse.output_files import check_output
from failmodes.warehouse.published_layout import clean_file_of


class PublishedFormat(NamedTuple):
    """A format.

    Attributes:
        file_name: default name of its file; "" if it fills a folder.
        suffix: required suffix, or "".
        write: writes results to a path, and to further files beside it, with its options.
        files: those that are known beforehand, given the path of the first.
        writes_several: whether it may write more files than one.
        ranks: whether readers rank its models.
        options: of `publish_results` that it takes.
    """

    file_name: str
    suffix: str
    write: Callable[..., Written]
    files: Callable[[Path], Sequence[Path]] = lambda path: (path,)
    writes_several: bool = False
    ranks: bool = False
    options: tuple[str, ...] = ()


FORMATS: dict[FormatName, PublishedFormat] = {
    "robustbench": PublishedFormat(
        "results_corruptions_unaggregated.csv",
        ".csv",
        write_robustbench,
        lambda path: (path, clean_file_of(path)),
        writes_several=True,
        ranks=True,
    ),
    "croissant": PublishedFormat("croissant.json", ".json", write_croissant),
    "model-card": PublishedFormat("model-card.md", ".md", write_model_card),
    "timm": PublishedFormat("results.csv", ".csv", write_timm, writes_several=True, ranks=True),
    "every-eval-ever": PublishedFormat(
        "", "", write_every_eval_ever, lambda _: (), writes_several=True, options=("organization",)
    ),
    "mlflow": PublishedFormat("mlflow", "", write_mlflow, lambda _: (), writes_several=True, options=("project",)),
    "wandb": PublishedFormat("", "", write_wandb, lambda _: (), writes_several=True, options=("project",)),
    "tensorboard": PublishedFormat("tensorboard", "", write_tensorboard, lambda _: (), writes_several=True),
    "latex": PublishedFormat("tables.tex", ".tex", write_latex, ranks=True, options=("intervals", "query")),
}


def publish_results(
    warehouse: Path,
    name: FormatName,
    output: "str | PathLike[str] | None" = None,
    *,
    models: Sequence[str] = (),
    evaluations: Sequence[str] = (),
    mixed: bool = False,
    force: bool = False,
    **options: Any,
) -> Written:
    """Write the results of a warehouse in one format, atomically.

    Args:
        warehouse: the DuckDB file.
        name: one of FORMATS.
        output: the file; ~ is the home folder. Default: next to the warehouse.
        models: only these models, by label.
        evaluations: only these evaluations, by ID or its start.
        mixed: publish evaluations that are not comparable too, and name what differs.
        force: see `check_output`.
        options: of the format; those that are empty or False count as not given.

    Raises:
        StudyError: an unknown format, model, evaluation or option, a URL, a wrong suffix, or evaluations that do not
            share images and corruptions.
        WarehouseError: the warehouse cannot be read, or lacks the data of the format.
        StorageError: a file cannot be written.
    """
    if name not in FORMATS:
        raise StudyError(f"no format {name!r}: choose among {', '.join(FORMATS)}")
    chosen = FORMATS[name]
    given = {option: value for option, value in options.items() if value}
    if other := [option for option in given if option not in chosen.options]:
        takers = join_names(known for known, one in FORMATS.items() if other[0] in one.options)
        raise StudyError(f"--{other[0]} is an option of {takers}, not of {name}: leave it out")
    if output is not None and is_url(fspath(output)):
        raise StudyError(f"{fspath(output)} is a URL: write a local file, such as {chosen.file_name}, and upload that")
    path = warehouse.parent / chosen.file_name if output is None else user_path(output)
    if not chosen.suffix and path.exists() and not path.is_dir():
        raise StudyError(f"{path} is a file: {name} fills a folder, such as {path.parent / 'published'}")
    for file in chosen.files(path):
        check_output(file, (chosen.suffix,), force=force)
    with open_current(warehouse) as con:
        selection = select_one(con, models=models, evaluations=evaluations, mixed=mixed, ranked=chosen.ranks)
        written = chosen.write(con, warehouse, selection, path, force, **given)
        return written._replace(notes=(*written.notes, *selection.exclusions))
