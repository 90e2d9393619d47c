"""Lines about an evaluation, stored with it: possible mistakes, assumptions and figures."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from failmodes.runtime.errors import IncompleteRunError
from failmodes.runtime.storage.files import StorePath, exists
from failmodes.warehouse.schema import EVALUATION_NOTES
from failmodes.warehouse.shards.format import dimension_path, write_dimension
from failmodes.warehouse.shards.inventory import read_rows

Step = Literal["settings", "clean", "corrupted"]


class Note(NamedTuple):
    """One line about an evaluation.

    Attributes:
        topic: the subject, such as normalization; one line per topic and step.
        text: the line.
        label: the model; empty if the note is about the images.
        level: a warning is a likely mistake; a note is an assumption that options can change, or a figure.
    """

    topic: str
    text: str
    label: str = ""
    level: Literal["note", "warning"] = "warning"

    @property
    def line(self) -> str:
        """The note as printed."""
        return f"{'warning: ' * (self.level == 'warning')}{self.label}{self.label and ': '}{self.text}"


def record_notes(output: StorePath, evaluation_id: str, step: Step, notes: Iterable[Note]) -> None:
    """Store the notes of one step of an evaluation."""
    rows = [
        {
            "evaluation_id": evaluation_id, "step": step, "topic": note.topic, "level": note.level,
            "subject": "model" if note.label else "images", "note": note.text,
        }
        for note in notes
    ]  # fmt: skip
    write_dimension(output, EVALUATION_NOTES, f"{evaluation_id}-{step}", rows)


def notes_path(output: StorePath, evaluation_id: str, step: Step) -> StorePath:
    """The file of the notes of a step."""
    return dimension_path(output, EVALUATION_NOTES, f"{evaluation_id}-{step}")


def stored_notes(output: StorePath, evaluation_id: str, label: str, step: Step) -> list[Note]:
    """The stored notes of one step of an evaluation of the model `label`; empty if there are none.

    Raises:
        DamagedShardError: its file is damaged.
    """
    path = notes_path(output, evaluation_id, step)
    rows = read_rows(path, EVALUATION_NOTES).to_pylist() if exists(path) else []
    return [Note(row["topic"], row["note"], label, row["level"]) for row in rows]


def refuse_warnings(notes: Sequence[Note]) -> None:
    """Raise an error if there are warnings, as `strict` asks.

    Raises:
        IncompleteRunError: there are any.
    """
    lines = [note.line.removeprefix("warning: ") for note in dict.fromkeys(notes) if note.level == "warning"]
    if lines:
        count = "1 warning is an error" if len(lines) == 1 else f"{len(lines):,} warnings are errors"
        raise IncompleteRunError(f"strict: {count}: {'; '.join(lines)}")
