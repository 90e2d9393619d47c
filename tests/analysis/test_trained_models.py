"""Which evaluations are training runs of one model."""

from collections.abc import Sequence

from failmodes.analysis.selection import EvaluationInfo
from failmodes.analysis.trained_models import noun_of_runs, pairs_of_models, trained_models

SAME = {"architecture": "resnet18", "variant": None, "training_recipe": None, "precision": "float32",
        "class_protocol": None}  # fmt: skip


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
