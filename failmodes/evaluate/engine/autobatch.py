"""How many images go through a model at once: timed where a run is long, remembered, halved where memory ends.

Rows depend on the batch size by rounding (about 1e-6), so a size once chosen is kept in the study's cache: a run that
is killed and goes on uses the same.
"""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from failmodes.evaluate.cam.cam_method import CamUnavailable
from failmodes.evaluate.devices import BATCH_SIZE, describe_device, is_out_of_memory, release_memory
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.models.prepared_model import PreparedModel
from failmodes.warehouse.errors import StorageError
from failmodes.warehouse.hashing import identity_of
from failmodes.warehouse.storage.files import atomic_write_bytes
from failmodes.warehouse.storage.regular_files import read_regular

BATCH_SIZES_FILE = "batch_sizes.json"
MOST_CACHE_BYTES, MOST_BATCH_SIZE = 1 << 20, 1 << 16
# Larger ones take twice the memory for some hundredths of speed on a CPU, where freed memory is kept
CANDIDATES = {"cpu": (16, 32, 64), "cuda": (64, 128, 256, 512, 1024, 2048), "mps": (32, 64, 128, 256)}
MOST_PIXELS = {"cpu": 1 << 20}  # of a batch: 16 images of 224 px
FEWEST_IMAGES = 8  # of a batch of images so large that every candidate exceeds MOST_PIXELS
ROUNDS = 3  # of turns that count, the fastest of each size
MAY_WIN = 0.85  # of the best rate: a size that is slower in a round is not timed again
TUNING_SHARE = 0.02  # of the run's images that tuning may cost
SPEED_TOLERANCE = 0.97  # the smallest batch within this share of the best rate is taken


def choose_batch_size(evaluation: Evaluation, images_to_run: int, cache: Path) -> int:
    """The batch size of an evaluation: the one remembered, else the fastest if the run is long, else the usual one.

    Args:
        evaluation: its model and CAM method are what is timed, on random images of the data set's size.
        images_to_run: how many images the run has to put through the model.
        cache: folder that remembers.
    """
    known = _recall(cache / BATCH_SIZES_FILE)
    key = _key(evaluation)
    if key in known:
        return known[key]
    prepared, (height, width) = evaluation.prepared, evaluation.data.dataset.images.shape[1:3]
    shape = int(height), int(width)
    candidates = candidate_sizes(prepared.device.type, shape)
    usual = usual_batch_size(prepared.device.type, shape)
    if len(candidates) == 1 or images_to_run * TUNING_SHARE < _most_images(candidates):
        return usual
    try:
        size = fastest_batch_size(evaluation_step(evaluation), candidates, shape, prepared)
    except Exception:  # whatever a user's model raises: it will again in the run, which says in which cell and batch
        return usual
    save_batch_size(evaluation, size, cache)
    return size


def usual_batch_size(device_type: str, shape: tuple[int, int]) -> int:
    """The batch size for images of this height and width where nothing has been timed."""
    return min(BATCH_SIZE[device_type], candidate_sizes(device_type, shape)[-1])


def candidate_sizes(device_type: str, shape: tuple[int, int]) -> tuple[int, ...]:
    """The batch sizes to time for images of this height and width, rising: within MOST_PIXELS, and at least one."""
    sizes, most = CANDIDATES[device_type], MOST_PIXELS.get(device_type)
    return tuple(size for size in sizes if most is None or size * math.prod(shape) <= most) or (FEWEST_IMAGES,)


def fastest_batch_size(
    step: Callable[[np.ndarray], object], candidates: tuple[int, ...], shape: tuple[int, int], prepared: PreparedModel
) -> int:
    """The smallest of the candidates, rising, that comes within SPEED_TOLERANCE of the best images a second.

    Sizes are timed in turns, so that whatever else the machine does meets all of them, and the fastest turn of each
    counts. The first round ends with a size that does not fit into memory, or that is in two turns no faster than a
    smaller one by what would let it be taken, for it takes twice the memory. The other rounds time those alone that may
    still win.
    """
    rates: dict[int, float] = {}
    images = np.empty((0, *shape, 3), np.uint8)
    rng, least = np.random.default_rng(0), _images_of_a_turn(candidates)
    for size in candidates:
        images = rng.integers(0, 256, (size, *shape, 3), dtype=np.uint8)
        smaller = max(rates.values(), default=0.0)
        try:
            step(images)  # what is compiled, allocated or loaded for a size is made now
            rates[size] = _rate(step, images, least, prepared.device)
            if SPEED_TOLERANCE * rates[size] < smaller:
                rates[size] = max(rates[size], _rate(step, images, least, prepared.device))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            release_memory(prepared.device)
            rates = rates or {size // 2: 1.0}  # not tried: the run halves it further where it must
            break
        if SPEED_TOLERANCE * rates[size] < smaller:
            break
    for _ in range(ROUNDS - 1):
        close = [size for size, rate in rates.items() if rate >= MAY_WIN * max(rates.values())]
        for size in close if len(close) > 1 else ():
            rates[size] = max(rates[size], _rate(step, images[:size], least, prepared.device))
    best = max(rates.values())
    return next(size for size, rate in rates.items() if rate >= SPEED_TOLERANCE * best)


def evaluation_step(evaluation: Evaluation) -> Callable[[np.ndarray], object]:
    """One batch of uint8 images through the model, with maps of two targets where it has attention."""
    prepared, cam_method = evaluation.prepared, evaluation.cam_method
    if isinstance(cam_method, CamUnavailable):
        return prepared.predict
    return lambda images: cam_method(prepared.inputs(images), lambda logits: logits.argsort(1)[:, -2:])


def save_batch_size(evaluation: Evaluation, size: int, cache: Path) -> None:
    """Keep a batch size for later runs."""
    path = cache / BATCH_SIZES_FILE
    atomic_write_bytes(path, json.dumps(_recall(path) | {_key(evaluation): size}, indent=1).encode())


def _key(evaluation: Evaluation) -> str:
    prepared, method = evaluation.prepared, evaluation.cam_method
    attention = None if isinstance(method, CamUnavailable) else [method.method, method.layer]
    shape = [int(length) for length in evaluation.data.dataset.images.shape[1:]]
    return identity_of([evaluation.model_id, describe_device(prepared.device), prepared.precision, attention, shape])


def _recall(path: Path) -> dict[str, int]:
    try:
        sizes = json.loads(read_regular(path, MOST_CACHE_BYTES)).items()
        return {str(key): size for key, size in sizes if type(size) is int and 0 < size <= MOST_BATCH_SIZE}
    except (OSError, StorageError, ValueError, AttributeError, RecursionError):
        return {}  # only a cache: timed again


def _most_images(candidates: tuple[int, ...]) -> int:
    """How many images a trial of these sizes takes at most: a batch to warm up, then its turns."""
    return sum(size + ROUNDS * max(size, _images_of_a_turn(candidates)) for size in candidates)


def _images_of_a_turn(candidates: tuple[int, ...]) -> int:
    """How many images a turn takes at least: few of them would tell little of a small batch's rate."""
    return candidates[len(candidates) // 2]


def _rate(step: Callable[[np.ndarray], object], images: np.ndarray, least: int, device: torch.device) -> float:
    """Images a second of batches of these images, as many as hold at least `least` images."""
    batches = max(1, least // len(images))
    return batches * len(images) / sum(_seconds(step, images, device) for _ in range(batches))


def _seconds(step: Callable[[np.ndarray], object], images: np.ndarray, device: torch.device) -> float:
    started = time.perf_counter()
    step(images)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
