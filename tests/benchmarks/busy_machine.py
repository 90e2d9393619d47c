"""An evaluation beside other work, with threads that spin briefly while they wait, as in every command, or for long."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parents[1] / "references"))

from measure import Result, alternate  # noqa: E402
from subjects import SUBJECTS, make_bench, model_of  # noqa: E402

from failmodes.evaluate.engine.cell import choose_batch_size  # noqa: E402

ROUNDS = 2
BRIEFLY = {"GOMP_SPINCOUNT": "20000"}  # as `begin_command` sets it


def measure_busy_machine() -> Iterator[Result]:
    """Two lines: on a machine without other work, and with as much of it as half of the cores can do."""
    cores = os.cpu_count() or 1
    for name, neighbours in (("quiet", 0), ("busy", max(1, cores // 2))):
        with _neighbours(neighbours):
            ours_s, _, ratio = alternate(lambda: _evaluation_s(BRIEFLY), lambda: _evaluation_s({}), ROUNDS)
        against = f"PyTorch's default, on {cores} cores of which other processes use {neighbours}"
        yield Result(f"evaluate/resnet18/{name}", SUBJECTS[0].images / ours_s, "images/s", ratio, against)


@contextmanager
def _neighbours(count: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _evaluation_s(settings: Mapping[str, str]) -> float:
    """Seconds of one cell in a process of its own, since settings are read when PyTorch is imported."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, __file__]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**environment, **settings})
    return float(json.loads(done.stdout))


def _measure() -> float:
    subject = SUBJECTS[0]
    prepared = model_of(subject, torch.device("cpu"))
    size = choose_batch_size(prepared, (subject.side_px, subject.side_px, 3))
    with tempfile.TemporaryDirectory() as name:
        bench = make_bench(subject, [prepared], Path(name), batch_size=size)
        bench.worker.run([bench.clean()])
        started = time.perf_counter()
        bench.worker.run([bench.cell()])
        return time.perf_counter() - started


if __name__ == "__main__":
    print(json.dumps(_measure()))
