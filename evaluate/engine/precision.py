"""What a lower precision changes: measured on clean images, whenever one is used."""

import dataclasses

from evaluate.evaluation import Evaluation

COMPARED_IMAGES = 512


def changed_predictions(evaluation: Evaluation, batch_size: int) -> float:
    """Share (0–1) of the first COMPARED_IMAGES clean images whose predicted class float32 gives differently.

    Args:
        evaluation: its network runs at the lower precision and, for comparison, in float32.
        batch_size: images at once at the lower precision; float32 takes half, since its numbers are twice as long.
    """
    at_once = max(1, batch_size // 2)
    lower = evaluation.network
    full = dataclasses.replace(lower, precision="float32")
    ids = evaluation.subset.clean_ids[:COMPARED_IMAGES]
    changed = 0
    for start in range(0, len(ids), at_once):
        images = evaluation.dataset.images[ids[start : start + at_once]]
        changed += int((lower.predict(images).argmax(1) != full.predict(images).argmax(1)).sum())
    return changed / len(ids)
