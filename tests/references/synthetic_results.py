"""A small output folder with known curves, written through the same functions as a real run, without any model.

Every figure made from it is synthetic: it serves the tests of the warehouse, its SQL and the analysis.
"""

from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from encoded_files import encoded
from PIL import Image

from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.runtime.hashing import identity_of
from failmodes.warehouse import schema
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell, ShardKey, write_dimension, write_shard

LOGIT_ROWS = 500


class LogitRows(NamedTuple):
    """Rows of logits, and sums over all classes but the largest.

    Attributes:
        logits: (LOGIT_ROWS, C).
        order: (LOGIT_ROWS, C), classes from the largest logit to the smallest.
        ranks: (LOGIT_ROWS, C), place of each class in that order, from 0.
        sums: (LOGIT_ROWS, T) of exp(logit / T), for each of TEMPERATURES.
        weighted: (LOGIT_ROWS,) of exp(logit) logit.
        squares: (LOGIT_ROWS,) of exp(2 logit).
    """

    logits: np.ndarray
    order: np.ndarray
    ranks: np.ndarray
    sums: np.ndarray
    weighted: np.ndarray
    squares: np.ndarray


@cache
def _logit_rows(classes: int) -> LogitRows:
    logits = np.random.default_rng(classes).normal(0, 1, (LOGIT_ROWS, classes)).astype(np.float32).astype(np.float64)
    order = np.argsort(-logits, axis=1)
    others = np.take_along_axis(logits, order[:, 1:], axis=1)
    return LogitRows(
        logits, order, np.argsort(order, axis=1),
        np.stack([np.exp(others / t).sum(1) for t in schema.TEMPERATURES], axis=1),
        (np.exp(others) * others).sum(1), np.exp(2 * others).sum(1),
    )  # fmt: skip


def columns_of_many_classes(
    labels: np.ndarray, correct: np.ndarray, rng: np.random.Generator, classes: int
) -> dict[str, Any]:
    """Columns of `predictions` that come from logits.

    Args:
        labels: (N,).
        correct: (N,), which images are correct.
        rng: draws the rest.
        classes: more than are kept whole.
    """
    rows, chosen = _logit_rows(classes), rng.integers(0, LOGIT_ROWS, len(labels))
    predicted = np.where(correct, labels, (labels + rng.integers(1, classes, len(labels))) % classes)
    largest = rows.order[chosen, 0]
    shift = (predicted - largest) % classes
    top = (rows.logits[chosen, largest] + rng.uniform(0.1, 4, len(labels))).astype(np.float32).astype(np.float64)
    place = (labels - shift) % classes
    own = np.where(correct, top, rows.logits[chosen, place])
    order = rows.order[chosen, : schema.TOP_LOGITS]
    shown = np.take_along_axis(rows.logits[chosen], order, axis=1)
    shown[:, 0] = top
    scaled = np.log(rows.sums[chosen] + np.exp(top[:, None] / np.array(schema.TEMPERATURES)))
    total = scaled[:, schema.TEMPERATURES.index(1.0)]
    probabilities = np.exp(shown - total[:, None])
    return {
        "predicted": predicted, "runner_up": (order[:, 1] + shift) % classes,
        "label_rank": rows.ranks[chosen, place] + 1, "confidence": probabilities[:, 0],
        "label_probability": np.exp(own - total), "margin": probabilities[:, 0] - probabilities[:, 1],
        "entropy_nats": total - (rows.weighted[chosen] + np.exp(top) * top) / np.exp(total),
        "loss_nats": total - own, "sum_p2": (rows.squares[chosen] + np.exp(2 * top)) / np.exp(2 * total),
        "log_sum_exp": total, "max_logit": top, "logits": shown,
        "logit_classes": ((order + shift[:, None]) % classes).astype(np.int16), "scaled_log_sum_exp": scaled,
    }  # fmt: skip


MAP_SIDE = 4  # rows and columns of a map
SIDE_PX = 32


class ImagePredictions(NamedTuple):
    """What a model answered under one corruption, clean first: predicted and confidence (S, N); labels (N,)."""

    predicted: np.ndarray
    confidence: np.ndarray
    labels: np.ndarray


def write_coarse_exemplars(
    output: Path,
    evaluation_id: str,
    rng: np.random.Generator,
    corruptions: tuple[str, ...],
    grid: list[float],
    classes: int,
) -> None:
    """One picture of 4 x 4 squares for each reason, whose answers are made up."""
    for corruption in corruptions:
        rows = []
        for rank, reason in enumerate(schema.EXEMPLAR_REASONS):
            image_id = rank * 7
            base = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
            for level in grid:
                heat = np.exp(-((np.arange(MAP_SIDE) - 1.5 - 0.2 * level) ** 2))
                rows.append({
                    "evaluation_id": evaluation_id, "corruption": corruption, "severity": Decimal(str(level)),
                    "image_id": image_id, "reason": reason, "reason_rank": 1, "label": image_id % classes,
                    "predicted": (image_id + (level > 3)) % classes, "confidence": 0.9 - 0.1 * level,
                    "png": encoded((base * (1 - 0.1 * level)).astype(np.uint8)), **_map_columns(np.outer(heat, heat)),
                })  # fmt: skip
        write_dimension(output, schema.EXEMPLARS, f"{evaluation_id}-{corruption}", rows)


def write_exemplars(
    output: Path,
    evaluation_id: str,
    corruption: str,
    grid: Sequence[float],
    predictions: ImagePredictions,
    per_reason: int,
) -> None:
    """As many pictures for each reason as there are, up to `per_reason`: noisy ones that the corruption really spoils.

    They are chosen by the answers on record, which they tell. An image looks the same to every model.
    """
    rows = []
    for reason, rank, image_id in _chosen(predictions, per_reason):
        clean = _picture(image_id)
        for row, level in enumerate(grid):
            pixels = corrupt(clean[None], corruption, level, image_ids=[image_id])[0]
            rows.append({
                "evaluation_id": evaluation_id, "corruption": corruption, "severity": Decimal(str(level)),
                "image_id": image_id, "reason": reason, "reason_rank": rank, "label": int(predictions.labels[image_id]),
                "predicted": int(predictions.predicted[row, image_id]),
                "confidence": float(predictions.confidence[row, image_id]), "png": encoded(pixels),
                **_map_columns(np.random.default_rng([image_id, row]).gamma(1, 1, (MAP_SIDE, MAP_SIDE))),
            })  # fmt: skip
    write_dimension(output, schema.EXEMPLARS, f"{evaluation_id}-{corruption}", rows)


def _chosen(predictions: ImagePredictions, per_reason: int) -> list[tuple[str, int, int]]:
    """(reason, rank, image) of those chosen, the most confident at the last severity first, no image twice."""
    correct = predictions.predicted == predictions.labels
    failing = correct[0] & ~correct.all(0)
    eligible = (failing & ~correct[-1], ~correct[-1], failing & correct[-1], correct.all(0))
    most_confident = np.argsort(-predictions.confidence[-1], kind="stable")
    chosen: list[tuple[str, int, int]] = []
    taken: set[int] = set()
    for reason, fits in zip(schema.EXEMPLAR_REASONS, eligible, strict=True):
        images = [int(image) for image in most_confident if fits[image] and int(image) not in taken][:per_reason]
        taken.update(images)
        chosen += [(reason, rank, image) for rank, image in enumerate(images, start=1)]
    return chosen


def _picture(image_id: int) -> np.ndarray:
    """(32, 32, 3) uint8: blots of color beneath grain, which compress as badly as a photograph."""
    rng = np.random.default_rng(image_id)
    blots = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize(
        (SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC
    )
    return np.clip(np.asarray(blots) + rng.normal(0, 8, (SIDE_PX, SIDE_PX, 3)), 0, 255).astype(np.uint8)


def _map_columns(heat: np.ndarray) -> dict[str, Any]:
    return {"map_f16": heat.astype("<f2").tobytes(), "map_height": heat.shape[0], "map_width": heat.shape[1]}


CLASSES = ("zero", "one", "two", "three")

# accuracy at severities 0-5: one curve a shape
CURVES = {
    "fog": (0.95, 0.94, 0.93, 0.91, 0.85, 0.45),  # late collapse
    "contrast": (0.95, 0.85, 0.75, 0.65, 0.55, 0.45),  # near-linear
    "motion_blur": (0.95, 0.60, 0.52, 0.50, 0.48, 0.45),  # early drop
    "brightness": (0.95, 0.95, 0.95, 0.95, 0.95, 0.945),  # flat
    "gaussian_noise": (0.95, 0.70, 0.55, 0.75, 0.60, 0.40),  # non-monotone
}


class Texts(NamedTuple):
    """Texts of a record that its maker chooses; empty `classes` are named by the record."""

    study: str = "synthetic"
    dataset: str = "Synthetic digits"
    note: str = "synthetic: no real images"
    classes: tuple[str, ...] = ()


OUR_TEXTS = Texts()


class Synthetic(NamedTuple):
    """What was written: the folder, the evaluation ids by model label, and correctness (severity, image) by cell."""

    output: Path
    evaluations: dict[str, str]
    correct: dict[tuple[str, str], np.ndarray]


def write_synthetic(
    output: Path,
    *,
    images: int = 400,
    models: tuple[str, ...] = ("Alpha", "Beta"),
    seed: int = 0,
    paired: bool = True,
    severities: Sequence[float] = (1, 2, 3, 4, 5),
    corruptions: tuple[str, ...] = tuple(CURVES),
    falls: dict[str, float] | None = None,
    classes: int = len(CLASSES),
    shared_difficulty: float = 0.0,
    one_label: bool = False,
    texts: Texts = OUR_TEXTS,
    exemplars_per_reason: int = 0,
    training: dict[str, dict[str, Any]] | None = None,
) -> Synthetic:
    """Write a record of `models` over `images` images.

    Corruptions other than those of CURVES take one of these curves in turn; severities between whole ones lie on the
    straight lines between. `falls` scales how far a model falls below its clean accuracy: 0 never, 1 as in CURVES.
    `shared_difficulty`, 0-1, is how far models find the same images difficult: 0 each its own, 1 all the same. With
    `one_label` all images are of the first class. Exemplars are coarse, one for each reason, with answers made up; or
    as a run writes them, `exemplars_per_reason` of them. `training` gives columns of a model's row by its label.
    """
    names = CLASSES if classes == len(CLASSES) else tuple(f"class {index}" for index in range(classes))
    texts = texts._replace(classes=texts.classes or names)
    grid = [0.0, *severities]
    rng = np.random.default_rng(seed)
    labels = np.arange(images) % (1 if one_label else classes)
    common = np.random.default_rng([seed, 1]).permutation(images)
    dataset_id = identity_of({"synthetic": images})
    source_id = identity_of({"source": seed})
    _write_shared_dimensions(output, dataset_id, source_id, labels, texts, seed, corruptions)
    evaluations: dict[str, str] = {}
    correct: dict[tuple[str, str], np.ndarray] = {}
    for offset, label in enumerate(models):
        evaluation_id = identity_of({"model": label, "dataset": dataset_id, "source": source_id})
        evaluations[label] = evaluation_id
        _write_evaluation(output, label, evaluation_id, dataset_id, source_id, images, paired, classes, texts.study,
                          (training or {}).get(label, {}))  # fmt: skip
        predictions: dict[str, list[pa.Table]] = {corruption: [] for corruption in corruptions}
        mixed = shared_difficulty * common + (1 - shared_difficulty) * rng.permutation(images)
        difficulty = mixed.argsort().argsort() / images  # an image is right while the curve is above its difficulty
        for index, corruption in enumerate(corruptions):
            curve = CURVES.get(corruption) or list(CURVES.values())[index % len(CURVES)]
            fallen = curve[0] - (falls or {}).get(label, 1.0) * (curve[0] - np.interp(grid, range(6), curve))
            levels = np.clip(fallen - 0.01 * offset, 0, 1)
            noise = rng.normal(0, 0.02, (len(levels), images))
            noise[0] = 0  # the clean row is one and the same for every corruption
            cells = difficulty + noise < levels[:, None]
            correct[label, corruption] = cells
            for row, severity in enumerate(grid[1:], start=1):
                cell = ShardKey(evaluation_id, Cell(corruption, Decimal(str(severity)).quantize(Decimal("0.001"))))
                rows = _write_cell(output, cell, labels, cells[row], rng, severity, paired, classes)
                predictions[corruption].append(rows)
        clean = _write_cell(output, ShardKey(evaluation_id, CLEAN_CELL), labels, cells[0], rng, 0, paired, classes)
        if not exemplars_per_reason:
            write_coarse_exemplars(output, evaluation_id, rng, corruptions, grid, classes)
            continue
        for corruption, rows_of in predictions.items():
            given = _predictions([clean, *rows_of], labels)
            write_exemplars(output, evaluation_id, corruption, grid, given, exemplars_per_reason)
    return Synthetic(output, evaluations, correct)


def _write_shared_dimensions(
    output: Path,
    dataset_id: str,
    source_id: str,
    labels: np.ndarray,
    texts: Texts,
    seed: int,
    corruptions: tuple[str, ...],
) -> None:
    dataset = {
        "dataset_id": dataset_id, "dataset_name": "synthetic", "dataset_label": texts.dataset, "split": "test",
        "image_count": len(labels), "class_count": len(texts.classes), "height_px": 32, "width_px": 32,
        "note": texts.note,
    }  # fmt: skip
    write_dimension(output, schema.DATASETS, dataset_id, [dataset])
    classes = [{"dataset_id": dataset_id, "class_index": i, "class_name": c} for i, c in enumerate(texts.classes)]
    write_dimension(output, schema.CLASSES, dataset_id, classes)
    images = [
        {"dataset_id": dataset_id, "image_id": i, "label": int(c), "file": None, "mask_area": 0.3}
        for i, c in enumerate(labels)
    ]
    write_dimension(output, schema.IMAGES, dataset_id, images)
    source = {
        "source_id": source_id, "source_kind": "generated", "source_label": f"cifar-c recipe, seed {seed}",
        "recipe": "cifar-c", "seed": seed, "noise": "shared", "versions": "{}",
    }  # fmt: skip
    write_dimension(output, schema.SOURCES, source_id, [source])
    for order, name in enumerate((schema.CLEAN, *corruptions)):
        row = {
            "corruption": name, "corruption_label": CORRUPTIONS[name].label if order else "Clean",
            "corruption_group": CORRUPTIONS[name].group if order else "clean", "corruption_order": order,
            "headline": order > 0 and CORRUPTIONS[name].headline, "dose_ordered": True, "interpolable": True,
        }  # fmt: skip
        write_dimension(output, schema.CORRUPTIONS, name, [row])


def _write_evaluation(
    output: Path,
    label: str,
    evaluation_id: str,
    dataset_id: str,
    source_id: str,
    images: int,
    paired: bool,
    classes: int,
    study: str,
    training: dict[str, Any],
) -> None:
    model_id = identity_of({"model": label})
    model = {
        "model_id": model_id, "model_label": label, "architecture": "resnet18", "family": "resnet", "variant": None,
        "class_count": classes, "parameter_count": 1000, "input_mean": [0.5] * 3, "input_std": [0.25] * 3,
        "training_recipe": "{}", "training_seed": 0, "training_data": "synthetic", "stated_accuracy": 0.95,
        "checkpoint": f"{label}.safetensors", **training,
    }  # fmt: skip
    write_dimension(output, schema.MODELS, model_id, [model])
    evaluation = {
        "evaluation_id": evaluation_id, "study": study, "model_id": model_id, "dataset_id": dataset_id,
        "source_id": source_id, "image_count": images, "subset": f"all {images} images",
        "subset_id": identity_of(images), "precision": "float32", "attention_method": "grad-cam (closed form)",
        "attention_layer": "layer4", "attention_note": None, "paired": paired,
        "pairing_note": None if paired else "labels differ",
    }  # fmt: skip
    write_dimension(output, schema.EVALUATIONS, evaluation_id, [evaluation])


def _write_cell(
    output: Path,
    cell: ShardKey,
    labels: np.ndarray,
    correct: np.ndarray,
    rng: np.random.Generator,
    level: float,
    paired: bool,
    classes: int,
) -> pa.Table:
    """Write the rows of a cell; those of its predictions are returned."""
    facts = {
        "elapsed_s": 1.0, "images_per_s": float(len(labels)), "device": "cpu", "batch_size": 32,
        "identity_error": 1e-6, "versions": {"python": "3"},
    }  # fmt: skip
    write_shard(output, schema.ATTENTION, cell, _attention_rows(len(labels), labels, rng, level, paired), facts)
    rows = _prediction_rows(labels, correct, rng, level, paired, classes)
    write_shard(output, schema.PREDICTION_FACTS, cell, rows, facts)
    return rows


def _predictions(cells: Sequence[pa.Table], labels: np.ndarray) -> ImagePredictions:
    predicted, confidence = (
        np.stack([cell[name].to_numpy() for cell in cells]) for name in ("predicted", "confidence")
    )
    return ImagePredictions(predicted, confidence, labels)


def _prediction_rows(
    labels: np.ndarray, correct: np.ndarray, rng: np.random.Generator, level: float, paired: bool, classes: int
) -> pa.Table:
    count = len(labels)
    keeps_all = classes <= schema.FULL_LOGITS_CLASSES
    of_logits = _columns_of_few_classes if keeps_all else columns_of_many_classes
    columns: dict[str, Any] = {
        "image_id": np.arange(count), "label": labels, "finite": np.ones(count, bool),
        **of_logits(labels, correct, rng, classes),
        "rmse": np.full(count, 0.02 * level) if paired else [None] * count,
        "ssim": np.full(count, 1 - 0.1 * level) if paired else [None] * count,
    }  # fmt: skip
    return _table(columns, schema.PREDICTION_FACTS)


def _columns_of_few_classes(
    labels: np.ndarray, correct: np.ndarray, rng: np.random.Generator, classes: int
) -> dict[str, Any]:
    count = len(labels)
    logits = rng.normal(0, 1, (count, classes))
    predicted = np.where(correct, labels, (labels + rng.integers(1, classes, count)) % classes)
    logits[np.arange(count), predicted] = logits.max(1) + rng.uniform(0.1, 4, count)
    logits = logits.astype(np.float32)
    exps = np.exp(logits.astype(np.float64))
    p = exps / exps.sum(1, keepdims=True)
    order = np.argsort(-logits, axis=1)
    rows = np.arange(count)
    return {
        "predicted": order[:, 0], "runner_up": order[:, 1],
        "label_rank": (order == labels[:, None]).argmax(1) + 1, "confidence": p.max(1),
        "label_probability": p[rows, labels], "margin": p[rows, order[:, 0]] - p[rows, order[:, 1]],
        "entropy_nats": -(p * np.log(p)).sum(1), "loss_nats": -np.log(p[rows, labels]), "sum_p2": (p**2).sum(1),
        "log_sum_exp": np.log(exps.sum(1)), "max_logit": logits.max(1), "logits": logits,
        "logit_classes": [None] * count, "scaled_log_sum_exp": [None] * count,
    }  # fmt: skip


def _attention_rows(count: int, labels: np.ndarray, rng: np.random.Generator, level: float, paired: bool) -> pa.Table:
    tables = []
    for target in schema.TARGETS:
        drift = 0.03 * level
        columns: dict[str, Any] = {
            "image_id": np.arange(count), "target": [target] * count, "target_class": labels,
            "mass": rng.uniform(5, 10, count) * (1 - 0.1 * level), "centroid_x": rng.uniform(0.4, 0.6, count),
            "centroid_y": rng.uniform(0.4, 0.6, count), "spread": rng.uniform(0.2, 0.3, count) + 0.01 * level,
            "attention_entropy_nats": rng.uniform(2, 2.5, count), "empty": np.zeros(count, bool),
            "mask_share": rng.uniform(0.4, 0.6, count) - 0.03 * level,
            "centroid_shift": np.abs(rng.normal(drift, 0.01, count)) if level else np.zeros(count),
            "cosine": np.clip(1 - drift - 0.01 * np.abs(rng.normal(0, 1, count)), 0, 1) if level else np.ones(count),
            "w1_x": np.full(count, drift), "w1_y": np.full(count, drift),
        }  # fmt: skip
        for prefix, shift in (("null_", 0.2), ("null_class_", 0.15)):
            columns[f"{prefix}centroid_shift"] = rng.uniform(0, 2 * shift, count)
            columns[f"{prefix}cosine"] = rng.uniform(0.5, 0.9, count)
            columns[f"{prefix}w1_x"] = rng.uniform(0, 2 * shift, count)
            columns[f"{prefix}w1_y"] = rng.uniform(0, 2 * shift, count)
        columns |= _on_objects(columns["mask_share"], level)
        if not paired:
            for name in columns:
                if name.startswith("null_") or name in ("centroid_shift", "cosine", "w1_x", "w1_y"):
                    columns[name] = [None] * count
        tables.append(_table(columns, schema.ATTENTION))
    return pa.concat_tables(tables)


def _on_objects(mask_share: np.ndarray, level: float) -> dict[str, Any]:
    """Maps of other images lie on the object as much as an even map, .3, at all severities."""
    null = 0.25 + 0.1 * ((np.arange(len(mask_share)) * 0.618 + level * 0.37) % 1)
    return {
        "mask_area": np.full(len(mask_share), 0.3), "pointing_hit": mask_share > 0.45,
        "null_mask_share": null, "null_pointing_hit": null > 0.31,
    }  # fmt: skip


def _table(columns: dict[str, Any], table: schema.Table) -> pa.Table:
    arrow = table.arrow(without=(*schema.PARTITIONS, schema.PREDICTED_OUTPUT))
    return pa.table([_column(columns[field.name], field.type) for field in arrow], schema=arrow)


def _column(values: Any, kind: pa.DataType) -> pa.Array:
    if not isinstance(values, np.ndarray):
        return pa.array(values, kind)
    if values.ndim == 1:
        return pa.array(values).cast(kind, safe=False)
    offsets = pa.array(np.arange(len(values) + 1) * values.shape[1], pa.int32())
    return pa.ListArray.from_arrays(offsets, _column(values.reshape(-1), kind.value_type))
