"""Functions from pixels to logits as models of a benchmark."""

import functools
import operator

import numpy as np
import pytest
import torch
from live_models import IMAGES, Predictor, as_model, live, logits
from torch import nn

from failmodes.evaluate.benchmark import why_unnamed
from failmodes.warehouse.errors import ModelError, StudyError

LOGITS = IMAGES.mean((1, 2))
FUNCTIONS = {
    "NumPy": lambda images: images.mean((1, 2)),
    "lists": lambda images: images.mean((1, 2)).tolist(),
    "torch": lambda images: torch.from_numpy(images.mean((1, 2))),
    "tensors": lambda images: [torch.from_numpy(row) for row in images.mean((1, 2))],
    "with gradients": lambda images: torch.from_numpy(images.mean((1, 2))) * nn.Parameter(torch.ones(1)),
    "writes into its input": lambda images: images.mean((1, 2)) + 0 * np.add(images, 0, out=images).min(),
    "callable": Predictor(),
    "method": Predictor().__call__,
    "partial": functools.partial(np.mean, axis=(1, 2)),
    "methodcaller": operator.methodcaller("mean", (1, 2)),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_function_gets_pixels_and_gives_logits(function) -> None:
    made = as_model(function)
    torch.testing.assert_close(logits(made), torch.from_numpy(LOGITS).float())
    assert why_unnamed(made).startswith("a function of the program that called this benchmark")
    assert (made.preprocessing.normalization, made.checkpoint) == (None, None)
    assert ":" in made.architecture
    assert "its own preparation of the pixels" in "; ".join(made.assumptions().values())


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (
            lambda images: 1 / 0,
            r"raised ZeroDivisionError at its first images, of 8×8 px: division by zero \(test_live_f",
        ),
        (lambda images: images.mean((1, 2))[0], r"gives \(3,\) for one image: expected logits of shape \(1, classes\)"),
        (lambda images: images.mean(1), r"gives \(1, 8, 3\) for one image"),
        (lambda images: None, "raised RuntimeError at its first images, of 8×8 px: Could not infer dtype of NoneType"),
        (lambda images: np.ones((len(images), 5)), "5 outputs, but the data set has 3 classes"),
        (lambda images: np.ones((1, 5)), r"gives \(1, 5\) for two images: expected \(2, 5\)"),
    ],
    ids=["raises", "squeezes", "gives maps", "gives nothing", "other classes", "one row"],
)
def test_a_function_that_gives_no_logits_is_refused(function, said: str) -> None:
    with pytest.raises(StudyError if "3 classes" in said else ModelError, match=said):
        as_model(function)


@pytest.mark.parametrize(
    "more", [{"normalization": (0.5, 0.5)}, {"preprocess": torch.Tensor.float}, {"input_side_px": 9}]
)
def test_a_function_prepares_its_pixels_itself(more) -> None:
    if "normalization" in more:
        more = {"normalization": ([0.5] * 3, [0.5] * 3)}
    with pytest.raises(ModelError, match="'Net A' is a function, which gets uint8 pixels: prepare them inside it"):
        live(Predictor(), **more)
