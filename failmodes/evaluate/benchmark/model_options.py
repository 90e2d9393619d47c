"""What a benchmark says of all its models: how pixels become input, what the outputs are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from failmodes.evaluate.study.study_schema import ClassProtocol, Normalization, OutputKind
from failmodes.ingest.datasets.imagenet_classes import imagenet_names
from failmodes.ingest.specification import validate
from failmodes.warehouse.errors import StudyError


@dataclass(frozen=True)
class ModelOptions:
    """What is said of all models of a benchmark; the keys of a study's [[models]] table mean the same there.

    Attributes:
        normalization: mean and std of values / 255.
        preprocess: a user's own function from pixels to input, instead.
        input_side_px: the side that images are resized to.
        class_names: names of the outputs, in order, or "imagenet-1k".
        class_map: the output of a class of the data set, where names do not match.
        attention_layer: the layer to look at, instead of the one found.
        classes: whether outputs that are no classes of the data set take part.
        output_key: which of its outputs are the logits, where it gives several.
        output_kind: "logits" or "probabilities"; logits if not given.
        deterministic: False accepts a model that gives an image other outputs each time.
        version: stands in identities for code that cannot be read.
    """

    normalization: Normalization | None = None
    preprocess: Callable[..., Any] | None = None
    input_side_px: int | None = None
    class_names: str | list[str] | None = None
    class_map: Mapping[str, int | str] | None = None
    attention_layer: str | None = None
    classes: ClassProtocol | None = None
    output_key: str | None = None
    output_kind: OutputKind | None = None
    deterministic: bool = True
    version: str | None = None

    @property
    def says_inputs(self) -> bool:
        """Whether anything says how pixels become input."""
        return self.normalization is not None or self.preprocess is not None

    @property
    def output_names(self) -> tuple[str, ...] | None:
        """Names of the outputs, in order."""
        if self.class_names == "imagenet-1k":
            return imagenet_names()
        return None if self.class_names is None else tuple(self.class_names)


def make_model_options(normalization: Any, class_names: Any, **options: Any) -> ModelOptions:
    """Options as a user gives them: a normalization as a pair or a mapping, class names as any sequence.

    Raises:
        StudyError: no such normalization, or no names.
    """
    if isinstance(normalization, tuple | list) and len(normalization) == 2:
        normalization = {"mean": normalization[0], "std": normalization[1]}
    elif normalization is not None and not isinstance(normalization, Mapping | Normalization):
        shown = repr(normalization)[:60]
        raise StudyError(
            f"benchmark: normalization is {shown}: expected (mean, std), three numbers each, of values / 255"
        )
    if isinstance(normalization, Mapping):  # of arrays, tensors or lists
        normalization = {key: np.asarray(value).tolist() for key, value in normalization.items()}
    if normalization is not None:
        normalization = validate(
            Normalization, normalization, "benchmark: normalization", lambda location: ".".join(map(str, location))
        )
    names = class_names if class_names == "imagenet-1k" else check_names("class_names", class_names)
    return ModelOptions(normalization=normalization, class_names=names, **options)


def check_names(argument: str, names: Any) -> list[str] | None:
    """Names as a list; None where none are given.

    Raises:
        StudyError: it is no sequence of names.
    """
    if names is None:
        return None
    listed = list(names) if isinstance(names, Sequence | np.ndarray) and not isinstance(names, str) else []
    if not listed or not all(isinstance(name, str) for name in listed):
        shown = repr(names) if isinstance(names, str) else f"a {type(names).__name__}"
        raise StudyError(f"benchmark: {argument} is {shown}: expected a list of names, in the order of their numbers")
    return [str(name) for name in listed]
