"""What surrounds a model: its cost per image and its memory over more images, cells and models (flat is 1)."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import torch

sys.path.append(str(Path(__file__).parents[1] / "references"))

from measure import Result  # noqa: E402
from subjects import TINY, make_bench, model_of  # noqa: E402

IMAGES = (1_000, 10_000, 100_000)
MODELS = (1, 4, 16)
CELLS = (1, 4, 16)
ROUNDS = 3
SAMPLE_S = 0.005


def measure_scaling() -> Iterator[Result]:
    """Each line runs in a process of its own, since memory once taken stays with a process."""
    by_images = {count: _run(count, 1, 1) for count in IMAGES}
    by_models = {count: _run(10_000, count, 1) for count in MODELS}
    by_cells = {count: _run(10_000, 1, count) for count in CELLS}
    for what, found in (("images", by_images), ("models", by_models), ("cells", by_cells)):
        least, most = min(found), max(found)
        times = ", ".join(f"{count:,}: {run['us_per_image']:.1f}" for count, run in found.items())
        flat = found[least]["us_per_image"] / found[most]["us_per_image"]
        yield Result(
            f"scaling/{what}/cost", found[most]["us_per_image"], "us an image", flat,
            f"the cost of {least:,} against {most:,} {what} ({times} us an image)",
        )  # fmt: skip
        peaks = ", ".join(f"{count:,}: {run['peak_mb']:.0f}" for count, run in found.items())
        yield Result(
            f"scaling/{what}/memory", found[most]["peak_mb"], "MB at most",
            found[least]["peak_mb"] / found[most]["peak_mb"],
            f"the peak of {least:,} against {most:,} {what} ({peaks} MB beyond mapped files)",
        )  # fmt: skip


def _run(images: int, models: int, cells: int) -> dict[str, float]:
    command = [sys.executable, __file__, json.dumps([images, models, cells])]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _measure(images: int, models: int, cells: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        prepared = [model_of(TINY, torch.device("cpu"), seed=seed) for seed in range(models)]
        bench = make_bench(TINY, prepared, Path(name), count=images)
        bench.worker.run([bench.clean()])
        tasks = [bench.cell(severity=1 + cell % 5) for cell in range(cells)]
        times = []
        with _Peak() as peak:
            for _ in range(ROUNDS):
                started = time.perf_counter()
                for task in tasks:
                    bench.worker.run([task])
                times.append(time.perf_counter() - started)
        return {"us_per_image": median(times) / (images * models * cells) * 1e6, "peak_mb": peak.bytes / 1e6}


class _Peak:
    """The most anonymous memory of this process while inside; pages of mapped files are not counted."""

    def __enter__(self) -> "_Peak":
        self.bytes, self.over = 0, threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.over.wait(SAMPLE_S):
            status = Path("/proc/self/status").read_text()
            self.bytes = max(self.bytes, int(status.split("RssAnon:")[1].split()[0]) * 1024)


if __name__ == "__main__":
    print(json.dumps(_measure(*json.loads(sys.argv[1]))))
