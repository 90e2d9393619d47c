"""Parts of a warehouse hold nothing of what was left out, and the same rows as if the rest had never been loaded."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pytest
from described_images import describe_images
from marked_cases import quick
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import derivation, stored_rows

from failmodes.analysis.site import writing
from failmodes.warehouse.database.export import export_evaluations
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.removal import find_place, remove_evaluations
from failmodes.warehouse.database_schema import TABLES, WAREHOUSE_INFO
from failmodes.warehouse.schema import DATASETS, EVALUATION_NOTES, IMAGES
from failmodes.warehouse.shards.format import list_results_files, read_verified, write_dimension
from failmodes.warehouse.stated_models import StatedModel

GONE = "Zanzibar-121"
IMAGE_COUNT, UNUSED = 30, 5
PARTS = ("removal", "export", "site")
LEGIBLE = {"Uncompressed", "Dictionary", "Constant", "Empty Validity"}  # compressions that leave texts as they are
TRAINING = {GONE: {"checkpoint": "zq-weights.pt", "variant": "wq-variant", "training_data": "xq-corpus"}}
DERIVATION = derivation(resamples=50)


def claim(**keys: str) -> tuple[str, str]:
    stated = {"metric": "accuracy", "relation": "at_least", "limit": 0.5, "corruptions": ["fog"]} | keys
    return keys.get("name", "accuracy under fog is at least 50%"), json.dumps(stated)


CLAIMS = (claim(), claim(model="Alpha"), claim(model=GONE), claim(name=f"Below {GONE}"), claim(name="Above Unborn"))


class Warehouses(NamedTuple):
    """A warehouse of Alpha, Beta and GONE, one of Alpha and Beta alone, and the evaluations by model."""

    whole: Path
    alone: Path
    kept: dict[str, str]
    gone: list[str]


def write_models(folder: Path, *models: str) -> Synthetic:
    """Results on images with a patient each, some of which no model was evaluated on."""
    options = {"corruptions": ("fog",), "severities": (1, 3, 5), "training": TRAINING}
    made = write_synthetic(folder, images=IMAGE_COUNT, models=models, **options)
    for table, changed in ((IMAGES, "image_id"), (DATASETS, "image_count")):
        (path,) = list_results_files(folder, table)
        rows = read_verified(path).rows.to_pylist()
        more = [row | {changed: row[changed] + IMAGE_COUNT} for row in rows[:UNUSED]]
        write_dimension(folder, table, path.stem, [*rows, *more] if table is IMAGES else more)
    patients = [f"patient {number}" for number in range(IMAGE_COUNT)] + ["yq-patient"] * UNUSED
    describe_images(made, {"patient": pa.array(patients)})
    return made


def write_warehouses(folder: Path) -> Warehouses:
    made = write_models(folder / "whole", "Alpha", "Beta", GONE)
    other = write_synthetic(folder / "other", images=12, models=(GONE,), corruptions=("fog",), training=TRAINING)
    files = {"file": pa.array([f"vq-scan-{number}.png" for number in range(12)])}
    describe_images(other, files | {"uq-diagnosis": pa.array(["tq-finding"] * 12)})
    gone = [made.evaluations[GONE], other.evaluations[GONE]]
    note = {"step": "clean", "subject": "model", "topic": "input", "level": "note", "note": "sq-note"}
    write_dimension(folder / "whole", EVALUATION_NOTES, f"{gone[0]}-clean", [{"evaluation_id": gone[0]} | note])
    write_models(folder / "alone", "Alpha", "Beta")
    for name, outputs, models, claims in (
        ("whole", ("whole", "other"), ("Alpha", "Beta", GONE, "Unborn"), CLAIMS),
        ("alone", ("alone",), ("Alpha", "Beta"), CLAIMS[:2]),
    ):
        load(
            [folder / output for output in outputs], folder / f"{name}.duckdb", claims=claims,
            models=[StatedModel(label, label == "Beta") for label in models], derivation=DERIVATION,
        )  # fmt: skip
    kept = {label: made.evaluations[label] for label in ("Alpha", "Beta")}
    return Warehouses(folder / "whole.duckdb", folder / "alone.duckdb", kept, gone)


@pytest.fixture(scope="module")
def warehouses(tmp_path_factory: pytest.TempPathFactory) -> Warehouses:
    return write_warehouses(tmp_path_factory.mktemp("warehouses"))


def write_part(name: str, of: Path, warehouses: Warehouses, folder: Path) -> Path:
    """Write Alpha and Beta of a warehouse to a folder, as a part of this name."""
    for path in (folder, folder.with_name("bundle")):
        path.mkdir(exist_ok=True)
    if name == "export":
        export_evaluations(of, [*warehouses.kept.values()], folder / "warehouse.duckdb", derivation=DERIVATION)
    elif name == "removal":
        shutil.copy(of, folder / "warehouse.duckdb")
        remove_evaluations(find_place(folder / "warehouse.duckdb"), warehouses.gone, DERIVATION)
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(writing, "bundled_page", folder.with_name("bundle").absolute)
            writing.write_site(of, folder, lambda: None, images=3, models=[*warehouses.kept])
    return folder / "warehouse.duckdb"


def stored_texts(warehouse: Path) -> str:
    """Every row of every table of a file as text, and the names and comments of its tables and columns."""
    tables = [name for (name,) in stored_rows(warehouse, "select table_name from duckdb_tables()")]
    relations = [*(f'"{name}"' for name in tables), "duckdb_tables()", "duckdb_columns()", "duckdb_views()"]
    return "\n".join(str(stored_rows(warehouse, f"from {relation}")) for relation in relations)


@quick("name", PARTS, "removal")
def test_nothing_of_what_was_left_out_is_in_the_files(name: str, warehouses: Warehouses, tmp_path: Path) -> None:
    whole = warehouses.whole.read_bytes().decode("latin-1") + stored_texts(warehouses.whole)
    secrets = [GONE, "Unborn", "sq-note", "tq-finding", "uq-diagnosis", "vq-scan", *TRAINING[GONE].values()]
    secrets += [*warehouses.gone, *(["yq-patient"] if name != "removal" else [])]
    assert [secret for secret in secrets if secret not in whole] == []

    part = write_part(name, warehouses.whole, warehouses, tmp_path / "part")

    written = [path.read_bytes().decode("latin-1") for path in part.parent.rglob("*") if path.is_file()]
    everything = "\n".join([*written, stored_texts(part)])
    assert [secret for secret in secrets if secret in everything] == []
    used = {
        compression
        for table in TABLES
        for (compression,) in stored_rows(
            part, f"select compression from pragma_storage_info('{table}') where segment_type = 'VARCHAR'"
        )
    }
    assert used <= LEGIBLE


@pytest.mark.test_all
@pytest.mark.parametrize("name", PARTS)
def test_rows_are_the_same_as_if_the_rest_had_never_been_loaded(
    name: str, warehouses: Warehouses, tmp_path: Path
) -> None:
    part = write_part(name, warehouses.whole, warehouses, tmp_path / "part")
    alone = warehouses.alone if name == "removal" else write_part(name, warehouses.alone, warehouses, tmp_path / "own")

    for table in TABLES.keys() - {WAREHOUSE_INFO.name}:
        times = "exclude (created_utc)" if table == "shards" else ""
        rows, expected = (stored_rows(path, f"select * {times} from {table} order by all") for path in (part, alone))
        assert str(rows) == str(expected), table
    compared, expected = (sorted(folder.parent.glob("compare/*.json")) for folder in (part, alone))
    assert [path.read_text() for path in compared] == [path.read_text() for path in expected]
