"""Evaluations of digits by two small models, with one cause planted that changes their number.

Models, preprocessing and corruptions are computed here, and stored as a run stores them.
"""

import csv
import io
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image
from scipy.special import log_softmax
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.ingest.datasets.dataset import Dataset, record_dataset
from failmodes.runtime.hashing import identity_of
from failmodes.warehouse import schema
from failmodes.warehouse.database.load import load
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell, ShardKey, write_dimension, write_shard

Pixels = NDArray[np.uint8]
Logits = Callable[[NDArray[np.float32]], NDArray[np.float32]]
POOL, SIDE, SEVERITY = 240, 32, 3
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
HEADLINE = tuple(name for name, one in CORRUPTIONS.items() if one.headline)
FEW = ("gaussian_noise", "defocus_blur", "contrast", "brightness")
EXTRAS = tuple(name for name, one in CORRUPTIONS.items() if not one.headline)
SOURCE = {"source_kind": "generated", "source_label": "cifar-c recipe, seed 0", "recipe": "cifar-c", "seed": 0,
          "noise": "shared", "versions": "{}"}  # fmt: skip
PUBLISHED = {"source_kind": "published", "source_label": "published files", "recipe": None, "seed": None,
             "noise": None, "versions": None}  # fmt: skip
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "nearest": Image.Resampling.NEAREST, "box": Image.Resampling.BOX,
           "bicubic": Image.Resampling.BICUBIC}  # fmt: skip
MODELS = ("linear", "mlp")
MCE = "mCE, published AlexNet"


class Evaluated(NamedTuple):
    """One evaluation: its images, its model with preprocessing, and what is recorded of it.

    Attributes:
        ids: images that are evaluated, of the POOL.
        order: of the whole dataset: the image of the pool at each place.
        labels: (POOL,) in the order of the pool; None for the true ones.
        class_names: of the dataset.
        kind: of the model, one of MODELS.
        fitted: seed of its training images.
        resize: pixels of the shorter side.
        crop: pixels of the center crop.
        interpolation: of the resize.
        mean: subtracted from values / 255.
        std: divides them.
        precision: of the forward pass.
        outputs: the output that each class takes; None for all in order.
        quality: of a JPEG copy of the clean images; None for the images themselves.
        stored: quality of the JPEG files of corrupted images; None for those in memory.
        corruptions: names.
        averaging: of its protocol.
        protocol: its name.
        deviations: from the protocol.
        dataset: kind of dataset.
        label: of the model.
        files: whether images are files with names.
        architecture: of the model.
    """

    ids: tuple[int, ...]
    order: tuple[int, ...] = tuple(range(POOL))
    labels: tuple[int, ...] | None = None
    class_names: tuple[str, ...] = NAMES
    kind: str = "linear"
    fitted: int = 0
    resize: int = 40
    crop: int = 32
    interpolation: str = "bilinear"
    mean: float = 0.5
    std: float = 0.25
    precision: str = "float32"
    outputs: tuple[int, ...] | None = None
    quality: int | None = None
    stored: int | None = None
    corruptions: tuple[str, ...] = FEW
    averaging: str | None = None
    protocol: str | None = None
    deviations: tuple[str, ...] = ()
    dataset: str = "digits"
    label: str = "Net"
    files: bool = False
    architecture: str = "small"


@cache
def _digits() -> tuple[Pixels, NDArray[np.int64]]:
    """All digits as RGB images, enlarged."""
    digits = load_digits()
    small = (digits.images * 255 / 16).round().astype(np.uint8)
    large = [np.asarray(Image.fromarray(one).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for one in small]
    return np.stack([np.repeat(one[..., None], 3, axis=2) for one in large]), digits.target.astype(np.int64)


@cache
def corrupted(name: str, quality: int | None = None) -> Pixels:
    """(POOL, H, W, 3) images under a corruption, clean as "none", of a JPEG copy if a quality is given."""
    clean = _digits()[0][:POOL]
    clean = clean if quality is None else np.stack([as_jpeg(one, quality) for one in clean])
    return clean if name == schema.CLEAN else corrupt(clean, name, SEVERITY)


def as_jpeg(image: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "jpeg", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def _prepared(pixels: Pixels, one: Evaluated) -> NDArray[np.float32]:
    """(N, 64) inputs of a model: resized, cropped, normalized, averaged over 8 × 8 fields."""
    start = (one.resize - one.crop) // 2
    gray = []
    for image in pixels:
        resized = Image.fromarray(image).resize((one.resize, one.resize), FILTERS[one.interpolation])
        gray.append(np.asarray(resized)[start : start + one.crop, start : start + one.crop].mean(axis=2))
    values = ((np.stack(gray) / 255 - one.mean) / one.std).astype(np.float32)
    size = one.crop // 8
    return values.reshape(-1, 8, size, 8, size).mean(axis=(2, 4)).reshape(len(pixels), 64)


@cache
def _model(kind: str, seed: int) -> Logits:
    images, labels = _digits()
    rng = np.random.default_rng(seed)
    chosen = rng.choice(np.arange(POOL, len(images)), 500, replace=False)
    inputs = _prepared(images[chosen], Evaluated(()))
    if kind == "linear":
        fitted = LogisticRegression(C=0.05, max_iter=300).fit(inputs, labels[chosen])
        weights, bias = fitted.coef_.T.astype(np.float32), fitted.intercept_.astype(np.float32)
        return lambda values: values @ weights + bias
    mlp = MLPClassifier((24,), max_iter=60, tol=1e-2, random_state=seed).fit(inputs, labels[chosen])
    (first, last), (offset, bias) = mlp.coefs_, mlp.intercepts_
    return lambda values: (np.maximum(values @ first + offset, 0) @ last + bias).astype(np.float32)


def _bfloat16(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest bfloat16: the upper half of the bits."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).view(np.float32)


def logits_of(one: Evaluated, name: str) -> tuple[Pixels, NDArray[np.float32]]:
    """The images of a cell as they are evaluated, and their logits."""
    pixels = corrupted(name, one.quality)[list(one.ids)]
    if one.stored is not None and name != schema.CLEAN:
        pixels = np.stack([as_jpeg(image, one.stored) for image in pixels])
    inputs = _prepared(pixels, one)
    half = one.precision == "bfloat16"
    logits = _model(one.kind, one.fitted)(_bfloat16(inputs) if half else inputs)
    logits = _bfloat16(logits) if half else logits
    return pixels, logits if one.outputs is None else logits[:, list(one.outputs)]


def write_warehouse(path: Path, *evaluations: Evaluated) -> Path:
    """A warehouse with these evaluations."""
    for one in evaluations:
        _write(path.with_suffix(""), one)
    load([path.with_suffix("")], path)
    return path


def _write(output: Path, one: Evaluated) -> str:
    true = _digits()[1][:POOL]
    labels = true if one.labels is None else np.array(one.labels)
    order = np.array(one.order)
    clean = corrupted(schema.CLEAN, one.quality)
    note = None if one.quality is None else f"JPEG copy, quality {one.quality}"
    files = tuple(f"{NAMES[true[i]]}/{i}.png" for i in order) if one.files else None
    dataset = Dataset(one.dataset, "Digits", "test", clean[order], labels[order], one.class_names, note, files)
    record_dataset(output, dataset)
    source = SOURCE if one.stored is None else PUBLISHED | {"source_label": f"published JPEG files, {one.stored}"}
    source = PUBLISHED if one.protocol else source
    source_id = identity_of({"source": source})
    write_dimension(output, schema.SOURCES, source_id, [{"source_id": source_id, **source}])
    for place, name in enumerate((schema.CLEAN, *CORRUPTIONS)):
        known = CORRUPTIONS.get(name)
        row = {
            "corruption": name, "corruption_label": known.label if known else "Clean",
            "corruption_group": known.group if known else "clean", "corruption_order": place,
            "headline": bool(known and known.headline), "dose_ordered": True, "interpolable": True,
        }  # fmt: skip
        write_dimension(output, schema.CORRUPTIONS, name, [row])
    model = {
        "weights_id": identity_of([one.kind, one.fitted]), "model_label": one.label, "architecture": one.architecture,
        "family": one.kind, "class_count": 10, "parameter_count": 650, "input_mean": [one.mean] * 3,
        "input_std": [one.std] * 3, "input_side_px": one.crop, "resize_px": one.resize, "crop_px": one.crop,
        "interpolation": one.interpolation, "class_outputs": one.outputs and list(one.outputs),
    }  # fmt: skip
    model_id = identity_of(model)
    write_dimension(output, schema.MODELS, model_id, [{"model_id": model_id, **model}])
    places = {int(image): place for place, image in enumerate(order)}
    ids = sorted(places[image] for image in one.ids)
    one = one._replace(ids=tuple(int(order[place]) for place in ids))
    evaluation = {
        "study": "planted", "model_id": model_id, "dataset_id": dataset.dataset_id, "source_id": source_id,
        "image_count": len(ids), "subset": f"{len(ids)} of {POOL}", "subset_id": identity_of(ids),
        "precision": one.precision, "attention_method": "none", "paired": True, "protocol": one.protocol,
        "deviations": list(one.deviations) if one.protocol else None, "averaging": one.averaging,
    }  # fmt: skip
    evaluation_id = identity_of(evaluation)
    write_dimension(output, schema.EVALUATIONS, evaluation_id, [{"evaluation_id": evaluation_id, **evaluation}])
    facts = {"device": "cpu", "batch_size": 32, "versions": {"failmodes": "0.1", "numpy": "2"}}
    reference, _ = logits_of(one, schema.CLEAN)
    for name in (schema.CLEAN, *one.corruptions):
        cell = CLEAN_CELL if name == schema.CLEAN else Cell(name, Decimal(f"{SEVERITY:.3f}"))
        pixels, logits = logits_of(one, name)
        columns = _columns(np.array(ids), labels[list(one.ids)], logits, pixels, reference)
        write_shard(output, schema.PREDICTION_FACTS, ShardKey(evaluation_id, cell), columns, facts)
    return evaluation_id


def _columns(
    ids: NDArray[np.int64], labels: NDArray[np.int64], logits: NDArray[np.float32], pixels: Pixels, clean: Pixels
) -> pa.Table:
    log_p = log_softmax(logits.astype(np.float64), axis=1)
    p, order, rows = np.exp(log_p), np.argsort(-logits, axis=1, kind="stable"), np.arange(len(ids))
    difference = (pixels.astype(np.float64) - clean) / 255
    columns: dict[str, Any] = {
        "image_id": ids, "label": labels, "predicted": order[:, 0], "runner_up": order[:, 1],
        "label_rank": (order == labels[:, None]).argmax(1) + 1, "confidence": p.max(1),
        "label_probability": p[rows, labels], "margin": p[rows, order[:, 0]] - p[rows, order[:, 1]],
        "entropy_nats": -(p * log_p).sum(1), "loss_nats": -log_p[rows, labels], "sum_p2": (p**2).sum(1),
        "log_sum_exp": np.log(np.exp(logits.astype(np.float64)).sum(1)), "max_logit": logits.max(1),
        "finite": np.ones(len(ids), bool), "logits": list(logits),
        "rmse": np.sqrt(np.square(difference).mean(axis=(1, 2, 3))),
    }  # fmt: skip
    arrow = schema.PREDICTION_FACTS.arrow(without=(*schema.PARTITIONS, schema.PREDICTED_OUTPUT))
    return pa.table(
        [pa.array(columns[f.name]).cast(f.type) if f.name in columns else pa.nulls(len(ids), f.type) for f in arrow],
        schema=arrow,
    )


def write_table(path: Path, one: Evaluated) -> Path:
    """The predictions of an evaluation as somebody else's table."""
    true = _digits()[1][:POOL]
    labels = true if one.labels is None else np.array(one.labels)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label", "corruption", "severity", "predicted"])
        for name in (schema.CLEAN, *one.corruptions):
            _, logits = logits_of(one, name)
            for image, predicted in zip(one.ids, logits.argmax(axis=1), strict=True):
                severity = 0 if name == schema.CLEAN else SEVERITY
                writer.writerow([f"{NAMES[true[image]]}/{image}.png", one.class_names[labels[image]], name, severity,
                                 one.class_names[predicted]])  # fmt: skip
    return path


def accuracies_of(one: Evaluated) -> dict[str, float]:
    """Accuracy by corruption, clean included."""
    labels = _digits()[1][list(one.ids)]
    return {
        name: float((logits_of(one, name)[1].argmax(axis=1) == labels).mean()) for name in ("none", *one.corruptions)
    }


def write_row(path: Path, **rows: Evaluated) -> Path:
    """Published accuracies in RobustBench's layout: a row for each evaluation, at severity SEVERITY."""
    names = next(iter(rows.values())).corruptions
    lines = [["", *names], ["", *[str(SEVERITY)] * len(names)]]
    for label, one in rows.items():
        accuracies = accuracies_of(one)
        lines.append([label, *(repr(accuracies[name]) for name in names)])
    path.write_text("".join(",".join(line) + "\n" for line in lines))
    return path


class Planted(NamedTuple):
    """Two evaluations that differ in one cause, others of their warehouse, and the factor that must be named first."""

    a: Evaluated
    b: Evaluated
    factor: str
    others: tuple[Evaluated, ...] = ()


def planted(cause: str, seed: int, kind: str) -> Planted:
    """Plant a cause.

    Args:
        cause: one of CAUSES or CONTROLS.
        seed: chooses images, the size of the cause, and which of both has it.
        kind: of the model, one of MODELS.
    """
    rng = np.random.default_rng([seed, MODELS.index(kind), (*CAUSES, *CONTROLS).index(cause)])
    ids = tuple(sorted(rng.choice(POOL, 100, replace=False).tolist()))
    a = Evaluated(ids, kind=kind)
    b, factor, others = _changed(a, cause, rng)
    if cause == "names":
        a = a._replace(corruptions=HEADLINE)
    if cause == "form of mCE":
        return Planted(a._replace(averaging=MCE), b, factor, others)
    return Planted(a, b, factor) if rng.random() < 0.5 else Planted(b, a, factor)


def _changed(a: Evaluated, cause: str, rng: np.random.Generator) -> tuple[Evaluated, str, tuple[Evaluated, ...]]:
    """The evaluation with a cause, the factor that it is, and others."""
    true = _digits()[1][:POOL]
    names = tuple(NAMES[k] for k in _swapped(rng))
    relabeled = tuple(names.index(NAMES[k]) for k in true)
    others = [image for image in range(POOL) if image not in a.ids]
    kept = tuple(sorted(rng.choice(a.ids, int(rng.integers(40, 90)), replace=False).tolist()))
    overlapping = tuple(sorted([*kept, *rng.choice(others, 40, replace=False).tolist()]))
    alexnet = a._replace(kind="linear", fitted=9, label="AlexNet", architecture="alexnet", averaging=MCE)
    is_first = rng.random() < 0.5
    changes: dict[str, tuple[str, dict[str, Any]]] = {
        "resize": ("resize", {"resize": int(rng.choice([32, 36, 48, 56]))}),
        "crop": ("crop", {"crop": int(rng.choice([24, 40]))}),
        "interpolation": ("interpolation", {"interpolation": str(rng.choice(["nearest", "box", "bicubic"]))}),
        "normalization": (
            "normalization",
            {"mean": float(rng.choice([0.0, 0.3, 0.7])), "std": float(rng.choice([0.2, 0.5]))},
        ),
        "JPEG": ("pixels of images", {"quality": int(rng.choice([10, 20]))})
        if is_first
        else ("corrupted pixels", {"stored": int(rng.choice([5, 10]))}),
        "subset": ("images", {"ids": kept if is_first else overlapping}),
        "order of labels": ("labels", {"labels": tuple(np.roll(true, int(rng.integers(1, 9))).tolist())}),
        "permuted classes": ("classes", {"outputs": tuple(_swapped(rng))})
        if is_first
        else ("classes", {"class_names": names, "labels": relabeled}),
        "names": ("severities and names", {"corruptions": (*HEADLINE, *EXTRAS)}),
        "form of mCE": ("averaging", {"averaging": None if is_first else "mCE, AlexNet on the same images"}),
        "bfloat16": ("precision", {"precision": "bfloat16"}),
        "weights": ("weights", {"fitted": int(rng.integers(1, 6))}),
        "order of images": ("", {"order": tuple(rng.permutation(POOL).tolist())}),
        "rerun": ("", {}),
    }
    factor, changed = changes[cause]
    return a._replace(**changed), factor, (alexnet,) if cause == "form of mCE" else ()


def _swapped(rng: np.random.Generator) -> list[int]:
    """Ten classes, of which two are swapped, or all in another order."""
    classes = list(range(10))
    one, other = rng.choice(10, 2, replace=False).tolist()
    classes[one], classes[other] = other, one
    return classes if rng.random() < 0.5 else np.roll(classes, 1).tolist()


def labeled(number: int, found: Planted) -> tuple[Evaluated, ...]:
    """The evaluations of a plant with labels of their own."""
    a, b = found.a._replace(label=f"A{number}"), found.b._replace(label=f"B{number}")
    return (a, b, *(one._replace(label=f"{one.label} {number}") for one in found.others))


CAUSES = (
    "resize", "crop", "interpolation", "normalization", "JPEG", "subset", "order of labels", "permuted classes",
    "names", "form of mCE", "bfloat16", "weights",
)  # fmt: skip
CONTROLS = ("order of images", "rerun")  # which change nothing
