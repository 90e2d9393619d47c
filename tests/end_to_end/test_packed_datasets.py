"""Studies of Parquet files and tar shards: the rows of the folder."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

from packed_images import CLASSES, NETWORK, SOURCES, STUDY, PackedImage, photographs, write_studies
from run_commands import run
from tiny_study import hashes

pytestmark = pytest.mark.test_all


def test_every_source_gives_the_rows_of_the_folder(real_data: Path, tmp_path: Path) -> None:
    files = sorted((real_data / "imagenet_sample").glob("*.jpg"))[:60]
    labels = [number * len(CLASSES) // len(files) for number in range(len(files))]
    images = [PackedImage(file.name, file.read_bytes(), label) for file, label in zip(files, labels, strict=True)]
    write_studies(tmp_path, images, "image_size = 64\nresize = 72")
    for name in SOURCES:
        said = run("run", f"{name}.toml", folder=tmp_path).stderr
        assert ("decoded once for each of 5 cells" if name == "on demand" else "decoded once, to") in said
        assert hashes(tmp_path / name) == hashes(tmp_path / "folder")
    query = "select camera, count(*) as count from predictions where severity = 0 group by all order by all"
    printed = run("query", query, "tar", "--format", "csv", folder=tmp_path).stdout
    assert printed.split() == ["camera,count", "a,30", "b,30"]


def test_cifar_is_the_same_as_parquet(real_data: Path, tmp_path: Path) -> None:
    (tmp_path / "network.py").write_text(NETWORK)
    for kind in ("cifar10", "parquet"):
        dataset = f'kind = "{kind}"\npath = "{real_data / "cifar10"}"\nimages = 200'
        (tmp_path / f"{kind}.toml").write_text(STUDY.format(name=kind, dataset=dataset))
        run("evaluate", f"{kind}.toml", folder=tmp_path)
    assert hashes(tmp_path / "parquet") == hashes(tmp_path / "cifar10")


def test_unreadable_images_are_counted_in_the_run_and_its_report(tmp_path: Path) -> None:
    images = photographs(30)
    images[4] = images[4]._replace(content=b"these are words")
    write_studies(tmp_path, images, "image_size = 32")
    refused = run("run", "tar.toml", folder=tmp_path, expect=1).stderr
    assert "0.tar, 0004.jpg cannot be decoded" in refused
    assert len([line for line in refused.splitlines() if "cannot be decoded" in line]) == 1
    assert not list((tmp_path / "tar").rglob("rows.parquet"))
    said = run("run", "tar.toml", "--skip-unreadable", folder=tmp_path).stderr
    assert "29 images" in said
    assert "left out: 1 image that cannot be decoded" in said
    assert "1 image that cannot be decoded" in (tmp_path / "tar" / "report.html").read_text()
