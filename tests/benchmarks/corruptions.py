"""The corruption engine: at 32 px against recorded costs, at 224 px in turns with the `imagecorruptions` package."""

import importlib.util
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import numpy as np
from measure import Result, Skipped, alternate, seconds
from peer_environment import PEER, PeerUnavailableError, frost_folder, peer_python
from PIL import Image
from sklearn.datasets import load_sample_images

from failmodes.ingest.corruptions.catalog import CORRUPTIONS

# The published generator (Hendrycks & Dietterich, make_cifar_c.py): milliseconds per 32×32 image on one core. Recorded
# once for this project (reference/corruptions.md, "Cost of the published generator"), since it no longer runs on
# current libraries; on another kind of machine the ratios to it mean little.
PUBLISHED_MS = {
    "gaussian_noise": 0.08, "shot_noise": 0.18, "impulse_noise": 0.09, "defocus_blur": 0.22, "glass_blur": 5.5,
    "motion_blur": 4.3, "zoom_blur": 2.2, "snow": 4.1, "frost": 4.4, "fog": 0.32, "brightness": 0.69, "contrast": 0.05,
    "elastic_transform": 0.44, "pixelate": 0.03, "jpeg_compression": 0.12, "speckle_noise": 0.07,
    "gaussian_blur": 0.07, "spatter": 0.28, "saturate": 0.35,
}  # fmt: skip

SEVERITIES = (1, 2, 3, 4, 5)
SMALL_IMAGES, SMALL_ROUNDS = 512, 3
ALL_IMAGES = {severity: 2_000 for severity in SEVERITIES} | {3: 10_000}  # one level whole, for the memory it takes
TEST_SET_IMAGES, CORES = 10_000, 2
LIMIT_S, LIMIT_BYTES = 90, 2e9
PHOTOGRAPH_SEVERITIES = (1, 3, 5)
PHOTOGRAPHS, ROUNDS = 16, 5

# Photographs a turn of the peer where one takes it seconds, or so little that a turn would be noise
PEER_PHOTOGRAPHS = {"glass_blur": 1, "zoom_blur": 4, "pixelate": 64, "jpeg_compression": 64}
PEER_ROUNDS = {"glass_blur": 3, "pixelate": 9, "jpeg_compression": 9}
ROOT = Path(__file__).parents[2]
FROST_VARIABLE, FROST_PACKAGES = "FAILMODES_FROST_PHOTOGRAPHS", ("corrupt_tta", "imagecorruptions")
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMEXPR")}
_seeds = itertools.count()  # fresh draws in every call, on both sides


class RefusedError(Exception):
    """The engine cannot make this corruption, in its own words."""


class Worker:
    """A process that holds images and corrupts the first of them on request (`corruption_worker.py`)."""

    def __init__(self, side: str, recipe: str, images: Path, python: Path | str = sys.executable) -> None:
        command = [python, "-P", "-W", "ignore", Path(__file__).with_name("corruption_worker.py"), side, recipe, images]
        environment = os.environ | ONE_THREAD | ({"PYTHONPATH": str(ROOT)} if side == "ours" else {})
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.peak_bytes = 0

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()

    def per_image_s(self, name: str, severity: int, count: int) -> float:
        """Seconds an image, over the first `count`; raises RefusedError where the engine does."""
        request = {"name": name, "severity": severity, "count": count, "seed": next(_seeds)}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process that was asked for {request} ended; its own message stands above")
        reply = json.loads(line)
        if "refused" in reply:
            raise RefusedError(reply["refused"])
        self.peak_bytes = reply["peak_bytes"]
        return reply["seconds"] / count


def measure_corruptions() -> Iterator[Result | Skipped]:
    """All lines of this file."""
    try:
        peer, no_peer = peer_python(), ""
    except PeerUnavailableError as error:
        peer, no_peer = None, f"{PEER} {error}"
    if peer and FROST_VARIABLE not in os.environ and not any(map(importlib.util.find_spec, FROST_PACKAGES)):
        os.environ[FROST_VARIABLE] = str(frost_folder())
    with tempfile.TemporaryDirectory() as name:
        yield from _small(_saved_crops(Path(name), max(ALL_IMAGES.values()), 32))
        if peer:
            yield from _photographs(_saved_crops(Path(name), max(PHOTOGRAPHS, *PEER_PHOTOGRAPHS.values()), 224), peer)
        else:
            yield Skipped("corrupt224/…", no_peer)


def _saved_crops(folder: Path, count: int, side_px: int) -> Path:
    """Square crops of scikit-learn's two sample photographs, of all sizes, scaled to `side_px`."""
    photographs = [Image.fromarray(photograph) for photograph in load_sample_images().images]
    generator = np.random.default_rng(0)
    crops = np.empty((count, side_px, side_px, 3), np.uint8)
    for crop, photograph in zip(crops, itertools.cycle(photographs), strict=False):
        cut = int(generator.integers(side_px, min(photograph.size), endpoint=True))
        left, top = (int(generator.integers(0, length - cut, endpoint=True)) for length in photograph.size)
        box = (left, top, left + cut, top + cut)
        crop[:] = photograph.resize((side_px, side_px), Image.Resampling.BICUBIC, box=box, reducing_gap=2)
    path = folder / f"crops{side_px}.npy"
    np.save(path, crops)
    return path


def _small(images: Path) -> Iterator[Result | Skipped]:
    missing = []
    with Worker("ours", "cifar-c", images) as worker:
        for name in CORRUPTIONS:
            try:
                yield _small_line(worker, name)
            except RefusedError as error:
                missing.append(name)
                yield Skipped(f"corrupt/{name}", str(error))
    if missing:
        yield Skipped("corrupt/all", f"without {', '.join(missing)}")
    else:
        yield from _all_small(images)


def _small_line(worker: Worker, name: str) -> Result:
    """One core, mean over the five severities, median of the rounds."""
    _warm_up(worker, name, SEVERITIES)
    rounds = [
        sum(worker.per_image_s(name, severity, SMALL_IMAGES) for severity in SEVERITIES) / len(SEVERITIES)
        for _ in range(SMALL_ROUNDS)
    ]
    ours_s = median(rounds)
    against = f"published generator, {PUBLISHED_MS[name]} ms an image on one core: recorded, not run here"
    return Result(f"corrupt/{name}", 1 / ours_s, "images/s", PUBLISHED_MS[name] / 1e3 / ours_s, against)


def _all_small(images: Path) -> Iterator[Result]:
    """All 19 × 5 levels on two cores, extrapolated to 10,000 images each: a process a core, each with its share."""
    with ExitStack() as stack, ThreadPoolExecutor(CORES) as pool:
        workers = [stack.enter_context(Worker("ours", "cifar-c", images)) for _ in range(CORES)]
        for name, worker in itertools.product(CORRUPTIONS, workers):
            _warm_up(worker, name, SEVERITIES)

        def wall_s(name: str, severity: int, count: int) -> float:
            return seconds(lambda: list(pool.map(lambda w: w.per_image_s(name, severity, count // CORES), workers)))

        total_s = TEST_SET_IMAGES * sum(
            wall_s(name, severity, count) / count for name in CORRUPTIONS for severity, count in ALL_IMAGES.items()
        )
        peak_bytes = sum(worker.peak_bytes for worker in workers)
    levels = len(CORRUPTIONS) * len(SEVERITIES)
    published_s = sum(PUBLISHED_MS.values()) / 1e3 * len(SEVERITIES) * TEST_SET_IMAGES / CORES
    against = f"published generator, {published_s:.0f} s if its one core were {CORES}: recorded, not run here"
    yield Result("corrupt/all", levels * TEST_SET_IMAGES / total_s, "images/s", published_s / total_s, against)
    unit = f"s for {levels} levels × {TEST_SET_IMAGES:,} images on {CORES} cores, extrapolated"
    yield Result("corrupt/all/seconds", total_s, unit, LIMIT_S / total_s, f"limit of {LIMIT_S} s")
    unit = f"GB at the most, both processes, batches of {max(ALL_IMAGES.values()) // CORES:,}"
    limit = f"limit of {LIMIT_BYTES / 1e9:.0f} GB"
    yield Result("corrupt/all/memory", peak_bytes / 1e9, unit, LIMIT_BYTES / peak_bytes, limit)


def _photographs(images: Path, peer_interpreter: Path) -> Iterator[Result | Skipped]:
    lines, ours_s, peer_s, missing = {}, 0.0, {}, []
    with Worker("ours", "imagenet-c", images) as ours, Worker("peer", "-", images, peer_interpreter) as peer:
        for name in CORRUPTIONS:
            try:
                mine_s, peer_s[name], ratio = _photograph_turns(ours, peer, name)
            except RefusedError as error:
                missing.append(name)
                yield Skipped(f"corrupt224/{name}", str(error))
                continue
            ours_s += mine_s
            against = f"{PEER}, image by image, one core, {peer_s[name] * 1e3:.3g} ms an image"
            lines[name] = Result(f"corrupt224/{name}", 1 / mine_s, "images/s", ratio, against)
            yield lines[name]
    if missing:
        yield Skipped("corrupt224/all", f"without {', '.join(missing)}")
        return
    least = min(lines, key=lambda name: lines[name].ratio)
    against = (
        f"{PEER}, the same total ({peer_s['glass_blur'] / sum(peer_s.values()):.0%} of it glass_blur);"
        f" least: {least} {lines[least].ratio:.2f} ×"
    )
    yield Result("corrupt224/all", len(lines) / ours_s, "images/s", sum(peer_s.values()) / ours_s, against)


def _photograph_turns(ours: Worker, peer: Worker, name: str) -> tuple[float, float, float]:
    """Seconds an image of ours and of the peer, mean over severities 1, 3 and 5, and the median of their ratios."""
    peer_count = PEER_PHOTOGRAPHS.get(name, PHOTOGRAPHS)
    for worker in (ours, peer):
        _warm_up(worker, name, PHOTOGRAPH_SEVERITIES)

    def mean_s(worker: Worker, count: int) -> float:
        return sum(worker.per_image_s(name, s, count) for s in PHOTOGRAPH_SEVERITIES) / len(PHOTOGRAPH_SEVERITIES)

    return alternate(
        lambda: mean_s(ours, max(peer_count, PHOTOGRAPHS)),
        lambda: mean_s(peer, peer_count),
        PEER_ROUNDS.get(name, ROUNDS),
    )


def _warm_up(worker: Worker, name: str, severities: tuple[int, ...]) -> None:
    for severity in severities:
        worker.per_image_s(name, severity, 1)
