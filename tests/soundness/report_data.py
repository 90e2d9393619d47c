"""Whole reports of two simulated models: their rows, written to a database in memory as a load writes them.

Each image has latent normal numbers whose correlations are those of images that keep their order of difficulty. A model
knows the class where the latent number of the cell lies below a limit, and elsewhere guesses among ten, so that
accuracy is exact and confidence, never below .1, is exactly the chance of being correct where a scenario wants that.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from curves import Floats
from numpy.typing import NDArray
from report_scenarios import CLASSES, CORRUPTIONS, DOMINANT, GUESS, MODELS, SEVERITIES, WEAK, ModelTruth, Scenario
from scipy.special import ndtr, ndtri

from failmodes.ingest.corruptions.catalog import CORRUPTIONS as CATALOG
from failmodes.warehouse import schema
from failmodes.warehouse.database.tables import create_tables, insert_rows, write_info
from failmodes.warehouse.database_schema import LOADED_DIMENSIONS, SHARDS

# Shares of the variance of a clean latent number, and of what severities add to it: of the image alone, and of the
# image with the model, with the corruption, with both, and with the cell. Between models of one image .7; under a
# corruption less and less is that of the clean image, ADDED at each severity from clean on.
OF_IMAGE, OF_MODEL = 0.7, 0.3
ADDED = np.array([0.0, 0.1, 0.15, 0.2, 0.25, 0.3])
ADDED_OF_CORRUPTION, ADDED_OF_BOTH, ADDED_OF_CELL = 0.5, 0.3, 0.2
MOMENT = datetime(2026, 1, 1)  # UTC
CELLS = [(schema.CLEAN, 0), *((name, severity) for name in CORRUPTIONS for severity in SEVERITIES[1:])]


def draw_latent(rng: np.random.Generator, images: int) -> Floats:
    """Standard normal numbers of each model, cell and image, (M, C, N)."""

    def normal(*shape: int) -> Floats:
        return rng.standard_normal((*shape, images))

    models, kinds, steps = len(MODELS), len(CORRUPTIONS), len(ADDED) - 1
    clean = np.sqrt(OF_IMAGE) * normal(1) + np.sqrt(OF_MODEL) * normal(models)
    added = np.sqrt(ADDED_OF_CORRUPTION) * normal(1, kinds, 1) + np.sqrt(ADDED_OF_BOTH) * normal(models, kinds, 1)
    added = added + np.sqrt(ADDED_OF_CELL) * normal(models, kinds, steps)
    weights = ADDED[1:, None]
    corrupted = np.sqrt(1 - weights) * clean[:, None, None] + np.sqrt(weights) * added
    return np.concatenate([clean[:, None], corrupted.reshape(models, kinds * steps, images)], axis=1)


def draw_rows(scenario: Scenario, images: int, rng: np.random.Generator) -> list[dict[str, Floats]]:
    """Columns of each model's predictions, (C, N) each, in the order of CELLS."""
    labels = np.arange(images) % CLASSES
    difficulty, luck, doubt = (draw_latent(rng, images) for _ in range(3))
    found = []
    for number, model in enumerate(scenario.models):
        knows = ndtri(_known(model, labels))
        correct = (difficulty[number] < knows) | (luck[number] < ndtri(GUESS))
        seen = model.insight * difficulty[number] + np.sqrt(1 - model.insight**2) * doubt[number]
        spread = np.sqrt(1 - model.sharpness**2)
        limits = ndtri(_known(model, labels, model.overconfidence))
        confidence = GUESS + (1 - GUESS) * ndtr((limits - model.sharpness * seen) / spread)
        second = np.minimum(confidence, 1 - confidence) * rng.random(correct.shape)
        found.append({"predicted": _predicted(model, labels, correct, rng), **_of_softmax(confidence, second)})
    return found


def _known(model: ModelTruth, labels: NDArray[np.int64], more: float = 0.0) -> Floats:
    """Share of the images of each label that the model knows in each cell, (C, N); with a higher accuracy, `more`."""
    found = []
    for cell in CELLS:
        accuracy = np.full(len(labels), model.at(*cell) + more)
        gap = model.weak.get(cell, 0.0)
        accuracy += np.where(labels == WEAK, -(1 - 1 / CLASSES) * gap, gap / CLASSES)
        found.append((accuracy - GUESS) / (1 - GUESS))
    known = np.array(found)
    assert (known > -1e-12).all()
    assert (known < 1).all()
    return known.clip(0)


def _predicted(
    model: ModelTruth, labels: NDArray[np.int64], correct: NDArray[np.bool_], rng: np.random.Generator
) -> Floats:
    """Classes predicted, (C, N): incorrect ones are spread evenly over the others, or go to DOMINANT."""
    wrong = (labels + rng.integers(1, CLASSES, correct.shape)) % CLASSES
    for place, cell in enumerate(CELLS):
        goes = (rng.random(len(labels)) < model.dominated.get(cell, 0.0)) & (labels != DOMINANT)
        wrong[place] = np.where(goes, DOMINANT, wrong[place])
    return np.where(correct, labels, wrong).astype(np.int16)


def _of_softmax(confidence: Floats, second: Floats) -> dict[str, Floats]:
    """Confidence, margin and entropy of a softmax whose other eight outputs are alike."""
    rest = (1 - confidence - second).clip(1e-12) / (CLASSES - 2)
    parts = confidence * np.log(confidence) + second * np.log(second.clip(1e-12)) + (CLASSES - 2) * rest * np.log(rest)
    return {"confidence": confidence, "margin": confidence - second, "entropy_nats": -parts}


@contextmanager
def warehouse_of(scenario: Scenario, images: int, rng: np.random.Generator) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that sees one report's facts, and may write; nothing of it stays."""
    con = _database(scenario.name, images).cursor()  # what is read once is read once a connection
    con.begin()
    try:
        insert_rows(con, schema.PREDICTION_FACTS, _facts(scenario, images, rng))
        yield con
    finally:
        con.rollback()
        con.close()


@lru_cache(maxsize=1)
def _database(scenario: str, images: int) -> duckdb.DuckDBPyConnection:
    """A database in memory with everything but facts and what is made of them; each scenario's own.

    DuckDB does not give back all that a transaction took, nearly a megabyte a report, before its database is closed.
    """
    con = duckdb.connect(config={"threads": 1})
    create_tables(con)
    write_info(con)
    for table, rows in _dimensions(images).items():
        insert_rows(con, table, pa.Table.from_pylist(rows, schema=table.arrow()))
    return con


def _facts(scenario: Scenario, images: int, rng: np.random.Generator) -> pa.Table:
    """All rows of `prediction_facts`; of logits there are none on record."""
    table, count = schema.PREDICTION_FACTS.arrow(), len(CELLS) * images
    same: dict[str, Any] = {
        "corruption": np.repeat([name for name, _ in CELLS], images),
        "severity": pa.array([Decimal(s) for _, s in CELLS for _ in range(images)], table.field("severity").type),
        "image_id": np.tile(np.arange(images), len(CELLS)),
        "label": np.tile(np.arange(images) % CLASSES, len(CELLS)),
        "finite": np.ones(count, bool),
    }
    parts = []
    for name, columns in zip(MODELS, draw_rows(scenario, images, rng), strict=True):
        given = same | {column: values.ravel() for column, values in columns.items()}
        given["evaluation_id"] = pa.array([name] * count)
        arrays = [
            pa.array(given[field.name]).cast(field.type) if field.name in given else pa.nulls(count, field.type)
            for field in table
        ]
        parts.append(pa.Table.from_arrays(arrays, schema=table))
    return pa.concat_tables(parts)


def _dimensions(images: int) -> dict[schema.Table, list[dict[str, Any]]]:
    data, source, subset = "simulated", "simulated", str(images)
    files = [(schema.DATASETS.name, data), *((schema.MODELS.name, name) for name in MODELS)]
    return {
        schema.DATASETS: [{
            "dataset_id": data, "dataset_name": "simulated", "dataset_label": "simulated images", "split": "test",
            "image_count": images, "class_count": CLASSES, "height_px": 32, "width_px": 32,
        }],
        schema.CLASSES: [
            {"dataset_id": data, "class_index": index, "class_name": class_name(index)} for index in range(CLASSES)
        ],
        schema.IMAGES: [{"dataset_id": data, "image_id": n, "label": n % CLASSES} for n in range(images)],
        schema.CORRUPTIONS: [
            {
                "corruption": name, "corruption_label": name.replace("_", " ").capitalize(),
                "corruption_group": "clean" if name == schema.CLEAN else CATALOG[name].group, "corruption_order": order,
                "headline": name != schema.CLEAN, "dose_ordered": True, "interpolable": True,
            }
            for order, name in enumerate((schema.CLEAN, *CORRUPTIONS))
        ],
        schema.SOURCES: [{"source_id": source, "source_kind": "generated", "source_label": "simulated"}],
        schema.MODELS: [
            {"model_id": name, "model_label": name.capitalize(), "architecture": name, "family": name,
             "class_count": CLASSES}
            for name in MODELS
        ],
        schema.EVALUATIONS: [
            {"evaluation_id": name, "study": "simulated", "model_id": name, "dataset_id": data, "source_id": source,
             "image_count": images, "subset": f"{images} images", "subset_id": subset, "precision": "float32",
             "attention_method": "none", "attention_note": "attention was not simulated", "paired": True}
            for name in MODELS
        ],
        LOADED_DIMENSIONS: [
            {"table_name": name, "file_key": key, "content_hash": f"{key} {images}"} for name, key in files
        ],
        SHARDS: [
            {"table_name": schema.PREDICTION_FACTS.name, "evaluation_id": model, "corruption": name,
             "severity": Decimal(severity), "row_count": images, "content_hash": f"{model} {name} {severity}",
             "path": "", "created_utc": MOMENT}
            for model in MODELS for name, severity in CELLS
        ],
    }  # fmt: skip


def class_name(index: int) -> str:
    """The name of a class, which no other class's name begins with."""
    return f"class-{index}"
