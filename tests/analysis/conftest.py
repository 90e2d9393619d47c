"""Warehouses with stored shapes, of training seeds, of repeated images and of images with metadata."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from built_once import built_once
from checkpoint_comparisons import CORRUPTIONS, FALLS
from described_images import describe_images, described
from opened_results import Opened, opened_once
from PIL import Image
from rewritten_shards import cell_of, reply_with
from synthetic_results import Synthetic, write_synthetic
from synthetic_shifts import write_shift

from failmodes.analysis.evaluations.selection import Selection, select_one
from failmodes.analysis.judging.derivation import due, store
from failmodes.analysis.judging.findings.correction import selection_findings
from failmodes.analysis.judging.findings.kind import Finding
from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.warehouse import schema
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.stored_metrics import set_aim
from failmodes.warehouse.database.updates import Derivation
from failmodes.warehouse.metrics.abstention import Aim
from failmodes.warehouse.metrics.metric import Metric
from failmodes.warehouse.shards.format import (
    Cell,
    ShardKey,
    list_results_files,
    read_verified,
    write_dimension,
    write_shard,
)

COPIED_DIMENSIONS = (schema.MODELS, schema.CLASSES, schema.CORRUPTIONS, schema.SOURCES)


def write_repeated(results: Synthetic, output: Path, copies: Sequence[int] | None = None) -> Path:
    """Write a record with some images of another one repeated, and hashes of their pixels.

    Args:
        results: the record, whose images are distinct.
        output: the folder to write to.
        copies: images that stand twice; all if not given.
    """
    for table in COPIED_DIMENSIONS:
        for path in list_results_files(results.output, table):
            write_dimension(output, table, path.stem, read_verified(path).rows)
    for path in list_results_files(results.output, schema.IMAGES):
        images = read_verified(path).rows
        again = np.arange(images.num_rows) if copies is None else np.asarray(copies, np.int64)
        sources = np.concatenate([np.arange(images.num_rows), again])
        rows = _with(_with(images.take(sources), "image_id", np.arange(len(sources))), "pixel_hash", _hashes(sources))
        write_dimension(output, schema.IMAGES, path.stem, rows)
    for table in (schema.DATASETS, schema.EVALUATIONS):
        for path in list_results_files(results.output, table):
            rows = _with(read_verified(path).rows, "image_count", [len(sources)])
            write_dimension(output, table, path.stem, rows)
    for table in schema.FACTS:
        for path in list_results_files(results.output, table):
            stored = read_verified(path)
            cell = Cell(stored.identity["corruption"], Decimal(stored.identity["severity"]))
            key = ShardKey(stored.identity["evaluation_id"], cell)
            write_shard(output, table, key, _repeated(stored.rows, sources), stored.facts)
    return output


def _repeated(rows: pa.Table, sources: np.ndarray) -> pa.Table:
    """Rows of all images, each under its own image_id, target by target where there are several."""
    ids = np.asarray(rows["image_id"])
    targets = np.asarray(rows["target"]) if "target" in rows.column_names else np.zeros(len(ids))
    parts = []
    for target in dict.fromkeys(targets.tolist()):
        own = np.flatnonzero(targets == target)
        parts.append(_with(rows.take(own[np.searchsorted(ids[own], sources)]), "image_id", np.arange(len(sources))))
    return pa.concat_tables(parts)


def _hashes(sources: np.ndarray) -> list[str]:
    return [f"{source:016x}" for source in sources.tolist()]


def _with(rows: pa.Table, name: str, values: object) -> pa.Table:
    place = rows.schema.get_field_index(name)
    return rows.set_column(place, name, pa.array(values, rows.schema.field(name).type))


SEEDED_RECIPE = "SGD, 20 epochs, seed {}"  # in plain text, as some checkpoints state it
SEEDED_SPREAD = 0.04  # between the falls of two seeds that follow each other


def write_seeded(output: Path, **options: Any) -> Synthetic:
    """Write a record of Fir and Oak with three training runs each ("Fir, seed 0" …), and of Loner, a single checkpoint.

    Each seed falls SEEDED_SPREAD more than the one before; see `falls` of `write_synthetic`.
    """
    falls, training = {}, {}
    for model, fall in (("Fir", 0.5), ("Oak", 1.0)):
        for seed in range(3):
            falls[f"{model}, seed {seed}"] = fall + SEEDED_SPREAD * seed
            facts = {
                "training_seed": seed,
                "training_recipe": SEEDED_RECIPE.format(seed),
                "architecture": model.lower(),
            }
            training[f"{model}, seed {seed}"] = facts
    falls["Loner"] = 0.8
    training["Loner"] = {"training_seed": None, "training_recipe": None, "architecture": "loner"}
    return write_synthetic(output, models=tuple(falls), falls=falls, training=training, **options)


QUICK = ShapeSettings(resamples=2000)


@pytest.fixture
def striped(tmp_path: Path) -> Path:
    """A photograph-sized image with hard edges."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:, ::8] = (200, 40, 90)
    pixels[10:20] += 50
    Image.fromarray(pixels).save(tmp_path / "striped.png")
    return tmp_path / "striped.png"


@pytest.fixture(scope="session")
def con(shaped_warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_warehouse(shaped_warehouse) as connection:
        yield connection


@pytest.fixture(scope="session")
def selection(con: duckdb.DuckDBPyConnection) -> Selection:
    return select_one(con)


@pytest.fixture(scope="session")
def all_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    return selection_findings(con, selection)


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    options = {"models": tuple(FALLS), "falls": FALLS, "severities": (2, 5)}
    with opened_once(tmp_path_factory, "many", images=80, corruptions=CORRUPTIONS, resamples=500, **options) as it:
        yield it


@pytest.fixture(scope="session")
def many_results(many: Opened) -> Synthetic:
    return many.made


@pytest.fixture(scope="session")
def many_con(many: Opened) -> duckdb.DuckDBPyConnection:
    return many.con


@pytest.fixture(scope="session")
def many_selection(many: Opened) -> Selection:
    return many.selection


@pytest.fixture(scope="session")
def many_findings(many: Opened) -> list[Finding]:
    return selection_findings(many.con, many.selection)


@pytest.fixture(scope="session")
def collapsing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """160 images, 40 a class. Alpha takes all but one for class 1 under contrast at severity 5, and most at 4; Beta is
    right on all under fog at severity 5 but those of class 3."""

    def collapse(made: Synthetic) -> None:
        for severity, others in ((5, 1), (4, 24), (3, 75)):
            reply_with(made, cell_of(made, "Alpha", "contrast", severity), [2] * others + [1] * (160 - others))
        reply_with(made, cell_of(made, "Beta", "fog", 5), [index % 4 % 3 for index in range(160)])

    with opened_once(tmp_path_factory, "collapsing", collapse, images=160, corruptions=("fog", "contrast")) as it:
        yield it.con


@pytest.fixture(scope="session")
def shaped_warehouse(synthetic: Synthetic, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sound warehouse with a natural shift, which nothing about corruptions may count."""

    def build(folder: Path) -> None:
        shutil.copytree(synthetic.output, folder, dirs_exist_ok=True)
        write_shift(folder, "V2", dict.fromkeys(synthetic.evaluations, 120), clean=synthetic.evaluations)

        def store_with_thresholds(con: duckdb.DuckDBPyConnection, metrics: Sequence[Metric]) -> None:
            for evaluation_id in synthetic.evaluations.values():
                set_aim(con, evaluation_id, Aim(target="coverage", target_value=0.5))  # none has an error of 2%
            store(con, metrics, asdict(QUICK))

        load([folder], folder / "warehouse.duckdb", derivation=Derivation(due, store_with_thresholds))

    return built_once(tmp_path_factory, "shaped", build)[0] / "warehouse.duckdb"


@pytest.fixture(scope="session")
def with_metadata(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """Alpha and Beta on 160 images with metadata and a measured property."""

    def describe(made: Synthetic) -> None:
        describe_images(made, described(160))

    options = {"corruptions": ("fog", "contrast"), "severities": (1, 3, 5), "images": 160, "resamples": 200}
    with opened_once(tmp_path_factory, "with-metadata", describe, **options) as it:
        yield it


@pytest.fixture(scope="session")
def of_seeds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """Fir and Oak with three training seeds each, and Loner, a single checkpoint."""
    options = {"corruptions": ("fog", "contrast"), "severities": (1, 3, 5), "images": 120, "resamples": 200}
    with opened_once(tmp_path_factory, "seeded", write=write_seeded, **options) as it:
        yield it


@pytest.fixture(scope="session")
def seeded_results(of_seeds: Opened) -> Synthetic:
    return of_seeds.made


@pytest.fixture(scope="session")
def seeded_con(of_seeds: Opened) -> duckdb.DuckDBPyConnection:
    return of_seeds.con


@pytest.fixture(scope="session")
def seeded(of_seeds: Opened) -> Selection:
    return of_seeds.selection


@pytest.fixture(scope="session")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `once`, `twice` and `some.duckdb`: the same 120 images once, each twice, the first ten twice."""

    def build(folder: Path) -> None:
        results = write_synthetic(folder / "results", images=120, corruptions=("fog", "contrast"), severities=(1, 3, 5))
        for name, own in {"once": [], "twice": None, "some": list(range(10))}.items():
            load([write_repeated(results, folder / name, own)], folder / f"{name}.duckdb")

    return built_once(tmp_path_factory, "repeated", build)[0]
