"""The command threshold: choose the threshold below which a model abstains."""

from typing import Annotated

import typer

from failmodes.runtime.errors import StudyError
from failmodes.runtime.process import limit_command
from failmodes.runtime.progress import stages_shown
from failmodes.runtime.storage.locations import find_warehouse
from failmodes.runtime.terminal import named, suggest
from failmodes.warehouse.cli import READING_S, TimeoutOption, WhereArgument
from failmodes.warehouse.completion import complete_model


def threshold(
    where: WhereArgument = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this model (named as for compare). Repeatable.", metavar="NAME", autocompletion=complete_model
        ),
    ] = None,
    score: Annotated[
        str | None,
        typer.Option(
            help="Certainty of a prediction: confidence (the first default), margin, entropy, energy, logit_gap or "
            "attention_spread.",
            metavar="SCORE",
        ),
    ] = None,
    error: Annotated[
        float | None,
        typer.Option(metavar="X", help="Largest error among accepted clean images, such as 0.02 (the first default)."),
    ] = None,
    coverage: Annotated[
        float | None, typer.Option(metavar="X", help="Instead: share of clean images that is accepted, such as 0.9.")
    ] = None,
    timeout: TimeoutOption = READING_S,
) -> None:
    """Choose when to abstain: the threshold of a score, and what it accepts and gets wrong under each corruption.

    It is chosen on half of the clean images, such that the 95% upper bound of the error among the accepted images
    meets the target, and measured on the other half of each cell. Options change the stored threshold.
    """
    limit_command(timeout)
    from failmodes.analysis.evaluations.selection import select
    from failmodes.analysis.judging.derivation import change_thresholds
    from failmodes.analysis.judging.stored import open_current
    from failmodes.analysis.render.documents import print_document
    from failmodes.analysis.report.abstention import thresholds_document
    from failmodes.analysis.statistics.opened_models import find_model

    if error is not None and coverage is not None:
        raise StudyError("--error and --coverage: a threshold has one target: give one of them")
    path = find_warehouse(where)
    changed: dict[str, object] = {} if score is None else {"score": score}
    for target, value in (("error", error), ("coverage", coverage)):
        changed |= {} if value is None else {"target": target, "target_value": value}
    with stages_shown("threshold"):
        with open_current(path) as con:
            runs = [run for name in model or () for run in find_model(con, path, name).model.runs]
            evaluations = [run.evaluation_id for run in runs] or [id_ for one in select(con) for id_ in one.ids]
        change_thresholds(path, evaluations, changed)
        with open_current(path) as con:
            document = thresholds_document(con, evaluations)
    print_document(document)
    suggest(f"failmodes chart abstention{named(where)}")
