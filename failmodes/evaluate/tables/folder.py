"""An output folder that tables are imported into: its options, locks, and pixels of its images."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from failmodes.evaluate.tables.columns import parse_columns
from failmodes.evaluate.tables.importing import CheckedTable, TableOptions, TableReport, check_tables, import_table
from failmodes.evaluate.tables.reading import ProgressCallback
from failmodes.ingest.axes import Axis, parse_axis
from failmodes.ingest.corruptions.catalog import name_in_set
from failmodes.runtime.errors import StudyError, shown
from failmodes.warehouse.schema import IMPORTED_FAMILY

LAST_NAME = "table"  # of the dataset of a folder without a name


def table_options(
    to: Path,
    label: str,
    *,
    columns: Sequence[str] = (),
    dataset: str | None = None,
    axes: Sequence[str] = (),
    image_pattern: str | None = None,
    level_pattern: str | None = None,
    reference: str | None = None,
    missing: Collection[str] = (),
    more_classes: bool = False,
    architecture: str = IMPORTED_FAMILY,
    renormalize: bool = False,
    strict: bool = False,
) -> TableOptions:
    """Options as users write them.

    Raises:
        StudyError: one has another form.
    """
    return TableOptions(
        columns=parse_columns(columns), label=label, dataset=dataset or to.absolute().name or LAST_NAME,
        architecture=architecture, image_pattern=image_pattern, level_pattern=level_pattern, reference=reference,
        axes=_parse_axes(axes), missing=missing, more_classes=more_classes, renormalize=renormalize, strict=strict,
    )  # fmt: skip


def _parse_axes(texts: Sequence[str]) -> dict[str, Axis]:
    """Axes by corruption, from `contrast=%,100..1,log`."""
    axes: dict[str, Axis] = {}
    for text in texts:
        given, equals, axis = text.partition("=")
        name = name_in_set(given.strip())
        if not equals or name is None:
            raise StudyError(f'--axis {shown(text)}: expected CORRUPTION=AXIS, such as contrast="%,100..1,log"')
        if name in axes:
            raise StudyError(f"--axis: {name} has two axes: state one")
        axes[name] = parse_axis(name, axis)
    return axes


class TableFolder:
    """An output folder for tables.

    Attributes:
        output: the folder.
        options: how tables are read.
        images: folder with the clean images; None without.
        on_progress: called with rows read and cells written.
    """

    def __init__(self, output: Path, options: TableOptions, images: Path | None, on_progress: ProgressCallback) -> None:
        self.output = output
        self.options = options
        self.images = images
        self.on_progress = on_progress

    def check(self, tables: Sequence[Any]) -> CheckedTable:
        """Read tables and check every row; see `check_tables`."""
        return check_tables(tables, self.output, self.options, self.on_progress)

    def store(self, checked: CheckedTable) -> TableReport:
        """Store a checked table; see `import_table`."""
        return import_table(checked, self.output, self.options, self.on_progress)
