"""Read and write published accuracies in RobustBench's layout.

A table has two header rows (corruption, severity), then one row per model, its name first; accuracies are 0 to 1.
Beside it is `…_clean.csv` with model, clean_accuracy_percent and, if known, architecture and paper.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from failmodes.runtime.errors import DataError, StorageError, StudyError, first_line, printable, shown
from failmodes.runtime.storage.files import read_text
from failmodes.warehouse.output_files import write_output
from failmodes.warehouse.schema import CLEAN, MAX_SEVERITY

LAYOUT_HINT = (
    "expected RobustBench's layout: a row of corruptions, a row of severities, one row per model with accuracies 0-1"
)
MODEL, CLEAN_ACCURACY, ARCHITECTURE, PAPER = "model", "clean_accuracy_percent", "architecture", "paper"
MAX_BYTES = 16_000_000
MAX_LETTERS = 300
KNOWN_FILES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet": "ImageNet"}  # by RobustBench's names

_FORMULA = ("=", "+", "-", "@", "'")  # a spreadsheet runs cells that begin so, except after the last


def _not_clean(corruption: str) -> str:
    if corruption == CLEAN:
        raise ValueError("the clean images are not a corruption")
    return corruption


def _one_line(text: str) -> str:
    if len(text) > MAX_LETTERS or printable(text) != text:
        raise ValueError(f"expected one printable line of at most {MAX_LETTERS} letters")
    return text


Value = TypeVar("Value")
_CorruptionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,59}$"), AfterValidator(_not_clean)]
_Severity = Annotated[Decimal, Field(gt=0, le=MAX_SEVERITY, decimal_places=3)]
_HEAD = TypeAdapter(dict[str, tuple[_CorruptionName, _Severity]])
_SHARES = TypeAdapter(dict[str, Annotated[Decimal, Field(ge=0, le=1)]])
_PERCENT = TypeAdapter(dict[str, Annotated[Decimal, Field(ge=0, le=100)]])
_LINES = TypeAdapter(dict[str, Annotated[str, AfterValidator(_one_line)]])

PublishedCell = tuple[str, Decimal]  # corruption and severity
CLEAN_CELL: PublishedCell = (CLEAN, Decimal(0))


class PublishedModel(NamedTuple):
    """One published model.

    Attributes:
        name: its name.
        accuracies: 0-1, by cell, including clean if known.
        architecture: its architecture, if known.
        paper: its paper, if known.
        averages: published averages over cells by the name of the averaging, 0-1, where the cells are not published.
    """

    name: str
    accuracies: dict[PublishedCell, float]
    architecture: str | None = None
    paper: str | None = None
    averages: Mapping[str, float] = MappingProxyType({})


class PublishedSet(NamedTuple):
    """The models of one published table.

    Attributes:
        name: its name on charts, such as "RobustBench, CIFAR-10-C".
        dataset: its dataset, such as "CIFAR-10"; None if not stated.
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
    """The file of clean accuracies of a table: cifar10_corruptions_clean.csv of cifar10_corruptions_unaggregated."""
    return table.with_name(f"{table.stem.removesuffix('_unaggregated')}_clean{table.suffix}")


def read_published(path: Path, dataset: str | None = None) -> PublishedSet:
    """Read a table of RobustBench's layout, and the clean accuracies beside it if they exist.

    Args:
        path: the table, a CSV file.
        dataset: its dataset; default: from the file's name (`cifar10_…`).

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

    Numbers are written in full precision. A text that a spreadsheet would run as a formula gets a leading apostrophe,
    which `read_published` removes.

    Returns:
        Paths of the table and of the clean accuracies.

    Raises:
        StudyError: see `check_output`.
        StorageError: one cannot be written.
    """
    cells = [cell for cell in models[0].accuracies if cell != CLEAN_CELL]
    rows = [["", *(corruption for corruption, _ in cells)], ["", *(f"{severity:f}" for _, severity in cells)]]
    rows += [[spreadsheet_text(model.name), *(repr(model.accuracies[cell]) for cell in cells)] for model in models]
    facts = [[MODEL, CLEAN_ACCURACY, ARCHITECTURE, PAPER]]
    for model in models:
        percent = f"{(100 * Decimal(repr(model.accuracies[CLEAN_CELL]))).normalize():f}"
        facts.append(
            [
                spreadsheet_text(model.name),
                percent,
                spreadsheet_text(model.architecture or ""),
                spreadsheet_text(model.paper or ""),
            ]
        )
    clean = clean_file_of(path)
    write_output(clean, _as_csv(facts), (".csv",), force=force)
    write_output(path, _as_csv(rows), (".csv",), force=force)
    return path, clean


def _read_table(path: Path) -> list[PublishedModel]:
    rows = _read_rows(path)
    if len(rows) < 3:
        raise DataError(f"{path} ends before its first model: {LAYOUT_HINT}")
    (where, corruptions), (_, severities) = rows[:2]
    head = dict(enumerate(zip(corruptions[1:], severities[1:], strict=True), start=2))
    named = _checked(_HEAD, {f"column {column}": cell for column, cell in head.items()}, where)
    cells = [(corruption, severity.normalize()) for corruption, severity in named.values()]
    if not cells:
        raise DataError(f"{where}: it names no corruption; {LAYOUT_HINT}")
    names = [f"{corruption} at severity {severity}" for corruption, severity in cells]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{where}: {name} occurs twice: remove one column")
    models: dict[str, PublishedModel] = {}
    for location, (text, *shares) in rows[2:]:
        model = _new_name(text, models, location)
        found = _checked(_SHARES, dict(zip(names, shares, strict=True)), f"{location} ({shown(model)})")
        models[model] = PublishedModel(model, dict(zip(cells, map(float, found.values()), strict=True)))
    return list(models.values())


def _read_clean(path: Path) -> dict[str, PublishedModel]:
    """Clean accuracy, architecture and paper by model."""
    rows = _read_rows(path)
    head = rows[0][1] if rows else []
    if not {MODEL, CLEAN_ACCURACY} <= set(head) or len(set(head)) < len(head):
        raise DataError(f"{path}: its first row has no columns {MODEL} and {CLEAN_ACCURACY}, or one of them twice")
    models: dict[str, PublishedModel] = {}
    for location, cells in rows[1:]:
        values = dict(zip(head, cells, strict=True))
        name = _new_name(values[MODEL], models, location)
        percent = _checked(_PERCENT, {CLEAN_ACCURACY: values[CLEAN_ACCURACY]}, f"{location} ({shown(name)})")
        notes = {column: _unguarded(values.get(column, "")) for column in (ARCHITECTURE, PAPER)}
        lines = _checked(_LINES, notes, location)
        accuracies = {CLEAN_CELL: float(percent[CLEAN_ACCURACY] / 100)}
        models[name] = PublishedModel(name, accuracies, lines[ARCHITECTURE] or None, lines[PAPER] or None)
    return models


def _new_name(text: str, known: Mapping[str, PublishedModel], location: str) -> str:
    name = _checked(_LINES, {"model name": _unguarded(text)}, location)["model name"]
    if not name:
        raise DataError(f"{location}: the model has no name")
    if name in known:
        raise DataError(f"{location}: model {shown(name)} occurs twice: remove one of its rows")
    return name


def _checked(kind: TypeAdapter[dict[str, Value]], cells: dict[str, Any], location: str) -> dict[str, Value]:
    """Cells of a row by name, parsed.

    Raises:
        DataError: one line names the first that is invalid.
    """
    try:
        return kind.validate_python(cells)
    except ValidationError as error:
        first = error.errors()[0]
        problem = first["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
        raise DataError(f"{location}, {first['loc'][0]}: {shown(first['input'])}: {problem}; {LAYOUT_HINT}") from None


def _read_rows(path: Path) -> list[tuple[str, list[str]]]:
    """The rows of a CSV file that are not blank, all as long as the first, each with its location for errors."""
    try:
        text = read_text(path, MAX_BYTES)
    except FileNotFoundError as error:
        raise StudyError(f"no file at {path}: name a CSV file of published accuracies") from error
    except StorageError as error:
        raise DataError(f"{error}: name a CSV file of published accuracies") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[str, list[str]]] = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                rows.append((f"{path}, line {reader.line_num}", cells))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not a CSV: {first_line(error)}; {LAYOUT_HINT}") from error
    for location, cells in rows:
        if len(cells) != len(rows[0][1]):
            raise DataError(f"{location}: {len(cells)} cells, the first row has {len(rows[0][1])}: the row is damaged")
    return rows


def spreadsheet_text(text: str) -> str:
    """A cell of a CSV that no spreadsheet runs as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _unguarded(text: str) -> str:
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text


def _as_csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
