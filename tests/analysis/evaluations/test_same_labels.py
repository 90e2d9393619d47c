"""Evaluations of one label: the bracket that tells them apart, their order, and the words for what differs."""

from datetime import datetime
from typing import Any

import pytest

from failmodes.analysis.evaluations.same_labels import differences, distinct_labels, newest_first
from failmodes.warehouse.schema import IMPORTED_FAMILY

IMAGENET = {"input_mean": [0.485, 0.456, 0.406], "input_std": [0.229, 0.224, 0.225]}
HALF = {"input_mean": [0.5] * 3, "input_std": [0.25] * 3}
WIDER = {"input_mean": [0.5] * 3, "input_std": [0.5] * 3}
UNIT = {"input_mean": [0.0] * 3, "input_std": [1.0] * 3}
SHARED = {
    "model_label": "ResNet", "model_id": "m", "architecture": "resnet18", "variant": None, "family": "resnet",
    "class_protocol": None, "training_seed": None, "precision": "float32", "input_mean": None, "input_std": None,
    "resize_px": None, "crop_px": None, "interpolation": None,
    "input_side_px": None, "preprocessing": None, "class_outputs": None, "checkpoint": None,
    "attention_method": "grad-cam", "attention_layer": "layer4", "evaluated_at": datetime(2026, 3, 1),
}  # fmt: skip


def rows(*own: dict[str, Any]) -> list[dict[str, Any]]:
    return [SHARED | {"evaluation_id": f"{place:016x}"} | facts for place, facts in enumerate(own, start=1)]


@pytest.mark.parametrize(
    ("facts", "labels"),
    [
        ([{}], ["ResNet"]),
        ([{}, {"model_label": "Other"}], ["ResNet", "Other"]),
        ([IMAGENET, {}], ["ResNet (normalized)", "ResNet (no normalization)"]),
        ([IMAGENET, UNIT], ["ResNet (normalized)", "ResNet (no normalization)"]),
        ([IMAGENET, HALF], ["ResNet (mean 0.485, 0.456, 0.406)", "ResNet (mean 0.5)"]),
        ([HALF, WIDER, {}], ["ResNet (std 0.25)", "ResNet (std 0.5)", "ResNet (no normalization)"]),
        ([IMAGENET, {"family": IMPORTED_FAMILY}], ["ResNet (normalized)", "ResNet (normalization not stated)"]),
        ([{"training_seed": 3}, {"training_seed": None}], ["ResNet (seed 3)", "ResNet (training seed not stated)"]),
        ([{"input_side_px": 224}, {}], ["ResNet (224 px)", "ResNet (input size as stored)"]),
        ([{"evaluated_at": datetime(2026, 3, 2)}, {}], ["ResNet (2026-03-02)", "ResNet (2026-03-01)"]),
        (
            [{"evaluated_at": datetime(2026, 3, 1, 14, 5)}, {}],
            ["ResNet (2026-03-01 14:05)", "ResNet (2026-03-01 00:00)"],
        ),
        (
            [{"evaluated_at": datetime(2026, 3, 1, 14, 5, 7)}, {"evaluated_at": datetime(2026, 3, 1, 14, 5, 9)}],
            ["ResNet (2026-03-01 14:05:07)", "ResNet (2026-03-01 14:05:09)"],
        ),
        ([{}, {}], ["ResNet (evaluation 0000000000000001)", "ResNet (evaluation 0000000000000002)"]),
        ([{"model_id": "a" * 16}, {"model_id": "b" * 16}], ["ResNet (model aaaaaaaa)", "ResNet (model bbbbbbbb)"]),
        (
            [{"preprocessing": "prepare to 64×64 px"}, IMAGENET, HALF],
            [
                "ResNet (preprocessing prepare to 64×64 px)",
                "ResNet (no own preprocessing, mean 0.485, 0.456, 0.406)",
                "ResNet (no own preprocessing, mean 0.5)",
            ],
        ),
        (
            [{"class_outputs": [2, 0, 1, 3, 4]}, {}],
            ["ResNet (classes from outputs 2, 0, 1, 3 …)", "ResNet (classes from outputs in order)"],
        ),
        (
            [{"attention_layer": "layer3"}, {}],
            ["ResNet (attention at layer3)", "ResNet (attention at layer4)"],
        ),
        (
            [IMAGENET | {"precision": "float16"}, {"precision": "float16"}, {}],
            ["ResNet (float16, normalized)", "ResNet (float16, no normalization)", "ResNet (float32)"],
        ),
    ],
)
def test_the_bracket_says_what_differs(facts: list[dict[str, Any]], labels: list[str]) -> None:
    assert distinct_labels(rows(*facts)) == labels


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (
            [{"evaluated_at": datetime(2026, 3, 2)}, IMAGENET],
            "normalization (none / mean 0.485, 0.456, 0.406) and date (2026-03-02 / 2026-03-01)",
        ),
        ([{"model_id": "other"}, {"checkpoint": "a.pt"}], "checkpoint (none / a.pt)"),
        (
            [{"model_id": "other", "evaluated_at": datetime(2026, 3, 2)}, {}],
            "weights and date (2026-03-02 / 2026-03-01)",
        ),
        (
            [{"preprocessing": "prepare to 64×64 px"}, HALF],
            "preprocessing (prepare to 64×64 px / none) and normalization (own preprocessing / mean 0.5)",
        ),
        ([{}, {}], "evaluation_id (0000000000000001 / 0000000000000002)"),
        (
            [{}, {"precision": "float16", "input_side_px": 32, "architecture": "vit", "class_protocol": "all"}],
            "precision, input size, architecture and classes",
        ),
    ],
)
def test_a_sentence_names_what_differs_with_its_values(facts: list[dict[str, Any]], words: str) -> None:
    assert differences(rows(*facts)) == words


def test_the_newest_of_a_label_is_first_and_training_seeds_stand_in_their_order() -> None:
    given = rows({}, {"evaluated_at": datetime(2026, 3, 2)}, {"evaluated_at": None}, {"model_label": "Fir"})
    assert [row["evaluation_id"][-1] for row in newest_first(given)] == ["4", "2", "1", "3"]
    seeds = rows({"training_seed": 10}, {"training_seed": 2, "evaluated_at": datetime(2026, 1, 1)})
    assert [row["training_seed"] for row in newest_first(seeds)] == [2, 10]
