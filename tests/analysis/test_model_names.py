"""Names of models: labels before identities before architectures, and one error that says what to type instead."""

import pytest

from failmodes.analysis.model_names import UnknownModelError, named_model
from failmodes.analysis.selection import EvaluationInfo
from failmodes.analysis.trained_models import TrainedModel


def run(
    identity: str, label: str, *, model: str = "", architecture: str | None = "resnet18", data: str = "Digits"
) -> EvaluationInfo:
    facts = {"model_label": model or label, "architecture": architecture, "image_count": 2000,
             "dataset_label": data, "source_label": "cifar-c"}  # fmt: skip
    return EvaluationInfo(identity, label, facts)


FIR = TrainedModel("Fir", (run("aaaa1", "Fir, seed 1"), run("aaaa2", "Fir, seed 2")))
OAK = TrainedModel("Oak", (run("bbbb1", "Oak", architecture="densenet121"),))
ELM = TrainedModel("Elm (float32)", (run("cccc1", "Elm (float32)", model="Elm", architecture=None),))
OTHER_OAK = TrainedModel("Oak", (run("dddd1", "Oak", architecture="vit", data="Photographs"),))
MODELS = [FIR, OAK, ELM]


@pytest.mark.parametrize(
    ("name", "label", "identities"),
    [
        ("Fir", "Fir", ["aaaa1", "aaaa2"]),
        ("Fir, seed 2", "Fir, seed 2", ["aaaa2"]),
        ("aaaa1", "Fir, seed 1", ["aaaa1"]),
        ("bbbb", "Oak", ["bbbb1"]),
        ("DenseNet121", "Oak", ["bbbb1"]),
        ("resnet18", "Fir", ["aaaa1", "aaaa2"]),
        ("Elm", "Elm (float32)", ["cccc1"]),
    ],
)
def test_a_name_means_one_model(name: str, label: str, identities: list[str]) -> None:
    found = named_model(MODELS, name)
    assert (found.label, [one.evaluation_id for one in found.runs]) == (label, identities)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Fri", "no model 'Fri' in w.duckdb: did you mean 'Fir'?"),
        ("densnet121", "no model 'densnet121' in w.duckdb: did you mean 'densenet121'?"),
        ("bbb", "no model 'bbb' in w.duckdb: it holds 'Fir', 'Oak', 'Elm (float32)', 'Fir, seed 1', 'Fir, seed 2'"),
        ("None", "no model 'None' in w.duckdb: it holds 'Fir', 'Oak', 'Elm (float32)', 'Fir, seed 1', 'Fir, seed 2'"),
        ("aaaa", "'aaaa' names several models, Fir, seed 1 and Fir, seed 2: name one by its label"),
    ],
)
def test_an_error_says_what_to_type_instead(name: str, text: str) -> None:
    with pytest.raises(UnknownModelError) as error:
        named_model(MODELS, name, "in w.duckdb", "it holds")
    assert str(error.value) == text


def test_models_of_one_label_on_other_images_are_distinguished_by_identity() -> None:
    with pytest.raises(UnknownModelError) as error:
        named_model([*MODELS, OTHER_OAK], "Oak")
    assert str(error.value) == (
        "'Oak' names several models, bbbb1 (2,000 images of Digits, cifar-c) and "
        "dddd1 (2,000 images of Photographs, cifar-c): name one by its identity"
    )
    assert named_model([*MODELS, OTHER_OAK], "dddd") == OTHER_OAK
