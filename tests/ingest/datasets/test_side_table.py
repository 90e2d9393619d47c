"""Metadata from a table beside the images: joined by paths or numbers, typed, and what is refused in one line."""

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from failmodes.evaluate.study.study_file import read_study
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.layout import DatasetSpec, open_dataset
from failmodes.runtime.errors import FailmodesError

FILES = ("cat/0.png", "cat/1.png", "dog/2.png", "dog/3.png")
META = (
    "path,camera,iso,exposure,indoors,taken,lens\n"
    "dog/3.png,B,400,0.5,true,2026-01-31,050\n"
    "cat/0.png,A,100,1e-3,False,2025-12-01,\n"
    "dog/9.png,A,100,1,true,2025-12-01,35\n"
    "cat/1.png,A,,2,true,2025-12-01,35\n"
)
EXPECTED = {
    "camera": ["A", "A", None, "B"], "iso": [100, None, None, 400], "exposure": [0.001, 2.0, None, 0.5],
    "indoors": [False, True, None, True], "taken": [date(2025, 12, 1), date(2025, 12, 1), None, date(2026, 1, 31)],
    "lens": [None, "35", None, "050"],
}  # fmt: skip


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in FILES:
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(tmp_path / "photos" / name)
    return tmp_path


def opened(folder: Path, text: str = META, **keys: object) -> Dataset:
    (folder / "meta.csv").write_text(text)
    more = {key: keys.pop(key) for key in ("skip_unreadable",) if key in keys}
    metadata = {"path": folder / "meta.csv", **keys}
    return open_dataset(DatasetSpec(kind="folder", path=folder / "photos", metadata=metadata, **more), folder / "cache")


def values(dataset: Dataset) -> dict[str, list[object]]:
    return {name: column.to_pylist() for name, column in dataset.metadata.items()}


def test_rows_are_joined_by_path_and_typed(photos: Path) -> None:
    dataset = opened(photos)
    assert values(dataset) == EXPECTED
    assert "meta.csv has no row for 1 of 4 images" in str(dataset.note)
    plain = open_dataset(DatasetSpec(kind="folder", path=photos / "photos"), photos / "cache")
    assert dataset.dataset_id == plain.dataset_id


def test_file_names_without_folders_and_numbers_name_images_too(photos: Path) -> None:
    assert values(opened(photos, META.replace("dog/", "").replace("cat/", ""))) == EXPECTED
    numbered = "camera,image_id\nB,3\nA,0\nA,1\nC,17\n"
    assert values(opened(photos, numbered)) == {"camera": EXPECTED["camera"]}
    renamed = META.replace("path,", "picture,", 1)
    assert values(opened(photos, renamed, key="picture", columns=["iso"])) == {"iso": EXPECTED["iso"]}


def test_parquet_keeps_its_types_and_splits_are_separate(photos: Path) -> None:
    rows = {"index": [0, 1, 2, 3, 0], "split": ["test"] * 4 + ["train"], "code": ["1", "2", "3", "4", "5"]}
    pl.DataFrame(rows).write_parquet(photos / "meta.parquet")
    spec = DatasetSpec(kind="folder", path=photos / "photos", metadata={"path": photos / "meta.parquet"})
    assert values(open_dataset(spec, photos / "cache")) == {"code": ["1", "2", "3", "4"]}


REFUSED = {
    "no key": ("camera\nA\n", {}, "has the columns camera: expected one row per image"),
    "another key": (META, {"key": "picture"}, "or name another column as `key`"),
    "two rows": (META + "cat/0.png,C,1,1,true,2025-12-01,1\n", {}, "has 'cat/0.png' in rows 2 and 5: keep one"),
    "other images": ("path,camera\nx.png,A\n", {}, "names none of the images: it holds 'x.png', the images"),
    "a name of ours": ("path,label\ncat/0.png,1\n", {}, "a column 'label', which is the name of a column"),
    "an unknown column": (META, {"columns": ["camra"]}, "no metadata 'camra': .*camera"),
    "numbers with gaps": ("image_id,camera\n0,A\n", {"skip_unreadable": True}, "some may be left out"),
    "ragged": ("path,camera\na,b,c\n", {}, "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "keys", "message"), REFUSED.values(), ids=REFUSED)
def test_wrong_tables_are_refused_in_one_line(photos: Path, text: str, keys: dict[str, object], message: str) -> None:
    with pytest.raises(FailmodesError, match=message) as caught:
        opened(photos, text, **keys)
    assert "\n" not in str(caught.value)


def test_a_study_names_the_table_relative_to_its_file(photos: Path) -> None:
    (photos / "meta.csv").write_text(META)
    study = photos / "study.toml"
    study.write_text(
        'name = "x"\noutput = "out"\n[dataset]\nkind = "folder"\npath = "photos"\n'
        '[dataset.metadata]\npath = "meta.csv"\ncolumns = ["camera"]\n'
    )
    spec = read_study(study, require_models=False).dataset
    assert values(open_dataset(spec, photos / "cache")) == {"camera": EXPECTED["camera"]}
    study.write_text(study.read_text().replace("meta.csv", "metadata.csv"))
    with pytest.raises(FailmodesError, match=r"metadata\.csv does not exist: expected one row per image"):
        open_dataset(read_study(study, require_models=False).dataset, photos / "cache")
