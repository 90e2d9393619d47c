"""Published accuracies in RobustBench's layout: read from files that others wrote, and written.

A table has two header rows (corruption, severity), then a row a model, its name first; accuracies are 0 to 1. Beside it
lies `…_clean.csv` with model, clean_accuracy_percent and, where known, architecture and paper.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from failmodes.warehouse.errors import DataError, StorageError, StudyError, first_line, printable, shown
from failmodes.warehouse.output_files import write_output
from failmodes.warehouse.schema import CLEAN
from failmodes.warehouse.storage.regular_files import read_regular

LAYOUT_HINT = (
    "expected RobustBench's layout: a row of corruptions, a row of severities, then a row a model with accuracies 0-1"
)
MODEL, CLEAN_ACCURACY, ARCHITECTURE, PAPER = "model", "clean_accuracy_percent", "architecture", "paper"
MOST_BYTES, MOST_COLUMNS, MOST_MODELS, MOST_LETTERS = 16_000_000, 2_000, 10_000, 300
KNOWN_FILES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet": "ImageNet"}  # by how RobustBench calls them

_CORRUPTION = re.compile(r"[a-z][a-z0-9_]{0,59}")
_SEVERITY = re.compile(r"\d(\.\d{1,3})?")
_NUMBER = re.compile(r"(\d{1,20}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,2})?")
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
        models = [_with_clean(model, facts[model.name]) for model in models]
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


class _Line(NamedTuple):
    """A row of a file: its cells without white space around them, and its line for errors."""

    cells: list[str]
    number: int


def _read_table(path: Path) -> list[PublishedModel]:
    lines = _read_lines(path)
    with _layout(path):
        corruptions, severities, rows = next(lines), next(lines), list(lines)
    width = len(corruptions.cells)
    cells = _header_cells(path, corruptions, severities)
    if not 1 <= len(rows) <= MOST_MODELS:
        raise DataError(f"{path}: {len(rows):,} rows of models, expected 1 to {MOST_MODELS:,}; {LAYOUT_HINT}")
    models: dict[str, PublishedModel] = {}
    for row in rows:
        name = _unguarded(row.cells[0])
        where = f"{path}, line {row.number}"
        if len(row.cells) != width:
            raise DataError(f"{where}: {len(row.cells)} cells, the first row has {width}: the row is damaged")
        _check_name(name, models, where)
        location = f"{where} ({shown(name)})"
        values = (_accuracy(text, location, cell) for text, cell in zip(row.cells[1:], cells, strict=True))
        models[name] = PublishedModel(name, dict(zip(cells, values, strict=True)))
    return list(models.values())


def _header_cells(path: Path, corruptions: _Line, severities: _Line) -> list[PublishedCell]:
    """The cells that the two header rows name."""
    if len(corruptions.cells) != len(severities.cells) or not 2 <= len(corruptions.cells) <= MOST_COLUMNS:
        counts = f"{len(corruptions.cells)} and {len(severities.cells)} cells"
        raise DataError(f"{path}: its two first rows have {counts}: {LAYOUT_HINT}")
    found: dict[PublishedCell, None] = {}
    for column, (corruption, severity) in enumerate(zip(corruptions.cells, severities.cells, strict=True), start=1):
        if column == 1:
            continue
        if not _CORRUPTION.fullmatch(corruption) or corruption == CLEAN:
            given = f"{shown(corruption)} is no corruption's name (such as gaussian_noise)"
            raise DataError(f"{path}, line {corruptions.number}, column {column}: {given}; {LAYOUT_HINT}")
        level = Decimal(severity) if _SEVERITY.fullmatch(severity) else Decimal(0)
        if not 0 < level <= 5:
            given = f"{shown(severity)} is no severity above 0 up to 5"
            raise DataError(f"{path}, line {severities.number}, column {column}: {given}; {LAYOUT_HINT}")
        cell = (corruption, level.normalize())
        if cell in found:
            raise DataError(f"{path}, column {column}: {corruption} at severity {severity} a second time: remove one")
        found[cell] = None
    return list(found)


def _read_clean(path: Path) -> dict[str, PublishedModel]:
    """Clean accuracy, architecture and paper by model."""
    lines = _read_lines(path)
    with _layout(path):
        head, rows = next(lines), list(lines)
    if not {MODEL, CLEAN_ACCURACY} <= set(head.cells) or len(set(head.cells)) < len(head.cells):
        raise DataError(f"{path}: its first row has no columns {MODEL} and {CLEAN_ACCURACY}, or one of them twice")
    found: dict[str, PublishedModel] = {}
    for row in rows:
        where = f"{path}, line {row.number}"
        if len(row.cells) != len(head.cells):
            raise DataError(f"{where}: {len(row.cells)} cells, the first row has {len(head.cells)}: it is damaged")
        values = dict(zip(head.cells, row.cells, strict=True))
        name = _unguarded(values[MODEL])
        _check_name(name, found, where)
        accuracy = _accuracy(values[CLEAN_ACCURACY], f"{where} ({shown(name)})", CLEAN_CELL, scale=100)
        notes = [_note(values.get(column, ""), where, column) for column in (ARCHITECTURE, PAPER)]
        found[name] = PublishedModel(name, {CLEAN_CELL: accuracy}, *notes)
    return found


def _with_clean(model: PublishedModel, facts: PublishedModel) -> PublishedModel:
    return facts._replace(accuracies=facts.accuracies | model.accuracies)


def _read_lines(path: Path) -> Iterator[_Line]:
    """The rows of a CSV file that are not blank."""
    try:
        text = read_regular(path, MOST_BYTES).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise StudyError(f"no file at {path}: name a CSV file of published accuracies") from error
    except StorageError as error:
        raise DataError(f"{error}: name a CSV file of published accuracies") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8 (byte {error.start}): save it as CSV in UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield _Line([cell.strip() for cell in row], reader.line_num)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: no CSV: {first_line(error)}; {LAYOUT_HINT}") from error


@contextmanager
def _layout(path: Path) -> Iterator[None]:
    """Turn the end of a file that is too short into a line."""
    try:
        yield
    except StopIteration:
        raise DataError(f"{path} ends before its first model: {LAYOUT_HINT}") from None


def _check_name(name: str, known: dict[str, Any], where: str) -> None:
    if not name or printable(name) != name or len(name) > MOST_LETTERS:
        raise DataError(f"{where}: {shown(name)} is no model's name: 1 to {MOST_LETTERS} letters in one line")
    if name in known:
        raise DataError(f"{where}: model {shown(name)} a second time: remove one of its rows")


def _accuracy(text: str, where: str, cell: PublishedCell, scale: int = 1) -> float:
    """An accuracy 0-1, of a text in shares (`scale` 1) or in per cent (100)."""
    value = Decimal(text) / scale if _NUMBER.fullmatch(text) else None
    if value is None or value > 1:
        corruption, severity = cell
        at = "clean" if cell == CLEAN_CELL else f"{corruption} at severity {severity}"
        kind = "share from 0 to 1" if scale == 1 else f"percentage from 0 to {scale}"
        raise DataError(f"{where}, {at}: {shown(text)} is no accuracy, expected a {kind}")
    return float(value)


def _note(text: str, where: str, column: str) -> str | None:
    """A text about a model, None where it is blank."""
    note = _unguarded(text)
    if len(note) > MOST_LETTERS or printable(note) != note:
        raise DataError(f"{where}: its {column} {shown(note)} is no line of at most {MOST_LETTERS} letters")
    return note or None


def _guarded(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _unguarded(text: str) -> str:
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text


def _as_csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
