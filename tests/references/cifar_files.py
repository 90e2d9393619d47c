"""A small data set in the layouts of CIFAR."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from encoded_files import encoded

from failmodes.ingest.datasets.layouts.cifar import VARIANTS

RNG = np.random.default_rng(0)
COUNT = 20
IMAGES = RNG.integers(0, 256, (COUNT, 32, 32, 3), dtype=np.uint8)
LABELS = {"cifar10": np.arange(COUNT) % 10, "cifar100": RNG.permutation(100)[:COUNT]}


def write_parquet(folder: Path, kind: str, split: str = "test", *, image: str = "img", jpegs: int = 0) -> Path:
    """Two files a split, with class names in the metadata, as the Hugging Face hub has them."""
    folder.mkdir(parents=True, exist_ok=True)
    label = VARIANTS[kind].label_role.usual[0]
    features = {"info": {"features": {label: {"names": [f"class {i}" for i in range(100)], "_type": "ClassLabel"}}}}
    for number, part in enumerate(np.array_split(np.arange(COUNT), 2)):
        cells = [{"bytes": encoded(IMAGES[i], "JPEG" if i < jpegs else "PNG"), "path": None} for i in part]
        table = pa.table({image: cells, label: LABELS[kind][part]})
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
        pq.write_table(table, folder / f"{split}-0000{number}-of-00002.parquet")
    return folder
