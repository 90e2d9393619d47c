"""Which evaluations are training runs of one model, and which model a name means."""

from collections.abc import Sequence

import pytest

from failmodes.analysis.evaluations.selection import EvaluationInfo
from failmodes.analysis.evaluations.trained_models import (
    TrainedModel,
    UnknownModelError,
    named_model,
    noun_of_runs,
    pairs_of_models,
    trained_models,
)

SAME = {"architecture": "resnet18", "variant": None, "training_recipe": None, "precision": "float32",
        "class_protocol": None, "comparable_id": "c"}  # fmt: skip


def run(label: str, seed: int | None, model_name: str = "Fir", **facts: object) -> EvaluationInfo:
    own = {"training_seed": seed, "model_name": model_name, "evaluation_id": f"id of {label}"}
    return EvaluationInfo(f"id of {label}", label, SAME | own | facts)


def grouped(runs: Sequence[EvaluationInfo]) -> list[tuple[str, list[str]]]:
    return [(model.label, [r.label for r in model.runs]) for model in trained_models(runs)]


def test_runs_of_several_seeds_are_one_model_in_order_of_their_seeds() -> None:
    runs = [run("Fir, seed 10", 10), run("Fir, seed 2", 2), run("Oak", None, "Oak")]
    assert grouped(runs) == [("Fir", ["Fir, seed 2", "Fir, seed 10"]), ("Oak", ["Oak"])]
    assert [model.label_with_seeds for model in trained_models(runs)] == ["Fir (2\u00a0seeds)", "Oak"]
    assert pairs_of_models(runs) == [(runs[0], runs[2]), (runs[1], runs[2])]
    assert (noun_of_runs(runs), noun_of_runs(runs[1:])) == ("training run", "model")


def test_without_seeds_or_with_the_same_seed_runs_stay_apart() -> None:
    for seeds in ((None, None), (1, 1), (1, None)):
        runs = [run(f"Fir ({place})", seed) for place, seed in enumerate(seeds)]
        assert grouped(runs) == [(r.label, [r.label]) for r in runs]


def test_another_architecture_recipe_or_precision_is_another_model() -> None:
    for facts in (
        {"architecture": "vit"},
        {"training_recipe": "AugMix"},
        {"precision": "float16"},
        {"variant": "wide"},
    ):
        assert len(grouped([run("Fir, seed 0", 0), run("Fir, seed 1", 1, **facts)])) == 2


def test_a_recipe_in_plain_text_may_end_with_its_seed() -> None:
    runs = [run(f"Fir, seed {seed}", seed, training_recipe=f"SGD, batch 128, seed {seed}") for seed in (0, 1)]
    assert grouped(runs) == [("Fir", ["Fir, seed 0", "Fir, seed 1"])]
    longer = run("Fir, seed 1", 1, training_recipe="SGD, batch 128, seed 11")
    assert len(grouped([runs[0], longer])) == 2, "what it ends with is not this run's seed"


def named_run(
    identity: str, label: str, *, model: str = "", architecture: str | None = "resnet18", data: str = "Digits"
) -> EvaluationInfo:
    facts = {"model_label": model or label, "architecture": architecture, "image_count": 2000,
             "dataset_label": data, "source_label": "cifar-c"}  # fmt: skip
    return EvaluationInfo(identity, label, facts)


FIR = TrainedModel("Fir", (named_run("aaaa1", "Fir, seed 1"), named_run("aaaa2", "Fir, seed 2")))
OAK = TrainedModel("Oak", (named_run("bbbb1", "Oak", architecture="densenet121"),))
ELM = TrainedModel("Elm (float32)", (named_run("cccc1", "Elm (float32)", model="Elm", architecture=None),))
OTHER_OAK = TrainedModel("Oak", (named_run("dddd1", "Oak", architecture="vit", data="Photographs"),))
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
        ("aaaa", "'aaaa' matches several models: Fir, seed 1 and Fir, seed 2; name one by its label"),
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
        "'Oak' matches several models: bbbb1 (2,000 images of Digits, cifar-c) and "
        "dddd1 (2,000 images of Photographs, cifar-c); name one by its ID"
    )
    assert named_model([*MODELS, OTHER_OAK], "dddd") == OTHER_OAK
