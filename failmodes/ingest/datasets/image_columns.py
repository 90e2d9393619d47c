"""The columns of a dataset that hold images and labels: by their usual names, or by their types."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from failmodes.ingest.datasets.dataset import MAX_CLASSES, check_labels, class_indices
from failmodes.ingest.datasets.encoded_images import EncodedImages
from failmodes.ingest.datasets.labeled_images import LabeledImages
from failmodes.ingest.datasets.labels import classes_of
from failmodes.ingest.datasets.layout import Request
from failmodes.ingest.datasets.metadata import is_text, typed_metadata
from failmodes.runtime.errors import DataError, listed, printable


class Role(NamedTuple):
    """What a column holds.

    Attributes:
        key: of the study, and option of a benchmark, that names the column.
        usual: names that need no key, the most likely first.
        feature: type of such a column in a Hugging Face dataset.
    """

    key: str
    usual: tuple[str, ...]
    feature: str


IMAGE = Role("image_column", ("image", "img", "images", "pixel_values", "jpg", "png"), "Image")
LABEL = Role("label_column", ("label", "labels", "fine_label", "target", "targets", "cls"), "ClassLabel")
COLUMN_KEYS = {IMAGE.key, LABEL.key}


def candidate_columns(role: Role, names: Collection[str], features: Mapping[str, str]) -> tuple[str, ...]:
    """Columns that may have a role: usual names first, then those of its feature type.

    Args:
        role: what they hold.
        names: of all columns.
        features: their feature types, as far as they are known.
    """
    marked = [name for name, feature in features.items() if feature == role.feature]
    return tuple(name for name in dict.fromkeys((*role.usual, *marked)) if name in names)


def choose_column(
    role: Role, names: Collection[str], features: Mapping[str, str], subject: str, named: str | None = None
) -> tuple[str, ...]:
    """The candidate columns, the chosen one first: the one that is named, has a usual name, or is the only one.

    Args:
        role: what they hold.
        names: of all columns.
        features: their feature types.
        subject: what has the columns, for errors: "data.parquet has the columns".
        named: the column that the user names.

    Raises:
        DataError: there is none, or several without a usual name.
    """
    candidates = (named,) if named is not None else candidate_columns(role, names, features)
    if not candidates or candidates[0] not in names:
        shown = listed([printable(str(name), 60) for name in names], 12)
        expected = repr(named) if named is not None else f"one of {', '.join(role.usual)}"
        raise DataError(f"{subject} {shown}: expected {expected}; {role.key} names the column")
    if len(candidates) > 1 and candidates[0] not in role.usual:
        several = ", ".join(printable(name, 60) for name in candidates)
        raise DataError(f"several columns have the type {role.feature} ({several}): choose one with {role.key}")
    return candidates


class ChosenColumns(NamedTuple):
    """The columns of a dataset by their roles.

    Attributes:
        image: of the images.
        label: of the labels.
        others: those that are read: the label and the metadata.
        features: description of each column, as Hugging Face stores it: `_type`, and `names` of classes.
        note: the column of the labels, where several were possible.
    """

    image: str
    label: str
    others: tuple[str, ...]
    features: Mapping[str, Mapping[str, Any]]
    note: str | None


def choose_columns(
    request: Request, names: Sequence[str], features: Mapping[str, Mapping[str, Any]], subject: str
) -> ChosenColumns:
    """Choose the columns of images and labels, by the study's keys or as `choose_column`.

    Raises:
        DataError: one is missing or ambiguous.
    """
    spec = request.spec
    types = {name: str(feature.get("_type")) for name, feature in features.items()}
    image = choose_column(IMAGE, names, types, subject, spec.image_column)[0]
    of_labels = [name for name in names if name != image]
    label, *others_possible = choose_column(LABEL, of_labels, types, subject, spec.label_column)
    note = f"labels are the column {label!r}" if spec.label_column is not None or others_possible else None
    kept = spec.metadata_columns
    others = [name for name in names if name not in (image, label) and (kept is None or name in kept)]
    return ChosenColumns(image, label, (label, *others), features, note)


def label_by_columns(
    encoded: EncodedImages, chosen: ChosenColumns, others: pa.Table, location: str, paths: Sequence[str | None]
) -> LabeledImages:
    """Images with the labels and the metadata of their columns.

    Args:
        encoded: the images.
        chosen: the columns.
        others: the columns beside the images, (N,) each.
        location: the file or dataset, for errors.
        paths: (N,) paths that are stored with the images; they name these if they are unique.

    Raises:
        DataError: a label is missing or no class.
    """
    names, labels = _classes(others[chosen.label], chosen, location)
    metadata = {
        name: _with_class_names(values, chosen.features.get(name, {}))
        for name, values in zip(others.column_names, others.columns, strict=True)
        if name != chosen.label
    }
    known = tuple(path for path in paths if path)
    return LabeledImages(
        encoded,
        labels,
        names,
        [chosen.note] if chosen.note else [],
        known if len(set(known)) == len(encoded) else None,
        metadata=typed_metadata(metadata, location),
    )


def _classes(
    values: pa.ChunkedArray, chosen: ChosenColumns, location: str
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The class names and the labels (N,) of a column."""
    column = f"{location}: the column {printable(chosen.label, 60)!r}"
    if values.null_count:
        row = int(np.argmax(values.is_null().to_numpy()))
        raise DataError(
            f"{column} is empty in row {row + 1} ({values.null_count:,} such rows): expected a label in each"
        )
    names = chosen.features.get(chosen.label, {}).get("names")
    if pa.types.is_integer(values.type):
        labels = class_indices(values.to_numpy(), column)
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            check_labels(labels, len(names), column)
            return tuple(names), labels
        check_labels(labels, MAX_CLASSES, column)
        return tuple(map(str, range(int(labels.max()) + 1))), labels
    if not is_text(values.type):
        raise DataError(f"{column} holds {printable(str(values.type), 100)}: expected names or whole numbers")
    class_names, indices = classes_of(pl.Series(pl.from_arrow(values)), location)
    return class_names, indices.to_numpy().astype(np.int64)


def _with_class_names(values: pa.ChunkedArray, feature: Mapping[str, Any]) -> pa.ChunkedArray:
    """Class indices of a feature with names as these names; other values unchanged."""
    names = feature.get("names")
    if not isinstance(names, list) or not pa.types.is_integer(values.type):
        return values
    known = dict(enumerate(names))
    return pa.chunked_array([pa.array([known.get(index) for index in values.to_pylist()], pa.string())])
