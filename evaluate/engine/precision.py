"""What a lower precision changes: measured on clean images, whenever one is used."""

import dataclasses

from evaluate.evaluation import Evaluation

COMPARED_IMAGES = 512
AT_ONCE = 32


def changed_predictions(evaluation: Evaluation) -> float:
    """Share (0–1) of the first COMPARED_IMAGES clean images whose predicted class float32 gives differently."""
    lower = evaluation.network
    full = dataclasses.replace(lower, precision="float32")
    ids = evaluation.subset.clean_ids[:COMPARED_IMAGES]
    changed = 0
    for start in range(0, len(ids), AT_ONCE):
        images = evaluation.dataset.images[ids[start : start + AT_ONCE]]
        changed += int((lower.predict(images).argmax(1) != full.predict(images).argmax(1)).sum())
    return changed / len(ids)
