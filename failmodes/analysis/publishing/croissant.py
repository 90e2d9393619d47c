"""Croissant 1.0 (ML Commons, JSON-LD) description of a warehouse and its results, for dataset search and loaders.

Paths are relative to the folder of the warehouse, where the description belongs.
"""

import hashlib
from pathlib import Path
from typing import Any

import duckdb

from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.publishing.written import Written
from failmodes.analysis.render.formats.json import as_json
from failmodes.analysis.render.formatting import format_count, join_names
from failmodes.runtime.errors import printable
from failmodes.warehouse.database.connection import fetch_first, metadata_columns
from failmodes.warehouse.output_files import write_output
from failmodes.warehouse.schema import (
    ATTENTION,
    CLASSES,
    CORRUPTIONS,
    DATASETS,
    EVALUATIONS,
    FACTS,
    IMAGES,
    LEVELS,
    MODELS,
    PREDICTION_FACTS,
    SEVERITY,
    SHIFTS,
    SOURCES,
    Column,
    Table,
    images_with,
)
from failmodes.warehouse.shards.format import FOLDERS, RESULTS_FOLDER
from failmodes.warehouse.shards.inventory import stored_columns

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
DESCRIBED = (
    PREDICTION_FACTS, ATTENTION, EVALUATIONS, MODELS, DATASETS, CLASSES, IMAGES, CORRUPTIONS, SOURCES, LEVELS, SHIFTS,
)  # fmt: skip
PARQUET, DUCKDB = "application/x-parquet", "application/vnd.duckdb"
MISSING = "add license, creator and url, which Croissant requires and Failmodes does not know"

# The context of appendix 1 of the specification
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}

_TYPES = {
    "string": "sc:Text", "bool": "sc:Boolean", "int16": "sc:Integer", "int32": "sc:Integer", "int64": "sc:Integer",
    "float32": "sc:Float", "float64": "sc:Float", "date32": "sc:Date", SEVERITY: "sc:Float",
}  # fmt: skip


def write_croissant(
    con: duckdb.DuckDBPyConnection, warehouse: Path, selection: Selection, path: Path, force: bool
) -> Written:
    """Describe the DuckDB file and, if they are next to it, the Parquet results, with the columns of their tables.

    Raises:
        DamagedShardError: a results file cannot be parsed.
        StorageError: the file cannot be written.
    """
    has_results = (warehouse.parent / RESULTS_FOLDER).is_dir()
    described = _description(con, selection)
    described["distribution"] = [_database(warehouse)]
    described["recordSet"] = []
    for table in (_with_metadata(con) if table is IMAGES else table for table in DESCRIBED):
        if columns := _columns(table, warehouse.parent, has_results=has_results):
            described["distribution"] += [_file_set(table)] if has_results else []
            described["recordSet"].append(_record_set(table, columns, warehouse, has_results=has_results))
    document = as_json(described, indent=2).replace("<", "\\u003c")
    write_output(path, f"{document}\n".encode(), (".json",), force=force)
    notes = [MISSING]
    if not has_results:
        notes.append(f"no folder {RESULTS_FOLDER} next to the warehouse: only the DuckDB file is described")
    if path.parent.absolute() != warehouse.parent.absolute():
        notes.append(f"paths are relative to the folder of the warehouse: publish it next to {warehouse.name}")
    return Written((path,), tuple(notes))


def _with_metadata(con: duckdb.DuckDBPyConnection) -> Table:
    """The table `images` with the metadata of a warehouse."""
    shown = con.table(IMAGES.name)
    return images_with(metadata_columns(dict(zip(shown.columns, map(str, shown.types), strict=True))))


def _columns(table: Table, output: Path, *, has_results: bool) -> list[Column]:
    """The columns to describe: with results, those that the files have."""
    stored = stored_columns(output, table) if has_results else {column.name for column in table.columns}
    return [column for column in table.columns if column.name in stored and _type(column)]


def _description(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[str, Any]:
    """Name, description, version, dates and keywords."""
    created, updated, version = fetch_first(
        con,
        "select created_utc, updated_utc, schema_version from warehouse_info",
    ) or (None, None, "")
    models = join_names(printable(label) for label in selection.labels.values())
    dataset = printable(selection.shared["dataset_label"])
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": f"Predictions of {models} on {dataset} under corruption",
        "description": (
            f"Per-image predictions, confidence and attention of {models} on "
            f"{format_count(selection.image_count, 'image')} of {dataset}, clean and under "
            f"{format_count(len(selection.corruptions), 'corruption')}. {printable(selection.source_line)}"
        ).replace("\u00a0", " "),
        "version": f"{version}.0",
        "dateCreated": f"{created:%Y-%m-%d}",
        "dateModified": f"{updated:%Y-%m-%d}",
        "datePublished": f"{updated:%Y-%m-%d}",
        "keywords": ["robustness", "image classification", "corruption", "calibration", "attention"],
    }


def _database(warehouse: Path) -> dict[str, Any]:
    with warehouse.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "@type": "cr:FileObject",
        "@id": warehouse.name,
        "name": warehouse.name,
        "description": "All tables and views as one DuckDB file.",
        "contentSize": f"{warehouse.stat().st_size} B",
        "contentUrl": warehouse.name,
        "encodingFormat": DUCKDB,
        "sha256": sha256,
    }


def _file_set(table: Table) -> dict[str, Any]:
    """The Parquet files of a table: one per cell, in folders named by its key, or one per few rows."""
    within = "*/*/*/*.parquet" if table in FACTS else "*.parquet"
    return {
        "@type": "cr:FileSet",
        "@id": f"{table.name}-files",
        "name": f"{table.name}-files",
        "description": f"Parquet: {table.grain}.",
        "encodingFormat": PARQUET,
        "includes": f"{RESULTS_FOLDER}/{table.name}/{within}",
    }


def _record_set(table: Table, columns: list[Column], warehouse: Path, *, has_results: bool) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": table.name,
        "name": table.name,
        "description": f"{table.grain}.",
        "key": [{"@id": f"{table.name}/{name}"} for name in table.key],
        "field": [_field(table, column, warehouse, has_results=has_results) for column in columns],
    }


def _field(table: Table, column: Column, warehouse: Path, *, has_results: bool) -> dict[str, Any]:
    """A column; partition columns are extracted from the path."""
    source: dict[str, Any] = {"fileObject": {"@id": warehouse.name}, "extract": {"column": column.name}}
    if has_results:
        source = {"fileSet": {"@id": f"{table.name}-files"}, "extract": {"column": column.name}}
        if table in FACTS and column.name in FOLDERS:
            source["extract"] = {"fileProperty": "fullpath"}
            source["transform"] = {"regex": f".*{column.name}=([^/]+)/.*"}
    field = {
        "@type": "cr:Field",
        "@id": f"{table.name}/{column.name}",
        "name": column.name,
        "description": column.meaning,
        "dataType": _type(column),
        "source": source,
    }
    return field | ({"repeated": True} if column.type.startswith("list<") else {})


def _type(column: Column) -> str | None:
    """Croissant's type of a column, or None."""
    return _TYPES.get(column.type.removeprefix("list<").removesuffix(">"))
