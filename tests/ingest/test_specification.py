"""What a study may say about datasets and corruptions, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from failmodes.ingest.datasets.layout import DatasetSpec
from failmodes.ingest.specification import CorruptionSpec, first_problem

BAD_SPECS: dict[str, tuple[type, dict[str, Any], str]] = {
    "unknown key": (DatasetSpec, {"kind": "digits", "color": 1}, "Extra inputs are not permitted"),
    "unknown kind": (DatasetSpec, {"kind": "medmnst"}, "did you mean 'medmnist'"),
    "no path": (DatasetSpec, {"kind": "cifar10"}, "needs `path`"),
    "path of digits": (DatasetSpec, {"kind": "digits", "path": "x"}, "leave out `path`"),
    "size of cifar": (DatasetSpec, {"kind": "cifar10", "path": "x", "image_size": 64}, "`image_size` is for"),
    "no images": (DatasetSpec, {"kind": "digits", "images": 0}, "greater than or equal to 1"),
    "misspelt": (CorruptionSpec, {"names": ["gausian_noise"]}, "did you mean 'gaussian_noise'"),
    "twice": (CorruptionSpec, {"names": ["fog", "fog"]}, "named twice"),
    "clean severity": (CorruptionSpec, {"severities": [0, 1]}, "always evaluated: leave it out"),
    "axis of two ends": (CorruptionSpec, {"names": ["contrast"], "axes": {"contrast": "%,100..1"}}, "name every level"),
    "axis of another": (CorruptionSpec, {"names": ["contrast"], "axes": {"fog": "0..1"}}, "no corruption 'fog'"),
    "axis of words": (CorruptionSpec, {"names": ["contrast"], "axes": {"contrast": "much"}}, "has no range of levels"),
    "severity": (CorruptionSpec, {"severities": [1, 5.5]}, "5.5 is out of range"),
    "no severity": (CorruptionSpec, {"severities": [float("nan")]}, "out of range"),
    "switches": (
        CorruptionSpec,
        {"names": ["all"], "severities": [1, 2.5]},
        "2.5 is not defined for glass_blur .*leave out",
    ),
    "recipe": (CorruptionSpec, {"recipe": "imagenet"}, "'cifar-c' or 'imagenet-c'"),
    "severity twice": (CorruptionSpec, {"severities": [1, 1]}, "named twice"),
    "no names": (CorruptionSpec, {"names": []}, "at least 1"),
    "seed": (CorruptionSpec, {"seeds": [-1]}, "greater than or equal to 0"),
    "published seeds": (CorruptionSpec, {"published": "x", "seeds": [1, 2]}, "has its own noise"),
}


@pytest.mark.parametrize(("spec", "values", "message"), BAD_SPECS.values(), ids=BAD_SPECS.keys())
def test_bad_specifications(spec: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec(**values)


def test_specifications_have_sensible_defaults() -> None:
    spec = CorruptionSpec()
    assert (len(spec.names), spec.severities, spec.seeds) == (6, [1, 2, 3, 4, 5], [0])
    assert CorruptionSpec(published=Path("x"), names=["frosted_glass_blur"]).names == ["glass_blur"]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"kind": "digits", "imagse": 1}, "imagse: unknown key; did you mean 'images'?"),
        ({"kind": "digits", "images": 0}, "images: input should be greater than or equal to 1 (given: 0)"),
        ({"images": 0}, "kind: this key is missing (and 1 more)"),
        ({"kind": "cifar10"}, "study: kind 'cifar10' needs `path`, the folder that holds it"),
    ],
)
def test_the_first_problem_is_one_line(values: dict[str, Any], line: str) -> None:
    with pytest.raises(ValidationError) as caught:
        DatasetSpec(**values)
    assert first_problem(caught.value, DatasetSpec) == line


def test_numbers_of_numpy_are_numbers() -> None:
    spec = CorruptionSpec(names=["fog"], seeds=list(np.arange(3)), severities=list(np.float32([1, 2.5])))
    assert (spec.seeds, [float(level) for level in spec.severities]) == ([0, 1, 2], [1.0, 2.5])
    assert DatasetSpec(kind="digits", images=np.int64(7)).images == 7
