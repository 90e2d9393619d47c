"""How a table is read: the options of the command and of the function, checked before anything is read."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from failmodes.evaluate.tables.columns import Role, named_columns
from failmodes.ingest.axes import Axis, parse_axis
from failmodes.ingest.corruptions.catalog import name_in_set
from failmodes.ingest.specification import validate
from failmodes.ingest.study_types import PRINTABLE, StrictModel
from failmodes.runtime.errors import StudyError, shown
from failmodes.warehouse.schema import IMPORTED_FAMILY

MAX_LABEL_LETTERS = 60


class TableNames(StrictModel):
    """The names that results show."""

    label: Annotated[str, Field(min_length=1, max_length=MAX_LABEL_LETTERS), PRINTABLE]
    architecture: Annotated[str, Field(min_length=1, max_length=200), PRINTABLE]
    dataset: Annotated[str, Field(min_length=1, max_length=MAX_LABEL_LETTERS), PRINTABLE]


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """How a table is read.

    Attributes:
        columns: column of a role, where its name is not a common one.
        label: name of the model, where no column names it.
        dataset: name of the dataset on charts.
        architecture: architecture of the models, as the user states it.
        images: folder with the images, by their names; None without pixels.
        metadata: table of metadata of the images, by their names; None without one.
        image_pattern: regular expression of the part of an image's name to keep.
        level_pattern: regular expression of the level in a text such as c30.
        reference: word of the reference level.
        axes: axes of the levels, by corruption.
        missing: texts that stand for no prediction; '' for an empty one.
        more_classes: whether predicted classes without an image are classes of the dataset.
        renormalize: accept rounded probabilities, which sum to 1 only approximately.
        strict: treat warnings as errors and store nothing.
    """

    columns: Mapping[Role, str]
    label: str
    dataset: str
    architecture: str = IMPORTED_FAMILY
    images: Path | None = None
    metadata: Path | None = None
    image_pattern: str | None = None
    level_pattern: str | None = None
    reference: str | None = None
    axes: Mapping[str, Axis]
    missing: Collection[str] = ()
    more_classes: bool = False
    renormalize: bool = False
    strict: bool = False


def table_options(
    to: Path,
    *,
    columns: Iterable[tuple[str, str]] = (),
    label: str,
    dataset: str | None = None,
    architecture: str = IMPORTED_FAMILY,
    images: Path | None = None,
    metadata: Path | None = None,
    image_pattern: str | None = None,
    level_pattern: str | None = None,
    reference: str | None = None,
    axes: Iterable[tuple[str, str]] = (),
    missing: Collection[str] = (),
    more_classes: bool = False,
    renormalize: bool = False,
    strict: bool = False,
) -> TableOptions:
    """Options as users write them: columns by role, axes by corruption.

    Raises:
        StudyError: one is invalid, or `to` is no folder.
    """
    if to.suffix in (".duckdb", ".toml") or ":/" in str(to) or (to.exists() and not to.is_dir()):
        raise StudyError(f"{to} is no local folder: expected an output folder, such as runs/mine")
    names = {
        "label": label, "dataset": dataset or to.absolute().name[:MAX_LABEL_LETTERS], "architecture": architecture,
    }  # fmt: skip
    validate(TableNames, names, "import")
    return TableOptions(
        **names, columns=named_columns(columns), images=images, metadata=metadata, image_pattern=image_pattern,
        level_pattern=level_pattern, reference=reference, axes=_axes(axes), missing=missing, more_classes=more_classes,
        renormalize=renormalize, strict=strict,
    )  # fmt: skip


def check_label(label: str) -> None:
    """Refuse the name of a model in a table that a chart cannot show.

    Raises:
        StudyError: it is too long, blank, or not printable.
    """
    validate(TableNames, {"label": label, "architecture": IMPORTED_FAMILY, "dataset": IMPORTED_FAMILY}, "import")


def parse_axes(texts: Iterable[str]) -> list[tuple[str, str]]:
    """Axes as users write them, `contrast=%,100..1,log`: corruption and axis.

    Raises:
        StudyError: a text has another form.
    """
    pairs = [text.partition("=") for text in texts]
    for name, equals, axis in pairs:
        if not equals or not name.strip():
            raise StudyError(f'--axis {shown(axis or name)}: expected CORRUPTION=AXIS, such as contrast="%,100..1,log"')
    return [(name.strip(), axis) for name, _, axis in pairs]


def _axes(pairs: Iterable[tuple[str, str]]) -> dict[str, Axis]:
    axes: dict[str, Axis] = {}
    for corruption, text in pairs:
        name = name_in_set(corruption)
        if name is None:
            raise StudyError(f"axis of {shown(corruption)}: expected the name of a corruption, such as contrast")
        if name in axes:
            raise StudyError(f"{name} has two axes: state one")
        axes[name] = parse_axis(name, text)
    return axes
