"""What other than the architecture could explain a difference between two checkpoints."""

from collections.abc import Sequence

from analysis.mcnemar import PairTest
from analysis.selection import Evaluation
from analysis.words import counted, percent, points

ACCURACY_SLACK = 0.005  # clean accuracies further apart than this are not "equally trained"
ONE_RUN = "stands for one training run, so the spread between training seeds is unknown"


def why_undecided(a: Evaluation, b: Evaluation, clean: dict[str, float]) -> list[str]:
    """What other than the architecture could explain a difference; one training run each always could."""
    reasons = []
    if _recipes_differ(a, b):
        reasons.append("their training recipes differ")
    if _recipe_is_unknown(a, b):
        reasons.append("a training recipe is not on record")
    if _accuracies_differ(a, b, clean):
        first, second = clean[a.evaluation_id], clean[b.evaluation_id]
        reasons.append(f"they are not equally accurate when clean ({percent(first)} and {percent(second)})")
    return [*reasons, f"each {ONE_RUN}"]


def why_all_undecided(pairs: Sequence[PairTest], clean: dict[str, float]) -> list[str]:
    """The same over many pairs, with the number of pairs that each reason holds for."""
    slack = points(ACCURACY_SLACK)
    counts = {
        "training recipes differ": sum(_recipes_differ(p.a, p.b) and not _recipe_is_unknown(p.a, p.b) for p in pairs),
        "a training recipe is not on record": sum(_recipe_is_unknown(p.a, p.b) for p in pairs),
        f"clean accuracies lie more than {slack} apart": sum(_accuracies_differ(p.a, p.b, clean) for p in pairs),
    }
    return [
        *(f"{reason} in {counted(count, 'pair')}" for reason, count in counts.items() if count),
        f"each network {ONE_RUN}",
    ]


def _recipes_differ(a: Evaluation, b: Evaluation) -> bool:
    return bool(a.facts["training_recipe"] != b.facts["training_recipe"])


def _recipe_is_unknown(a: Evaluation, b: Evaluation) -> bool:
    return None in (a.facts["training_recipe"], b.facts["training_recipe"])


def _accuracies_differ(a: Evaluation, b: Evaluation, clean: dict[str, float]) -> bool:
    return abs(clean[a.evaluation_id] - clean[b.evaluation_id]) > ACCURACY_SLACK
