"""`failmodes remove`: remove evaluations from results and warehouse, after showing what is removed and kept."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from failmodes.analysis.evaluations.same_labels import labels_by_evaluation, newest_first
from failmodes.analysis.render.blocks import Sentence
from failmodes.analysis.render.formatting import format_count, join_names
from failmodes.runtime.errors import StudyError, did_you_mean, shown
from failmodes.runtime.process import interruptible, limit_command
from failmodes.runtime.progress import stages_shown
from failmodes.runtime.terminal import confirmed, named, note, say, suggest
from failmodes.warehouse.completion import complete_model
from failmodes.warehouse.output_files import line_width

if TYPE_CHECKING:
    from failmodes.warehouse.database.removal import Place, StoredEvaluation


def remove(
    name: Annotated[
        str,
        typer.Argument(
            metavar="LABEL_OR_EVALUATION",
            help="A model's label (all its evaluations), its full label in a report, or (the start of) an evaluation "
            "ID.",
            autocompletion=complete_model,
        ),
    ],
    where: Annotated[
        str | None,
        typer.Argument(
            help="Study file, output folder, .duckdb file or URL of results. Default: study.toml in the current folder."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Skip the confirmation.")] = False,
) -> None:
    """Remove evaluations: their results, their rows in the warehouse, and everything derived from them.

    Shows what is removed and kept, and asks for confirmation. A dataset, source or model that no other evaluation uses
    is removed too; images and checkpoints are kept. Write the report again afterwards.
    """
    limit_command(None)
    from failmodes.analysis.judging.derivation import DERIVATION
    from failmodes.analysis.render.formats.text import render_blocks
    from failmodes.warehouse.database.removal import find_place, remove_evaluations, stored_evaluations
    from failmodes.warehouse.metrics.custom import metrics_of_studies

    place = find_place(where)
    labels = labeled(stored_evaluations(place))
    chosen = named_evaluations(labels, name)
    kept = [label for evaluation, label in labels if evaluation not in chosen]
    going = [(evaluation, label) for evaluation, label in labels if evaluation in chosen]
    say(render_blocks(_sentences(going, kept, place), line_width()), end="")
    if not yes and not confirmed("Remove?", "nothing was removed"):
        return
    with stages_shown("remove"), interruptible("run the same command again to remove the rest"):
        identities = {evaluation.evaluation_id for evaluation in chosen}
        remove_evaluations(place, identities, DERIVATION, metrics_of_studies([where]) or ())
    note(f"removed {format_count(len(chosen), 'evaluation')}")
    if not all(evaluation.in_results for evaluation in chosen):
        note("other results may still contain it: loading them restores it")
    if place.warehouse is None:
        note("warehouses loaded from these results still contain it: remove it from them too")
    if place.warehouse and kept:
        suggest(f"failmodes report{named(where)}")


def labeled(evaluations: Sequence["StoredEvaluation"]) -> list[tuple["StoredEvaluation", str]]:
    """Evaluations with labels, by label, newest first; labels of the same images state what differs."""
    by_id = {evaluation.evaluation_id: evaluation for evaluation in evaluations}
    ordered = newest_first([evaluation.facts for evaluation in evaluations])
    labels = labels_by_evaluation(ordered)
    return [(by_id[row["evaluation_id"]], labels[row["evaluation_id"]]) for row in ordered]


def named_evaluations(labels: Sequence[tuple["StoredEvaluation", str]], name: str) -> list["StoredEvaluation"]:
    """The evaluations that a name means: all with this label, else the one with this full label or ID.

    Evaluations that an interrupted removal left without a label are included.

    Raises:
        StudyError: there is none, or several IDs begin with the name.
    """
    from failmodes.analysis.evaluations.selection import is_id

    left = [evaluation for evaluation, _ in labels if evaluation.label is None]
    ways = (
        [evaluation for evaluation, _ in labels if evaluation.label == name],
        [evaluation for evaluation, label in labels if label == name],
        [evaluation for evaluation, _ in labels if is_id(name, evaluation.evaluation_id)],
    )
    matching = next((way for way in ways if way), [])
    if matching and matching is ways[2] and len(matching) > 1:
        several = join_names(
            f"{evaluation.evaluation_id} ({label})" for evaluation, label in labels if evaluation in matching
        )
        raise StudyError(f"several evaluations begin with {shown(name)}: {several}; give more characters")
    if not matching and not left:
        known = list(dict.fromkeys(label for _, label in labels))
        hint = did_you_mean(
            name, known, f"choose among {join_names(map(repr, known))}" if known else "there are no evaluations"
        )
        raise StudyError(f"no evaluation {shown(name)}: {hint}")
    return [*matching, *(evaluation for evaluation in left if evaluation not in matching)]


def _sentences(chosen: Sequence[tuple["StoredEvaluation", str]], kept: Sequence[str], place: "Place") -> list[Sentence]:
    """Sentences on removed and kept evaluations."""
    places = [str(path) for path in (place.results, place.warehouse) if path]
    return [
        Sentence(f"To remove from {join_names(places)}:", "lead"),
        *(Sentence(_described(evaluation, label), "item") for evaluation, label in chosen),
        Sentence(f"Kept: {join_names(kept)}." if kept else "There are no other evaluations."),
    ]


def _described(evaluation: "StoredEvaluation", label: str) -> str:
    facts = evaluation.facts
    made = evaluation.facts["evaluated_at"]
    parts = (
        f"{format_count(facts['image_count'], 'image')} of {facts['dataset_label']}, {facts['source_label']}",
        f"evaluated {made:%Y-%m-%d %H:%M}" if made else "",
        format_count(evaluation.cell_count, "cell"),
        f"{format_count(evaluation.file_count, 'file')} ({evaluation.size_bytes / 1e6:,.1f} MB)"
        if evaluation.in_results
        else "no files",
        f"evaluation {evaluation.evaluation_id}",
    )
    return f"{label if evaluation.label else 'left by an interrupted removal'}: {'; '.join(filter(None, parts))}"
