"""Whole evaluations against the bare model, attention against the grad-cam package, models against the machine."""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from measure import Result, in_turns, seconds
from pytorch_grad_cam import GradCAM
from subjects import SUBJECTS, Bench, Subject, make_bench, model_of
from torch.utils.flop_counter import FlopCounterMode

from failmodes.evaluate.cam.reshape_transform import CHANNELS_FIRST
from failmodes.evaluate.devices import choose_device, describe_device, keep_freed_memory, runs_bfloat16
from failmodes.evaluate.engine.cell import choose_batch_size
from failmodes.evaluate.engine.clean_baseline import changed_predictions
from failmodes.evaluate.engine.statistics import map_statistics
from failmodes.evaluate.models.model import Model
from failmodes.ingest.corruptions.apply import corrupt

SHARE_ROUNDS, PRODUCT_SIDE = 7, 2048
BATCHES = {"mps": (32, 64, 128), "cpu": (8, 16, 32, 64, 128), "cuda": (128, 256, 512, 1024)}
TRIAL_IMAGES = 128  # to find the best of the bare forward passes, before it is timed on all images
ROUNDS = 3
CORRUPTIONS = {
    32: ("contrast", "gaussian_noise", "motion_blur"),
    224: ("contrast", "jpeg_compression", "gaussian_noise", "fog"),
}
CORRUPTED = ("resnet18", "densenet121", "efficientnet_b0", "resnet50")  # models timed with corruption on the fly
ATTENTION_IMAGES = {"resnet18": 128, "densenet121": 64, "efficientnet_b0": 64, "vit_s_16": 64, "vit_b_16": 32}


def measure_evaluations() -> Iterator[Result]:
    """Whole evaluations of each model; both sides keep freed memory, as a run does."""
    keep_freed_memory()
    device = choose_device("auto")
    for subject in SUBJECTS:
        prepared = model_of(subject, device)
        with tempfile.TemporaryDirectory() as name:
            bare, layout = best_bare(subject, prepared, Path(name))
            size = choose_batch_size(prepared, (subject.side_px, subject.side_px, 3))
            yield _whole(subject, prepared, Path(name), size, bare, layout)


def measure_models() -> Iterator[Result]:
    """All other lines of this file, model by model."""
    keep_freed_memory()
    device = choose_device("auto")
    for subject in SUBJECTS:
        prepared = model_of(subject, device)
        with tempfile.TemporaryDirectory() as name:
            bare, _ = best_bare(subject, prepared, Path(name))
            size = choose_batch_size(prepared, (subject.side_px, subject.side_px, 3))
            if runs_bfloat16(device):
                yield _lower_precision(subject, prepared, Path(name), size)
            for corruption in CORRUPTIONS[subject.side_px] if subject.name in CORRUPTED else ():
                yield _corrupting(subject, prepared, Path(name), size, bare, corruption)
        yield _share_of_limit(subject, prepared)
        if subject.name in ATTENTION_IMAGES:
            yield _attention(subject, prepared)
            if runs_bfloat16(device):
                yield _attention(subject, model_of(subject, device, "bfloat16"))


def _whole(subject: Subject, prepared: Model, folder: Path, size: int, bare: Callable[[], None], layout: str) -> Result:
    bench = make_bench(subject, [prepared], folder, batch_size=size)
    _make_clean(bench)
    ours_s, _, ratio = in_turns(lambda: bench.worker.run([bench.cell()]), bare, rounds=ROUNDS)
    against = f"best bare forward ({layout}; ours in batches of {size}), float32, {describe_device(prepared.device)}"
    return Result(f"evaluate/{subject.name}/forward", subject.images / ours_s, "images/s", ratio, against)


def _lower_precision(subject: Subject, prepared: Model, folder: Path, size: int) -> Result:
    """What `precision = "bfloat16"` gains, the whole of an evaluation, and how many predictions it changes."""
    lower = model_of(subject, prepared.device, "bfloat16")
    benches = [make_bench(subject, [one], folder, batch_size=size) for one in (lower, prepared)]
    runs = []
    for bench in benches:
        _make_clean(bench)
        runs.append(partial(bench.worker.run, [bench.cell()]))
    ours_s, _, ratio = in_turns(*runs, rounds=ROUNDS)
    changed = changed_predictions(benches[0].evaluations[0], size)
    against = f"the same in float32; {changed:.1%} of {subject.images} predictions change (random weights and images)"
    return Result(f"evaluate/{subject.name}/bfloat16", subject.images / ours_s, "images/s", ratio, against)


def _corrupting(
    subject: Subject, prepared: Model, folder: Path, size: int, bare: Callable[[], None], corruption: str
) -> Result:
    """Corruption on the fly, against the slower of the model alone and the corruption alone (on all cores)."""
    bench = make_bench(subject, [prepared], folder, generated=True, batch_size=size)
    _make_clean(bench)
    images = np.asarray(bench.images)
    recipe = "cifar-c" if subject.side_px == 32 else "imagenet-c"

    def alone() -> None:
        corrupt(images, corruption, 3, recipe=recipe, threads=torch.get_num_threads())

    slower, what = (bare, "model") if seconds(bare) > seconds(alone) else (alone, "corruption")
    ours_s, _, ratio = in_turns(lambda: bench.worker.run([bench.cell(corruption)]), slower, rounds=ROUNDS)
    against = f"the slower of the two alone ({what}), {describe_device(prepared.device)}"
    return Result(f"evaluate/{subject.name}/{corruption}", subject.images / ours_s, "images/s", ratio, against)


def _make_clean(bench: Bench) -> None:
    bench.worker.run([bench.clean()])


def best_bare(subject: Subject, prepared: Model, folder: Path) -> tuple[Callable[[], None], str]:
    """The fastest bare forward pass, among batch sizes and memory layouts; inputs are ready floats."""
    images = make_bench(subject, [prepared], folder).images
    floats = torch.from_numpy(np.array(images)).to(prepared.device).permute(0, 3, 1, 2).float() / 255
    candidates, times = {}, {}
    for layout in (torch.channels_last, torch.contiguous_format):
        module = subject.build().to(prepared.device).to(memory_format=layout).eval()
        inputs = floats.contiguous(memory_format=layout)
        for size in BATCHES[prepared.device.type]:
            name = f"batch {size}, {str(layout).removeprefix('torch.')}"
            candidates[name] = _bare(module, inputs, size)
            trial = _bare(module, inputs[:TRIAL_IMAGES], size)
            trial()
            times[name] = min(seconds(trial) for _ in range(2))
    fastest = min(times, key=times.__getitem__)
    return candidates[fastest], fastest


def _bare(module: torch.nn.Module, inputs: torch.Tensor, size: int) -> Callable[[], None]:
    def forward() -> None:
        with torch.inference_mode():
            for start in range(0, len(inputs), size):
                module(inputs[start : start + size]).cpu()

    return forward


def _attention(subject: Subject, prepared: Model) -> Result:
    """Logits and the statistics of the map of the predicted class of each image, one target an image on both sides."""
    count, side = ATTENTION_IMAGES[subject.name], subject.side_px
    batch_size = choose_batch_size(prepared, (side, side, 3))
    images = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    inputs = prepared.inputs(images)
    bench = make_bench(subject, [prepared], Path(tempfile.mkdtemp()), count=8)
    way = bench.evaluations[0].attention
    layer = prepared.module.get_submodule(way.layer)
    transform = None if way.target.reshape_transform == CHANNELS_FIRST else way.target.reshape_transform

    def ours() -> None:
        for start in range(0, count, batch_size):
            attended = way(inputs[start : start + batch_size], lambda logits: logits.argmax(1)[:, None])
            map_statistics(attended.maps)

    def package() -> None:  # always in float32: it turns activations into NumPy arrays, which know no bfloat16
        prepared.module.requires_grad_(True)
        with GradCAM(model=prepared.module, target_layers=[layer], reshape_transform=transform) as cam:
            for start in range(0, count, batch_size):
                maps = cam(inputs[start : start + batch_size], None)
                map_statistics(torch.from_numpy(maps)[:, None])
        prepared.module.requires_grad_(False)

    ours_s, _, ratio = in_turns(ours, package, rounds=ROUNDS)
    ours_in = "" if prepared.precision == "float32" else f", ours in {prepared.precision}"
    setting = f"one target, batch {batch_size}, {describe_device(prepared.device)}"
    against = f"grad-cam package, float32{ours_in}; {setting}"
    suffix = "" if prepared.precision == "float32" else f"/{prepared.precision}"
    return Result(f"attention/{subject.name}/grad-cam{suffix}", count / ours_s, "images/s", ratio, against)


def _share_of_limit(subject: Subject, prepared: Model) -> Result:
    """The share of what matrix products of PyTorch reach in float32; a multiply-add counts as two operations."""
    side = subject.side_px
    size = choose_batch_size(prepared, (side, side, 3))
    images = np.random.default_rng(0).integers(0, 256, (size, side, side, 3), dtype=np.uint8)
    with FlopCounterMode(display=False) as counter:
        prepared.predict(images)
    ours_s = median(seconds(lambda: prepared.predict(images).cpu()) for _ in range(SHARE_ROUNDS))
    rate, limit = counter.get_total_flops() / ours_s, _product_rate(prepared.device)
    against = f"matrix products, {limit / 1e9:,.0f} GFLOP/s; float32, {describe_device(prepared.device)}"
    return Result(f"network/{subject.name}/limit", rate / 1e9, "GFLOP/s", rate / limit, against)


def _product_rate(device: torch.device) -> float:
    """Operations a second of a product of two square matrices, the fastest of some."""
    one, other = torch.rand(2, PRODUCT_SIDE, PRODUCT_SIDE, device=device)
    return 2 * PRODUCT_SIDE**3 / min(seconds(lambda: (one @ other)[0, 0].item()) for _ in range(SHARE_ROUNDS))
