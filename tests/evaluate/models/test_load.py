"""Loading: what travels with a model, who goes first, and refusal before the first batch."""

import pytest
from model_specs import dataset_of, model_spec

from failmodes.evaluate.models.load import load_model
from failmodes.evaluate.study.study_schema import Normalization
from failmodes.warehouse.errors import ModelError, StudyError

NEUTRAL = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}

UNFIT = {
    "no normalization": ("Silent", {}, "how its inputs were normalized"),
    "a normalization that is none": ("Wrong", {}, "a normalization that is none"),
    "another side": ("Net", {}, "expects images of 8×8 px, .* are 16×16"),
    "two outputs of a name": ("Net", {"input_side_px": 8, "class_names": ["a", "a"]}, "'a' matches outputs 0 "),
    "more outputs": ("Many", {"normalization": NEUTRAL}, "1000 outputs, .* 3 classes"),
    "fewer outputs than said": (
        "Silent", {"normalization": NEUTRAL, "class_map": {"a": 7, "b": 1, "c": 2}}, "the output 7, but .* 0 to 2",
    ),
    "no logits": ("Maps", {"normalization": NEUTRAL}, r"gives \(1, 3, 16, 16\)"),
    "two results": ("Both", {"normalization": NEUTRAL}, "output_key"),
}  # fmt: skip

OF_THE_MODEL = ("a normalization that is none", "no logits")  # not of what the study says of it


@pytest.mark.parametrize("case", UNFIT)
def test_a_users_model_that_does_not_fit_is_refused_before_the_first_batch(case: str, user_module: str) -> None:
    function, changes, message = UNFIT[case]
    with pytest.raises(ModelError if case in OF_THE_MODEL else StudyError, match=message) as caught:
        load_model(model_spec(f"{user_module}:{function}", **changes), dataset_of(16))
    assert "\n" not in str(caught.value)


OTHER = {"mean": [0.1, 0.2, 0.3], "std": [1.0, 1.0, 1.0]}


def test_a_users_model_says_its_own_normalization_side_and_classes(user_module: str) -> None:
    model = load_model(model_spec(f"{user_module}:Named"), dataset_of(8))
    assert (model.class_outputs, model.preprocessing.input_side_px) == ([1, 2, 0], 8)
    assert model.preprocessing.normalization == Normalization.model_validate(OTHER)
    assert model.row()["family"] == "named"
    again = load_model(model_spec(f"{user_module}:Named"), dataset_of(8))
    assert again.model_id == model.model_id  # weights drawn at random are the same every time
