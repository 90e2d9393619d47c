"""Studies of Parquet files and tar shards through the installed script: the rows of the folder, also after kills."""

import subprocess
from pathlib import Path

import pytest

pytest.importorskip("torch")

from installed_script import SCRIPT, failmodes
from packed_images import CLASSES, PackedImage, photographs, write_folder, write_parquet, write_tar
from tiny_study import hashes

pytestmark = pytest.mark.slow
NETWORK = """
import torch

def network(num_classes):
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 8, 5, stride=3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(8, num_classes))
"""
STUDY = """
name = "packed"
output = "{name}"
[dataset]
{dataset}
[corruptions]
names = ["contrast", "gaussian_noise"]
severities = [1, 3]
[[models]]
label = "Network"
architecture = "network:network"
normalization = "none"
"""
SOURCES = {
    "folder": 'kind = "folder"\npath = "images"',
    "tar": 'kind = "webdataset"\npath = "shards"',
    "parquet": 'kind = "parquet"\npath = "x.parquet"',
    "on demand": 'kind = "parquet"\npath = "x.parquet"\ndecode = "on-demand"',
}


def write(folder: Path, images: list[PackedImage], sizes: str) -> None:
    """The images in every source, and a study of each."""
    write_folder(folder / "images", images)
    half = len(images) // 2
    write_tar(folder / "shards" / "0.tar", images[:half], [{"camera": "a"}] * half)
    write_tar(folder / "shards" / "1.tar", images[half:], [{"camera": "b"}] * (len(images) - half))
    write_parquet(folder / "x.parquet", images, rows=7, camera=["a"] * half + ["b"] * (len(images) - half))
    (folder / "network.py").write_text(NETWORK)
    for name, dataset in SOURCES.items():
        (folder / f"{name}.toml").write_text(STUDY.format(name=name, dataset=f"{dataset}\n{sizes}"))


def test_every_source_gives_the_rows_of_the_folder(real_data: Path, tmp_path: Path) -> None:
    files = sorted((real_data / "imagenet_sample").glob("*.jpg"))[:60]
    labels = [number * len(CLASSES) // len(files) for number in range(len(files))]
    images = [PackedImage(file.name, file.read_bytes(), label) for file, label in zip(files, labels, strict=True)]
    write(tmp_path, images, "image_size = 64\nresize = 72")
    for name in SOURCES:
        said = failmodes("run", f"{name}.toml", folder=tmp_path).stderr
        assert ("decoded once for each of 5 cells" if name == "on demand" else "decoded once, to") in said
        assert hashes(tmp_path / name) == hashes(tmp_path / "folder")
    query = "select camera, count(*) as count from predictions where severity = 0 group by all order by all"
    printed = failmodes("query", query, "tar", "--format", "csv", folder=tmp_path).stdout
    assert printed.split() == ["camera,count", "a,30", "b,30"]


def test_cifar_is_the_same_as_parquet(real_data: Path, tmp_path: Path) -> None:
    (tmp_path / "network.py").write_text(NETWORK)
    for kind in ("cifar10", "parquet"):
        dataset = f'kind = "{kind}"\npath = "{real_data / "cifar10"}"\nimages = 200'
        (tmp_path / f"{kind}.toml").write_text(STUDY.format(name=kind, dataset=dataset))
        failmodes("evaluate", f"{kind}.toml", folder=tmp_path)
    assert hashes(tmp_path / "parquet") == hashes(tmp_path / "cifar10")


@pytest.mark.parametrize("name", ["tar", "parquet", "on demand"])
def test_kill_9_at_any_instant_resumes_to_the_same_rows(name: str, tmp_path: Path) -> None:
    write(tmp_path, photographs(300, side_px=200), "image_size = 100")
    failmodes("evaluate", "folder.toml", folder=tmp_path)
    for seconds in (2, 4, 6, 8, 11):  # while it starts, decodes, evaluates; a busy machine takes longer
        process = subprocess.Popen(
            [SCRIPT, "evaluate", f"{name}.toml"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(60)
    failmodes("evaluate", f"{name}.toml", folder=tmp_path)
    assert hashes(tmp_path / name) == hashes(tmp_path / "folder")
    assert not list((tmp_path / name).rglob(".tmp-*"))


def test_unreadable_images_are_counted_in_the_run_and_its_report(tmp_path: Path) -> None:
    images = photographs(30)
    images[4] = images[4]._replace(content=b"these are words")
    write(tmp_path, images, "image_size = 32")
    refused = failmodes("run", "tar.toml", folder=tmp_path, expect=1).stderr
    assert "0.tar, 0004.jpg cannot be decoded" in refused
    assert len([line for line in refused.splitlines() if "cannot be decoded" in line]) == 1
    assert not list((tmp_path / "tar").rglob("rows.parquet"))
    said = failmodes("run", "tar.toml", "--skip-unreadable", folder=tmp_path).stderr
    assert "29 images" in said
    assert "left out: 1 image that cannot be decoded" in said
    assert "1 image that cannot be decoded" in (tmp_path / "tar" / "report.html").read_text()
