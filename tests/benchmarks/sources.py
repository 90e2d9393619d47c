"""Datasets larger than memory: encoded images in Parquet files and in tar shards against the same pixels as an array.

Each command runs in a process of its own, whose memory is the most that it ever held, mapped files included.
"""

import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import Result, Spent, run_process
from PIL import Image

IMAGES, EVALUATED, CLASSES = 100_000, 3_000, 100
DISTINCT = 5_000  # images; the others repeat them
SIDE_PX, QUALITY = 224, 90
PER_SHARD, GROUP_ROWS = 10_000, 500
ROUNDS = 3
MOST_MB = 2_000
CELLS = 2
NETWORK = """
import torch

def network(num_classes):
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 8, 7, stride=4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(8, num_classes))
"""
STUDY = """
name = "sources"
output = "{name}"
[dataset]
{dataset}
images = {images}
[corruptions]
names = ["contrast"]
severities = [3]
[[models]]
label = "Network"
architecture = "network:network"
normalization = "none"
[evaluation]
attention = false
thumbnails = false
device = "cpu"
"""
ARRAYS = 'kind = "arrays"\npath = "arrays"'


def measure_sources(count: int = IMAGES) -> Iterator[Result]:
    """Decoding, evaluation and memory of each source."""
    with tempfile.TemporaryDirectory(prefix="failmodes-sources-") as name:
        folder = Path(name)
        (folder / "network.py").write_text(NETWORK)
        _write_shards(folder, count)
        for kind in ("parquet", "webdataset"):
            dataset = f'kind = "{kind}"\npath = "{kind}"'
            opened = _command(folder, kind, dataset, "ingest")
            yield _memory(f"{kind}/ingest", opened, count)
            _link_arrays(folder, kind, count)
            as_array = _command(folder, "array", ARRAYS, "ingest")
            yield Result(
                f"sources/{kind}/ingest", count / opened.wall_s, "images/s", as_array.wall_s / opened.wall_s,
                "the same pixels as an array, which are hashed and measured only; both happen once",
            )  # fmt: skip
            yield from _evaluations(folder, kind, dataset, "decoded once")
            yield from _evaluations(folder, f"{kind}-on-demand", f'{dataset}\ndecode = "on-demand"', "decoded per cell")
            for of_kind in (folder / f"out-{kind}", folder / "arrays"):  # room for the next
                shutil.rmtree(of_kind)


def _evaluations(folder: Path, name: str, dataset: str, how: str) -> Iterator[Result]:
    """Evaluations in turns with those of the array."""
    _command(folder, name, dataset, "ingest")
    times, peak_mb = [], 0.0
    for _ in range(ROUNDS):
        ours, peer = (_command(folder, *source, "evaluate") for source in ((name, dataset), ("array", ARRAYS)))
        times.append((ours.wall_s, peer.wall_s))
        peak_mb = max(peak_mb, ours.peak_mb)
    ours_s = median(ours for ours, _ in times)
    ratio = median(peer / ours for ours, peer in times)
    against = f"the same pixels as an array; {how}, {EVALUATED:,} images, {CELLS} cells, the smallest network"
    yield Result(f"sources/{name}/evaluate", CELLS * EVALUATED / ours_s, "images/s", ratio, against)
    yield Result(f"sources/{name}/memory", peak_mb, "MB at most", MOST_MB / peak_mb, "2 GB, while evaluating")


def _memory(name: str, command: Spent, count: int) -> Result:
    against = f"2 GB, on {count:,} images of {SIDE_PX} px ({count * SIDE_PX**2 * 3 / 1e9:,.0f} GB of pixels)"
    return Result(f"sources/{name}/memory", command.peak_mb, "MB at most", MOST_MB / command.peak_mb, against)


def _command(folder: Path, name: str, dataset: str, command: str) -> Spent:
    """Run a command of the study of a source; results of an earlier evaluation are removed."""
    study = folder / f"{name}.toml"
    study.write_text(STUDY.format(name=f"out-{name.removesuffix('-on-demand')}", dataset=dataset, images=EVALUATED))
    output = folder / f"out-{name.removesuffix('-on-demand')}"
    shutil.rmtree(output / "results", ignore_errors=True)
    return run_process([sys.executable, "-m", "failmodes", command, study])


def _link_arrays(folder: Path, kind: str, count: int) -> None:
    """The decoded pixels as a dataset of arrays, without a copy."""
    (folder / "arrays").mkdir()
    (pixels,) = (folder / f"out-{kind}" / "cache" / "images").glob("*.npy")
    os.link(pixels, folder / "arrays" / "images.npy")
    np.save(folder / "arrays" / "labels.npy", np.arange(count) % CLASSES)
    (folder / "arrays" / "classes.json").write_text(json.dumps([str(label) for label in range(CLASSES)]))


def _write_shards(folder: Path, count: int) -> None:
    """The same images as Parquet files and as tar shards."""
    for name in ("parquet", "webdataset"):
        (folder / name).mkdir()
    with ProcessPoolExecutor() as pool:
        encoded = list(pool.map(_encoded, range(min(count, DISTINCT)), chunksize=250))
    for start in range(0, count, PER_SHARD):
        places = range(start, min(start + PER_SHARD, count))
        contents = [encoded[place % DISTINCT] for place in places]
        labels = [place % CLASSES for place in places]
        images = [{"bytes": content, "path": f"{place}.jpg"} for content, place in zip(contents, places, strict=True)]
        table = pa.table({"image": images, "label": labels})
        pq.write_table(table, folder / "parquet" / f"{start:06d}.parquet", row_group_size=GROUP_ROWS)
        with tarfile.open(folder / "webdataset" / f"{start:06d}.tar", "w") as shard:
            for content, label, place in zip(contents, labels, places, strict=True):
                _add(shard, f"{place:06d}.jpg", content)
                _add(shard, f"{place:06d}.cls", str(label).encode())


def _add(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    shard.addfile(member, io.BytesIO(content))


def _encoded(place: int) -> bytes:
    """A JPEG as large as that of a photograph: smooth shapes and some noise."""
    rng = np.random.default_rng(place)
    small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    shapes = small.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
    noisy = np.asarray(shapes, np.int16) + rng.integers(-9, 10, (SIDE_PX, SIDE_PX, 1), dtype=np.int16)
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
