"""Which evaluations a name given to `failmodes remove` means."""

from datetime import datetime

import pytest

from failmodes.analysis.commands.remove import labeled, named_evaluations
from failmodes.runtime.errors import StudyError
from failmodes.warehouse.database.removal import StoredEvaluation

FACTS = {
    "model_label": "ResNet", "model_id": "m", "architecture": "resnet18", "variant": None, "family": "resnet",
    "class_protocol": None, "training_seed": None, "precision": "float32", "input_mean": None, "input_std": None,
    "resize_px": None, "crop_px": None, "interpolation": None,
    "input_side_px": None, "preprocessing": None, "class_outputs": None, "checkpoint": None,
    "attention_method": "none", "attention_layer": None, "evaluated_at": datetime(2026, 3, 1),
    "comparable_id": "all",
}  # fmt: skip
STORED = [
    StoredEvaluation(FACTS | {"evaluation_id": key} | own, 3)
    for key, own in {
        "aaaa1": {},
        "aaaa2": {"input_mean": [0.5], "input_std": [0.5], "evaluated_at": datetime(2026, 3, 2)},
        "bbbb1": {"comparable_id": "other"},
        "cccc1": {"model_label": "ViT"},
    }.items()
]


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("ResNet", ["aaaa2", "aaaa1", "bbbb1"]),
        ("ResNet (no normalization)", ["aaaa1"]),
        ("ViT", ["cccc1"]),
        ("bbbb", ["bbbb1"]),
        ("aaaa1", ["aaaa1"]),
    ],
)
def test_a_name_is_a_label_alone_or_in_full_or_an_identity(name: str, keys: list[str]) -> None:
    assert [one.evaluation_id for one in named_evaluations(labeled(STORED), name)] == keys


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("aaaa", r"begin with 'aaaa': aaaa2 \(ResNet \(normalized\)\) and aaaa1 \(ResNet \(no normalization\)\)"),
        ("aaa", "no evaluation 'aaa'"),
        ("ResNt", "did you mean 'ResNet'"),
        ("fir", r"choose among 'ResNet \(normalized\)'"),
    ],
)
def test_a_name_that_means_none_or_several_is_refused(name: str, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        named_evaluations(labeled(STORED), name)


def test_what_an_interrupted_removal_left_goes_with_any_other() -> None:
    left = StoredEvaluation(FACTS | {"evaluation_id": "dddd1", "model_label": None}, 0)
    labels = labeled([*STORED, left])
    assert [one.evaluation_id for one in named_evaluations(labels, "ViT")] == ["cccc1", "dddd1"]
    assert named_evaluations(labels, "gone") == [left]
