"""The stages of `make gpu`: each measures one thing on a device, and says which limit its figures must keep."""

import json
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from generated_studies import (
    balanced,
    batch_sizes,
    differences,
    differing_files,
    evaluate,
    generated_images,
    images_per_s,
    start_evaluation,
    write_study,
)
from models import best_bare
from subjects import Subject, model_of, vision_transformer
from torchvision import models

from failmodes.evaluate.cam.cam_method import CamUnavailable
from failmodes.evaluate.cam.method_selection import cam_methods, select_cam_method
from failmodes.evaluate.devices import describe_device, runs_bfloat16
from failmodes.evaluate.engine.run import evaluate_study
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.sources.builtin import ARCHITECTURES
from failmodes.evaluate.study.study_file import read_study
from failmodes.evaluate.study.study_schema import Precision
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.ingest.datasets.layout import open_dataset
from failmodes.runtime.errors import StudyError

CPU = torch.device("cpu")
CLASSES = 10
# Largest difference of a logit from float32 on a CPU, relative to the largest logit: 50 roundings of float16 (2^-11)
# and bfloat16 (2^-8), for up to 121 layers; float32 kernels sum in different orders
TOLERANCES: dict[Precision, float] = {"float32": 1e-4, "float16": 50 / 2**11, "bfloat16": 50 / 2**8}
MAP_TOLERANCE = 1e-3  # of a map, relative to its maximum
CONFIDENCE_TOLERANCE = 1e-4
CENTROID_TOLERANCE = 1e-3
CHANGED_PERCENT = 0.1  # of predictions: where two logits nearly tie
SUBJECTS = (
    Subject("resnet18", lambda: ARCHITECTURES["resnet18"](CLASSES, 64), 32, 0),
    Subject("densenet121", lambda: ARCHITECTURES["densenet121"](CLASSES, 64), 32, 0),
    Subject(*vision_transformer(), 224, 0),
    Subject("mobilenet_v3_large", lambda: models.mobilenet_v3_large(num_classes=CLASSES), 224, 0),
)
SPED = ("gaussian_noise", "motion_blur", "fog", "jpeg_compression", "glass_blur")
MANY_PASSES = "scorecam"
MEMORY_SHARE = 0.02  # of a GPU: a batch of BIG_BATCH needs more
BIG_BATCH = 2048


class Sizes(NamedTuple):
    """Numbers of images of the stages."""

    compared: int = 64
    cells: int = 4096
    large_cells: int = 2048
    study: int = 10_000
    grid: int = 5
    killed: int = 4000

    @classmethod
    def small(cls) -> "Sizes":
        """Sizes with which all stages end within minutes on two cores."""
        return cls(compared=4, cells=32, large_cells=4, study=8, grid=1, killed=64)

    @property
    def described(self) -> str:
        """The sizes in words."""
        return f"random weights and generated images, {self.study:,} in the whole study of {self.grid} severities"


class Figure(NamedTuple):
    """A measured value.

    Attributes:
        name: what was measured.
        value: None if it cannot be measured on this device; `unit` is the reason.
        unit: of the value.
        limit: largest value that is correct; None for a figure without a limit, such as a speed.
    """

    name: str
    value: float | None
    unit: str
    limit: float | None = None

    @property
    def is_within(self) -> bool:
        """Whether it keeps its limit."""
        return self.limit is None or self.value is None or self.value <= self.limit

    @property
    def text(self) -> str:
        """The value with its unit."""
        return f"not measured: {self.unit}" if self.value is None else f"{self.value:.3g} {self.unit}"

    @property
    def limit_text(self) -> str:
        """The limit, and whether it is exceeded."""
        return "" if self.limit is None else f"{self.limit:g}{'' if self.is_within else ' **exceeded**'}"


def run_stage(name: str, device: torch.device, sizes: Sizes, folder: Path) -> None:
    """Run a stage and write its figures to `NAME.json`, once it has ended without an error."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            figures = [figure._asdict() for figure in STAGES[name](device, sizes, Path(scratch))]
        except Exception:
            traceback.print_exc()
            raise SystemExit(1) from None
    result = {
        "stage": name, "device": describe_device(device), "torch": torch.__version__, "sizes": sizes._asdict(),
        "seconds": round(time.perf_counter() - started, 1), "figures": figures,
    }  # fmt: skip
    written = folder / f".{name}.json"
    written.write_text(json.dumps(result, indent=2) + "\n")
    written.replace(folder / f"{name}.json")


def equal_numbers(device: torch.device, sizes: Sizes, folder: Path) -> Iterator[Figure]:
    """Logits and predictions of each model and precision, beside float32 on the CPU; then the rows of an evaluation."""
    for subject in SUBJECTS:
        images = generated_images(sizes.compared, subject.side_px)
        expected = _logits(subject, CPU, "float32", images)
        for precision, tolerance in TOLERANCES.items():
            if precision == "bfloat16" and not runs_bfloat16(device):
                yield Figure(f"{subject.name}, bfloat16", None, "the device does not compute in bfloat16")
                continue
            logits = _logits(subject, device, precision, images)
            scale = float(expected.abs().max())
            difference = float((logits - expected).abs().max()) / scale
            yield Figure(f"{subject.name}, {precision}: largest difference of a logit", difference, "of the largest",
                         tolerance)  # fmt: skip
            two = expected.topk(2).values
            is_clear = two[:, 0] - two[:, 1] > 2 * tolerance * scale
            changed = (logits.argmax(1) != expected.argmax(1)) & is_clear
            yield Figure(f"{subject.name}, {precision}: changed predictions", float(changed.sum()),
                         f"of {int(is_clear.sum())} clear ones", 0)  # fmt: skip

    studies = []
    for place in (CPU, device):
        where = folder / f"{len(studies)}-{place.type}"
        studies.append(write_study(where, place, images=sizes.compared, names=list(SPED), severities=[5]))
        evaluate(studies[-1])
    yield from _same_rows("rows on a CPU and on the device", *studies)


def equal_attention(device: torch.device, sizes: Sizes, _folder: Path) -> Iterator[Figure]:
    """Maps of every attention method, beside those on the CPU."""
    for subject in SUBJECTS[:1] + SUBJECTS[2:3]:
        images = generated_images(max(2, sizes.compared // 8), subject.side_px)
        prepared = [model_of(_balanced(subject), place) for place in (CPU, device)]
        for name in ("auto", *cam_methods()):
            if name == MANY_PASSES and subject is not SUBJECTS[0]:
                yield Figure(f"{subject.name}, {name}", None, "a forward pass for each channel: on resnet18 alone")
                continue
            try:
                select_cam_method(prepared[0], images.shape[1:3], name)
            except StudyError as error:  # a method that the model does not allow
                yield Figure(f"{subject.name}, {name}", None, str(error))
                continue
            expected, measured = (_maps(model, images, name) for model in prepared)
            largest = expected.amax((-2, -1), keepdim=True).clamp_min(1e-12)
            difference = float(((measured - expected).abs() / largest).max())
            yield Figure(f"{subject.name}, {name}: largest difference of a map", difference, "of its maximum",
                         MAP_TOLERANCE)  # fmt: skip


def speed(device: torch.device, sizes: Sizes, folder: Path) -> Iterator[Figure]:
    """Images per second of whole evaluations, by corruption, beside the bare forward pass."""
    cases = (("resnet18", SUBJECTS[0], sizes.cells), ("torchvision:resnet50", _RESNET50, sizes.large_cells))
    for architecture, subject, count in cases:
        here = folder / subject.name
        here.mkdir()
        subject = subject._replace(images=count)
        bare, layout = best_bare(subject, model_of(_balanced(subject), device), here)
        bare()
        started = time.perf_counter()
        bare()
        bare_per_s = count / (time.perf_counter() - started)
        yield Figure(f"{subject.name}, bare forward pass ({layout})", bare_per_s, "images/s")
        for attention in (False, True):
            study = write_study(
                here / f"attention-{attention}", device, images=count, side_px=subject.side_px,
                architecture=architecture, names=list(SPED), severities=[3], evaluation={"attention": attention},
            )  # fmt: skip
            evaluate(study)
            kind = "with attention" if attention else "without attention"
            for cell, per_s in sorted(images_per_s(study).items()):
                yield Figure(f"{subject.name}, {cell}, {kind}", per_s,
                             f"images/s, {per_s / bare_per_s:.2f} of the bare forward pass")  # fmt: skip


def whole_study(device: torch.device, sizes: Sizes, folder: Path) -> Iterator[Figure]:
    """Wall time of all corruptions with attention, ResNet-18 at 32 px."""
    severities = list(range(1, sizes.grid + 1))
    study = write_study(folder / "study", device, images=sizes.study, names=list(CORRUPTIONS), severities=severities)
    wall_s = evaluate(study)
    images = sizes.study * (1 + len(CORRUPTIONS) * sizes.grid)
    yield Figure(f"{len(CORRUPTIONS)} corruptions x {sizes.grid} severities x {sizes.study:,} images", wall_s,
                 f"s, {images / wall_s:,.0f} images/s")  # fmt: skip


def memory(device: torch.device, sizes: Sizes, folder: Path) -> Iterator[Figure]:
    """An error of the device that memory is exhausted halves the batch, and rows stay the same."""
    if device.type != "cuda":
        yield Figure("out of memory", None, "only a GPU's memory can be limited for one process")
        return
    usual, big = (
        write_study(
            folder / f"batch-{size}",
            device,
            images=sizes.large_cells,
            side_px=224,
            architecture="torchvision:resnet50",
            names=["contrast"],
            severities=[3],
            evaluation={"attention": False, "batch_size": size},
        )  # fmt: skip
        for size in (32, BIG_BATCH)
    )
    evaluate(usual)
    torch.cuda.set_per_process_memory_fraction(MEMORY_SHARE)
    study = read_study(big)
    evaluate_study(study, open_dataset(study.dataset, study.cache))
    limit_gb = MEMORY_SHARE * torch.cuda.get_device_properties(device).total_memory / 1e9
    yield Figure(f"batch size, from {BIG_BATCH} in {limit_gb:.1f} GB", max(batch_sizes(big)), "images", BIG_BATCH / 2)
    yield from _same_rows("halved batches", usual, big)


def overlap(device: torch.device, sizes: Sizes, folder: Path) -> Iterator[Figure]:
    """Batches corrupted ahead in worker processes, beside corruption between forward passes."""
    times = {}
    studies = {}
    for workers in (0, min(8, os.cpu_count() or 1)):
        studies[workers] = write_study(
            folder / f"workers-{workers}", device, images=sizes.cells, names=list(SPED), severities=[3],
            evaluation={"workers": workers},
        )  # fmt: skip
        times[workers] = evaluate(studies[workers])
    none, several = times
    yield Figure(f"{several} workers instead of none", times[none] / times[several], "times as fast")
    yield from _same_rows("workers", studies[none], studies[several])


def two_processes(device: torch.device, sizes: Sizes, folder: Path) -> Iterator[Figure]:
    """Two processes on one device, beside one."""
    times, studies = [], []
    for count in (1, 2):
        studies.append(
            write_study(
                folder / f"processes-{count}",
                device,
                images=sizes.cells,
                names=list(SPED),
                severities=[3],
                evaluation={"executor": "processes", "processes": count},
            )  # fmt: skip
        )
        times.append(evaluate(studies[-1]))
    yield Figure("two processes instead of one", times[0] / times[1], "times as fast")
    yield from _same_rows("two processes", *studies)


def kill_and_resume(device: torch.device, sizes: Sizes, folder: Path) -> Iterator[Figure]:
    """`kill -9` once a first cell is stored; the same command ends with the rows of an undisturbed run."""
    options: dict[str, Any] = {"images": sizes.killed, "names": list(SPED), "severities": [3, 5]}
    undisturbed, killed = (write_study(folder / name, device, **options) for name in ("undisturbed", "killed"))
    evaluate(undisturbed)
    process = start_evaluation(killed)
    cells = 0
    while process.poll() is None and not cells:
        cells = len(list((killed.parent / "out").glob("results/prediction_facts/*/*/*/rows.parquet")))
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    yield Figure("cells stored when it was killed", cells, f"of {1 + 2 * len(SPED)}")
    evaluate(killed)
    yield from _same_rows("resumed", undisturbed, killed)


def compiled(device: torch.device, sizes: Sizes, folder: Path) -> Iterator[Figure]:
    """`compile = true`, beside the module as it is."""
    studies = []
    for is_compiled in (False, True):
        studies.append(
            write_study(
                folder / f"compiled-{is_compiled}",
                device,
                images=sizes.cells,
                names=["contrast"],
                severities=[1, 3, 5],
                evaluation={"compile": is_compiled},
            )  # fmt: skip
        )
        evaluate(studies[-1])
    usual, fast = (images_per_s(study) for study in studies)
    ratios = [fast[cell] / usual[cell] for cell in usual if not cell.startswith("none")]
    yield Figure("torch.compile, cells after the first", float(np.median(ratios)), "times as fast")
    yield from _same_rows("torch.compile", *studies)


Stage = Callable[[torch.device, Sizes, Path], Iterator[Figure]]
STAGES: dict[str, Stage] = {
    "numbers": equal_numbers,
    "attention": equal_attention,
    "speed": speed,
    "study": whole_study,
    "memory": memory,
    "overlap": overlap,
    "processes": two_processes,
    "resume": kill_and_resume,
    "compile": compiled,
}

_RESNET50 = Subject("resnet50", lambda: models.resnet50(num_classes=CLASSES), 224, 0)


def _same_rows(name: str, one: Path, other: Path) -> Iterator[Figure]:
    found = differences(one, other)
    yield Figure(f"{name}: largest difference of a confidence", found.confidence,
                 f"({len(differing_files(one, other))} files differ in a bit)", CONFIDENCE_TOLERANCE)  # fmt: skip
    yield Figure(f"{name}: changed predictions", 100 * found.predictions, "%", CHANGED_PERCENT)
    if found.centroid is not None:
        yield Figure(f"{name}: largest shift of a centroid", found.centroid, "image widths", CENTROID_TOLERANCE)


def _logits(subject: Subject, device: torch.device, precision: Precision, images: np.ndarray) -> torch.Tensor:
    """Logits (N, C) on the CPU."""
    model = model_of(_balanced(subject), device, precision)
    with torch.inference_mode():
        return model.logits(model.inputs(images)).cpu()


def _maps(model: Model, images: np.ndarray, method: str) -> torch.Tensor:
    """Maps (N, 1, h, w) of class 0 on the CPU."""
    cam = select_cam_method(model, images.shape[1:3], method)
    if isinstance(cam, CamUnavailable):
        raise ValueError(cam.reason)
    return cam(model.inputs(images), lambda logits: logits.new_zeros(len(logits), 1, dtype=torch.long)).maps.cpu()


def _balanced(subject: Subject) -> Subject:
    return subject._replace(build=lambda: balanced(subject.build, subject.side_px))
