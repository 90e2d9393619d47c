"""`failmodes remove`: remove evaluations from results and warehouse, after showing what is removed and kept."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from failmodes.analysis.evaluations.same_labels import labels_by_evaluation, newest_first
from failmodes.analysis.render.blocks import Sentence
from failmodes.analysis.render.formatting import format_count, join_names
from failmodes.runtime.errors import StudyError, did_you_mean, shown
from failmodes.runtime.process import interruptible, limit_command
from failmodes.runtime.progress import stages_shown
from failmodes.runtime.terminal import named, note, say, suggest
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
    from failmodes.analysis.judging.stored import DERIVATION
    from failmodes.analysis.render.formats.text import render_blocks
    from failmodes.warehouse.database.removal import find_place, remove_evaluations, stored_evaluations
    from failmodes.warehouse.metrics.custom import metrics_of_studies

    place = find_place(where)
    labels = labeled(stored_evaluations(place))
    chosen = named_evaluations(labels, name)
    kept = [label for one, label in labels if one not in chosen]
    going = [(one, label) for one, label in labels if one in chosen]
    say(render_blocks(_sentences(going, kept, place), line_width()), end="")
    if not yes:
        if not sys.stdin.isatty():
            raise StudyError("nothing was removed: there is no terminal to confirm on; add --yes")
        if not typer.confirm("Remove?", err=True):
            note("nothing was removed")
            return
    with stages_shown("remove"), interruptible("run the same command again to remove the rest"):
        identities = {one.evaluation_id for one in chosen}
        remove_evaluations(place, identities, DERIVATION, metrics_of_studies([where]) or ())
    note(f"removed {format_count(len(chosen), 'evaluation')}")
    if not all(one.in_results for one in chosen):
        note("other results may still contain it: loading them restores it")
    if place.warehouse is None:
        note("warehouses loaded from these results still contain it: remove it from them too")
    if place.warehouse and kept:
        suggest(f"failmodes report{named(where)}")


def labeled(evaluations: Sequence["StoredEvaluation"]) -> list[tuple["StoredEvaluation", str]]:
    """Evaluations with labels, by label, newest first; labels of the same images state what differs."""
    by_id = {one.evaluation_id: one for one in evaluations}
    ordered = newest_first([one.facts for one in evaluations])
    labels = labels_by_evaluation(ordered)
    return [(by_id[row["evaluation_id"]], labels[row["evaluation_id"]]) for row in ordered]


def named_evaluations(labels: Sequence[tuple["StoredEvaluation", str]], name: str) -> list["StoredEvaluation"]:
    """The evaluations that a name means: all with this label, else the one with this full label or ID.

    Evaluations that an interrupted removal left without a label are included.

    Raises:
        StudyError: there is none, or several IDs begin with the name.
    """
    from failmodes.analysis.evaluations.trained_models import MIN_ID_CHARACTERS

    left = [one for one, _ in labels if one.label is None]
    ways = (
        [one for one, _ in labels if one.label == name],
        [one for one, label in labels if label == name],
        [one for one, _ in labels if len(name) >= MIN_ID_CHARACTERS and one.evaluation_id.startswith(name)],
    )
    found = next((way for way in ways if way), [])
    if found and found is ways[2] and len(found) > 1:
        several = join_names(f"{one.evaluation_id} ({label})" for one, label in labels if one in found)
        raise StudyError(f"several evaluations begin with {shown(name)}: {several}; give more characters")
    if not found and not left:
        known = list(dict.fromkeys(label for _, label in labels))
        hint = did_you_mean(
            name, known, f"choose among {join_names(map(repr, known))}" if known else "there are no evaluations"
        )
        raise StudyError(f"no evaluation {shown(name)}: {hint}")
    return [*found, *(one for one in left if one not in found)]


def _sentences(chosen: Sequence[tuple["StoredEvaluation", str]], kept: Sequence[str], place: "Place") -> list[Sentence]:
    """Sentences on removed and kept evaluations."""
    places = [str(path) for path in (place.results, place.warehouse) if path]
    return [
        Sentence(f"To remove from {join_names(places)}:", "lead"),
        *(Sentence(_described(one, label), "item") for one, label in chosen),
        Sentence(f"Kept: {join_names(kept)}." if kept else "There are no other evaluations."),
    ]


def _described(one: "StoredEvaluation", label: str) -> str:
    facts, made = one.facts, one.facts["evaluated_at"]
    parts = (
        f"{format_count(facts['image_count'], 'image')} of {facts['dataset_label']}, {facts['source_label']}",
        f"evaluated {made:%Y-%m-%d %H:%M}" if made else "",
        format_count(one.cell_count, "cell"),
        f"{format_count(one.file_count, 'file')} ({one.size_bytes / 1e6:,.1f} MB)" if one.in_results else "no files",
        f"evaluation {one.evaluation_id}",
    )
    return f"{label if one.label else 'left by an interrupted removal'}: {'; '.join(filter(None, parts))}"
