"""Published accuracies in RobustBench's layout: read from files that others wrote, and written.

A table has two header rows (corruption, severity), then a row a model, its name first; accuracies are 0 to 1. Beside it
lies `…_clean.csv` with model, clean_accuracy_percent and, where known, architecture and paper.
"""

import csv
import io
import math
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from failmodes.warehouse.errors import DataError, StorageError, StudyError, first_line, printable, shown
from failmodes.warehouse.output_files import write_output
from failmodes.warehouse.schema import CLEAN
from failmodes.warehouse.storage.files import read_text

LAYOUT_HINT = (
    "expected RobustBench's layout: a row of corruptions, a row of severities, then a row a model with accuracies 0-1"
)
MODEL, CLEAN_ACCURACY, ARCHITECTURE, PAPER = "model", "clean_accuracy_percent", "architecture", "paper"
MOST_BYTES, MOST_LETTERS = 16_000_000, 300
KNOWN_FILES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet": "ImageNet"}  # by how RobustBench calls them

_CORRUPTION = re.compile(r"[a-z][a-z0-9_]{0,59}")
_SEVERITY = re.compile(r"\d(\.\d{1,3})?")
_FORMULA = ("=", "+", "-", "@", "'")  # a spreadsheet runs a cell that begins so; the last marks one that it must not

PublishedCell = tuple[str, Decimal]  # corruption and severity
CLEAN_CELL: PublishedCell = (CLEAN, Decimal(0))


class PublishedModel(NamedTuple):
    """One model of which others published accuracies; `accuracies` (0-1) are by cell, clean among them where known."""

    name: str
    accuracies: dict[PublishedCell, float]
    architecture: str | None = None
    paper: str | None = None


class PublishedSet(NamedTuple):
    """The models of one published table.

    Attributes:
        name: its name on charts, such as "RobustBench, CIFAR-10-C".
        dataset: the data set that it is of, such as "CIFAR-10"; None where that is not stated.
        models: at least one; all with the same cells.
    """

    name: str
    dataset: str | None
    models: tuple[PublishedModel, ...]

    @property
    def has_clean(self) -> bool:
        """Whether clean accuracies are known, without which a curve has no total drop and no shape."""
        return CLEAN_CELL in self.models[0].accuracies


def clean_file_of(table: Path) -> Path:
    """Where the clean accuracies of a table lie: cifar10_corruptions_clean.csv of cifar10_corruptions_unaggregated."""
    return table.with_name(f"{table.stem.removesuffix('_unaggregated')}_clean{table.suffix}")


def read_published(path: Path, dataset: str | None = None) -> PublishedSet:
    """Read a table of RobustBench's layout, and the clean accuracies beside it where they are.

    Args:
        path: the table, a CSV file.
        dataset: the data set that it is of; where it is not given, the file's name may tell (`cifar10_…`).

    Raises:
        StudyError: the table does not exist.
        DataError: the table or the file beside it is damaged or of another layout.
    """
    known = KNOWN_FILES.get(path.name.split("_", 1)[0].lower()) if "_corruptions" in path.name else None
    models = _read_table(path)
    clean = clean_file_of(path)
    if clean.exists():
        facts = _read_clean(clean)
        if unknown := [model.name for model in models if model.name not in facts]:
            raise DataError(f"{clean}: no clean accuracy of {shown(unknown[0])}, which {path.name} has: add its row")
        models = [
            facts[model.name]._replace(accuracies=facts[model.name].accuracies | model.accuracies) for model in models
        ]
    name = f"RobustBench, {known}-C" if known else path.stem
    return PublishedSet(name, dataset or known, tuple(models))


def write_published(path: Path, models: Sequence[PublishedModel], *, force: bool = False) -> tuple[Path, Path]:
    """Write models with the same cells as a table and the file of clean accuracies beside it.

    Numbers are written in full: read again, they are the same. A text that a spreadsheet would run as a formula gets
    an apostrophe in front, which `read_published` takes away.

    Returns:
        Paths of the table and of the clean accuracies.

    Raises:
        StudyError: see `check_output`.
        StorageError: one cannot be written.
    """
    cells = [cell for cell in models[0].accuracies if cell != CLEAN_CELL]
    rows = [["", *(corruption for corruption, _ in cells)], ["", *(f"{severity:f}" for _, severity in cells)]]
    rows += [[_guarded(model.name), *(repr(model.accuracies[cell]) for cell in cells)] for model in models]
    facts = [[MODEL, CLEAN_ACCURACY, ARCHITECTURE, PAPER]]
    for model in models:
        percent = f"{(100 * Decimal(repr(model.accuracies[CLEAN_CELL]))).normalize():f}"
        facts.append([_guarded(model.name), percent, _guarded(model.architecture or ""), _guarded(model.paper or "")])
    clean = clean_file_of(path)
    write_output(clean, _as_csv(facts), (".csv",), force=force)
    write_output(path, _as_csv(rows), (".csv",), force=force)
    return path, clean


class _Row(NamedTuple):
    """A row of a file: its place for errors, and its cells without white space around them."""

    location: str
    cells: list[str]


def _read_table(path: Path) -> list[PublishedModel]:
    rows = _read_rows(path)
    if len(rows) < 3:
        raise DataError(f"{path} ends before its first model: {LAYOUT_HINT}")
    cells = _header_cells(rows[0], rows[1])
    models: dict[str, PublishedModel] = {}
    for location, (text, *texts) in rows[2:]:
        name = _new_name(text, models, location)
        accuracies = {
            (corruption, severity): _accuracy(given, f"{location} ({shown(name)}), {corruption} at severity {severity}")
            for (corruption, severity), given in zip(cells, texts, strict=True)
        }
        models[name] = PublishedModel(name, accuracies)
    return list(models.values())


def _header_cells(corruptions: _Row, severities: _Row) -> list[PublishedCell]:
    """The cells that the two header rows name."""
    found: dict[PublishedCell, None] = {}
    named = zip(corruptions.cells[1:], severities.cells[1:], strict=True)
    for column, (corruption, severity) in enumerate(named, start=2):
        if not _CORRUPTION.fullmatch(corruption) or corruption == CLEAN:
            given = f"{shown(corruption)} is no corruption's name (such as gaussian_noise)"
            raise DataError(f"{corruptions.location}, column {column}: {given}; {LAYOUT_HINT}")
        level = Decimal(severity) if _SEVERITY.fullmatch(severity) else Decimal(0)
        if not 0 < level <= 5:
            given = f"{shown(severity)} is no severity above 0 up to 5"
            raise DataError(f"{severities.location}, column {column}: {given}; {LAYOUT_HINT}")
        cell = (corruption, level.normalize())
        if cell in found:
            given = f"{corruption} at severity {severity} a second time"
            raise DataError(f"{severities.location}, column {column}: {given}: remove one")
        found[cell] = None
    if not found:
        raise DataError(f"{corruptions.location}: it names no corruption; {LAYOUT_HINT}")
    return list(found)


def _read_clean(path: Path) -> dict[str, PublishedModel]:
    """Clean accuracy, architecture and paper by model."""
    rows = _read_rows(path)
    head = rows[0].cells if rows else []
    if not {MODEL, CLEAN_ACCURACY} <= set(head) or len(set(head)) < len(head):
        raise DataError(f"{path}: its first row has no columns {MODEL} and {CLEAN_ACCURACY}, or one of them twice")
    found: dict[str, PublishedModel] = {}
    for location, cells in rows[1:]:
        values = dict(zip(head, cells, strict=True))
        name = _new_name(values[MODEL], found, location)
        accuracy = _accuracy(values[CLEAN_ACCURACY], f"{location} ({shown(name)}), clean", percent=True)
        notes = [_line(values.get(column, ""), location, column) or None for column in (ARCHITECTURE, PAPER)]
        found[name] = PublishedModel(name, {CLEAN_CELL: accuracy}, *notes)
    return found


def _read_rows(path: Path) -> list[_Row]:
    """The rows of a CSV file that are not blank, all as long as the first."""
    try:
        text = read_text(path, MOST_BYTES)
    except FileNotFoundError as error:
        raise StudyError(f"no file at {path}: name a CSV file of published accuracies") from error
    except StorageError as error:
        raise DataError(f"{error}: name a CSV file of published accuracies") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[_Row] = []
    try:
        for given in reader:
            row = _Row(f"{path}, line {reader.line_num}", [cell.strip() for cell in given])
            if any(row.cells):
                rows.append(row)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: no CSV: {first_line(error)}; {LAYOUT_HINT}") from error
    for location, cells in rows:
        if len(cells) != len(rows[0].cells):
            raise DataError(
                f"{location}: {len(cells)} cells, the first row has {len(rows[0].cells)}: the row is damaged"
            )
    return rows


def _new_name(text: str, known: dict[str, PublishedModel], location: str) -> str:
    name = _line(text, location, "model's name")
    if not name:
        raise DataError(f"{location}: it has no model's name")
    if name in known:
        raise DataError(f"{location}: model {shown(name)} a second time: remove one of its rows")
    return name


def _line(text: str, location: str, column: str) -> str:
    """A text of a model."""
    line = _unguarded(text)
    if len(line) > MOST_LETTERS or printable(line) != line:
        raise DataError(f"{location}: its {column} {shown(line)} is no line of at most {MOST_LETTERS} letters")
    return line


def _accuracy(text: str, location: str, *, percent: bool = False) -> float:
    """An accuracy 0-1."""
    try:
        value = float(Decimal(text) / (100 if percent else 1))
    except ArithmeticError:  # no number
        value = math.nan
    if not 0 <= value <= 1:
        kind = "percentage from 0 to 100" if percent else "share from 0 to 1"
        raise DataError(f"{location}: {shown(text)} is no accuracy, expected a {kind}")
    return value


def _guarded(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _unguarded(text: str) -> str:
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text


def _as_csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
