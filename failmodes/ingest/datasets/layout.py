"""The datasets of a study: their keys, the registry of layouts by `kind`, and opening one of any layout."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import Field, field_validator, model_validator

from failmodes.ingest.corruptions.pixels import check_gray
from failmodes.ingest.datasets.dataset import BLOCK_IMAGES, KEPT_GRAY, Dataset
from failmodes.ingest.datasets.side_table import MetadataSpec, with_side_table
from failmodes.ingest.study_types import PRINTABLE, ChannelValue, Count, Flag, Name, SidePx, StrictModel, UserPath
from failmodes.runtime.errors import DataError, StudyError, did_you_mean
from failmodes.runtime.packages import import_modules

LAYOUTS_PACKAGE = "failmodes.ingest.datasets.layouts"
OF_ENCODED = frozenset({"image_size", "resize", "background", "gray", "decode", "skip_unreadable"})  # keys of images
OPTIONAL_KEYS = ("name", "masks", "image_column", "label_column", *sorted(OF_ENCODED - {"resize"}))  # of some kinds
VALIDATION = "validation"  # a split, and a key of `takes`
Split = Literal["train", "test", "validation"]


class DatasetSpec(StrictModel):
    """A dataset of a study.

    Attributes:
        kind: its layout: digits (embedded), cifar10, cifar100, a folder of labeled images, arrays (images.npy,
            labels.npy), or one that a module of `ingest/datasets/layouts` adds.
        path: the folder that holds it, or its file or files; not for digits.
        name: of a dataset of the Hugging Face hub, or of a class of torchvision.datasets.
        split: the part to evaluate.
        images: how many of its images, balanced over classes; default: all.
        image_list: a text file that names the images to evaluate, one `class/file` a line, as RobustBench publishes.
        image_size: side of the square that a folder's images are cropped to, pixels.
        resize: length of their shorter side before the crop, pixels; default: image_size.
        background: red, green and blue, 0 to 255, that a folder's transparent images are composited on; default:
            white.
        gray: its images are gray and stay gray when corrupted: the three channels stay equal; not for CIFAR.
        image_column: column of the images; default: one of the usual names, or the only one of images.
        label_column: column of the labels; default: one of the usual names, or the only one of class labels.
        decode: "once" decodes each image once, into `output`/cache; "on-demand" each time that it is read, in little
            memory and disk space. Default: once if the disk has enough space.
        skip_unreadable: leave out images that cannot be decoded, and count them; default: they are an error.
        metadata: a table of metadata of the images, or which columns to keep.
        masks: object masks: a folder of images under the names of a folder's images, or the .npy (N, H, W) of arrays.
        label: its name on charts, instead of the built-in one.
    """

    kind: Name
    path: UserPath | None = None
    name: Annotated[Name, Field(min_length=1)] | None = None
    split: Split = "test"
    images: Count | None = None
    image_list: UserPath | None = None
    image_size: SidePx | None = None
    resize: SidePx | None = None
    background: Annotated[list[ChannelValue], Field(min_length=3, max_length=3)] | None = None
    gray: Flag = False
    image_column: Name | None = None
    label_column: Name | None = None
    decode: Literal["once", "on-demand"] | None = None
    skip_unreadable: Flag = False
    metadata: MetadataSpec | None = None
    masks: UserPath | None = None
    label: Annotated[str, Field(min_length=1, max_length=200), PRINTABLE] | None = None

    @property
    def metadata_columns(self) -> list[str] | None:
        """The only columns of metadata to keep; None for all."""
        return None if self.metadata is None else self.metadata.columns

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, kind: str) -> str:
        if kind not in layouts():
            raise ValueError(f"unknown kind: {did_you_mean(kind, layouts())}")
        return kind

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "DatasetSpec":
        known = layouts()[self.kind]
        if known.expected is None and self.path is not None:
            raise ValueError(f"kind {self.kind!r} comes with its images: leave out `path`")
        if known.expected is not None and self.path is None and self.name is None:
            raise ValueError(f"kind {self.kind!r} needs `path`, the folder that holds it")
        for key in OPTIONAL_KEYS:
            if getattr(self, key) and key not in known.takes:
                raise ValueError(f"`{key}` is for kind {_kinds_that_take(key)}: leave it out with {self.kind!r}")
        if self.split == VALIDATION and VALIDATION not in known.takes:
            raise ValueError(f'`split` "validation" is for kind {_kinds_that_take(VALIDATION)}: set "test" or "train"')
        if self.resize is not None and not self.image_size:
            raise ValueError("`resize` goes with `image_size`, the side to crop to, such as resize 256, image_size 224")
        if self.resize is not None and self.image_size and self.resize < self.image_size:
            raise ValueError(
                f"`resize` {self.resize} is less than `image_size` {self.image_size}: it must be at least that"
            )
        return self


class ShiftSpec(DatasetSpec):
    """A natural shift: other images of the dataset's classes, evaluated beside its clean ones.

    Its keys are those of a dataset. `image_size`, `resize` and `background` are by default those of the dataset.

    Attributes:
        masks: not for a shift.
        label: required: its name on charts, in claims and in rules.
    """

    @model_validator(mode="after")
    def _has_a_label(self) -> "ShiftSpec":
        if self.label is None:
            raise ValueError("a shift needs a `label`, its name on charts")
        return self

    @field_validator("masks")
    @classmethod
    def _no_masks(cls, masks: Any) -> None:
        if masks is not None:
            raise ValueError("a shift has no masks: leave them out")

    def beside(self, dataset: DatasetSpec) -> DatasetSpec:
        """The specification of its images beside a dataset."""
        takes = layouts()[self.kind].takes
        taken: dict[str, Any] = {}
        if self.image_size is None and dataset.image_size is not None and "image_size" in takes:
            taken |= {"image_size": dataset.image_size, "resize": dataset.resize}
        if self.background is None and "background" in takes:
            taken["background"] = dataset.background
        if not self.gray and "gray" in takes:
            taken["gray"] = dataset.gray
        return self.model_copy(update=taken)


class Request(NamedTuple):
    """A request to open a split of a dataset.

    Attributes:
        spec: the dataset's part of the study.
        path: the existing folder; the current one for a layout that needs none.
        split: "train", "test" or "validation".
        cache: folder for images that must be decoded.
        masks: path of the object masks of the split; None without masks.
    """

    spec: DatasetSpec
    path: Path
    split: str
    cache: Path
    masks: Path | None


@dataclass(frozen=True)
class Layout:
    """A layout.

    Attributes:
        kind: its name in a study.
        open: opens a split.
        takes: optional keys of the study's `[dataset]` that it takes, such as image_size, gray or label_column.
        expected: description of `path`, for errors, with {path} and its {parent}; None for a layout without a path.
        path_is: a folder, a file, or "files": one, a folder of several, or a pattern, which the layout checks.
    """

    kind: str
    open: Callable[[Request], Dataset]
    takes: frozenset[str]
    expected: str | None
    path_is: Literal["folder", "file", "files"] = "folder"


_LAYOUTS: dict[str, Layout] = {}


def layout(
    *kinds: str,
    takes: Collection[str] = (),
    expected: str | None,
    path_is: Literal["folder", "file", "files"] = "folder",
) -> Callable[[Callable[[Request], Dataset]], Callable[[Request], Dataset]]:
    """Register a function that opens datasets of these kinds; see `Layout`."""

    def define(function: Callable[[Request], Dataset]) -> Callable[[Request], Dataset]:
        for kind in kinds:
            _LAYOUTS[kind] = Layout(kind, function, frozenset(takes), expected, path_is)
        return function

    return define


def refuse_other_split(request: Request) -> None:
    """Refuse to open another split of a dataset that has only the one that the study names.

    Raises:
        DataError: another split is requested, such as the train split of a test set.
    """
    if request.split != request.spec.split:
        raise DataError(f"{request.path} is the {request.spec.split} split: it has no {request.split} images")


@cache
def layouts() -> Mapping[str, Layout]:
    """Every layout by the kind that a study names."""
    import_modules(LAYOUTS_PACKAGE)
    return dict(sorted(_LAYOUTS.items()))


def open_dataset(spec: DatasetSpec, cache: Path, split: str | None = None) -> Dataset:
    """Open one split of a dataset; nothing is copied that can be mapped.

    Args:
        spec: which dataset, and its path.
        cache: folder for decoded images, kept as memory-mapped `.npy`.
        split: "train", "test" or "validation"; default: that of the specification.

    Returns:
        The whole split, not the subset of the specification's `images`. Masks only for the specification's own split.

    Raises:
        StudyError: an unknown split, or the path does not exist.
        DataError: it is damaged or of another kind, or an image is not gray although `gray` is set.
    """
    split = split or spec.split
    if split not in get_args(Split):
        raise StudyError(f"unknown split {split!r}: expected one of {', '.join(map(repr, get_args(Split)))}")
    dataset = _read(spec, cache, split, spec.masks if split == spec.split else None)
    if spec.gray and not dataset.gray:
        for start in range(0, len(dataset.images), BLOCK_IMAGES):
            check_gray(dataset.images[start : start + BLOCK_IMAGES], start)
        note = "; ".join(filter(None, [KEPT_GRAY, dataset.note]))
        dataset = replace(dataset, gray=True, note=note)
    if spec.metadata is not None:
        dataset = with_side_table(dataset, spec.metadata, split=split, has_gaps=spec.skip_unreadable)
    return replace(dataset, label=spec.label) if spec.label else dataset


def _kinds_that_take(key: str) -> str:
    return " or ".join(repr(layout.kind) for layout in layouts().values() if key in layout.takes)


def _read(spec: DatasetSpec, cache: Path, split: str, masks: Path | None) -> Dataset:
    layout = layouts()[spec.kind]
    path = spec.path or Path()
    if layout.expected is not None and spec.path is not None and not _is_as_expected(path, layout):
        state = "is not a regular file" if layout.path_is == "file" else "is a file, not a folder"
        state = state if path.exists() else "does not exist"
        raise StudyError(f"{path} {state}: expected {layout.expected.format(path=path, parent=path.parent)}")
    return layout.open(Request(spec, path, split, cache, masks))


def _is_as_expected(path: Path, layout: Layout) -> bool:
    return layout.path_is == "files" or (path.is_file() if layout.path_is == "file" else path.is_dir())
