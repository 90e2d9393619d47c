"""One cell of one model: runs batches of images, collects rows, and publishes complete shards."""

import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from failmodes.evaluate.cam.cam_method import CamOutput, CamUnavailable
from failmodes.evaluate.cam.methods.closed_form import check_logit_identity
from failmodes.evaluate.devices import BATCH_SIZE, activation_budget, describe_device, is_out_of_memory
from failmodes.evaluate.engine.batches import CorruptedBatch
from failmodes.evaluate.engine.clean_baseline import CleanBaseline, save_clean_baseline
from failmodes.evaluate.engine.statistics import (
    attention_columns,
    map_statistics,
    object_statistics,
    prediction_columns,
    prediction_statistics,
)
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.fact_rows import fact_rows, to_arrow
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.notes import Note, record_notes
from failmodes.evaluate.self_check import NOT_FINITE_ROWS, clean_notes, clean_rows
from failmodes.runtime.packages import library_versions
from failmodes.runtime.storage.files import StorePath
from failmodes.warehouse.null_pairs import sample_null_pairs
from failmodes.warehouse.schema import (
    ATTENTION,
    FULL_LOGITS_CLASSES,
    LOGITS,
    PREDICTED_OUTPUT,
    PREDICTION_FACTS,
    SCALED_LOG_SUM_EXP,
    TARGETS,
)
from failmodes.warehouse.shards.format import Cell, ShardKey, write_shard

MASK_PIXELS = 1 << 21  # of masks, and of enlarged maps of each target, processed at a time


@dataclass
class ModelRun:
    """A model of a run.

    Attributes:
        evaluation: its evaluation.
        batch_size: images per forward pass; halved when out of memory.
        baseline: its clean maps, once known; None without attention.
    """

    evaluation: Evaluation
    batch_size: int
    baseline: CleanBaseline | None = None

    def halve_batch(self) -> bool:
        """Halve the batch size from now on; False if it is already one."""
        if self.batch_size == 1:
            return False
        torch.cuda.empty_cache()  # to make room for the smaller batch; no effect without a GPU
        self.batch_size = 1 << (self.batch_size - 1).bit_length() - 1  # the next lower power of two
        return True


class CellEvaluation:
    """The rows of one cell of one evaluation, with run time and checks.

    Attributes:
        images: number of evaluated images.
        not_finite: number of images with logits that are not finite.
        elapsed_s: seconds of the model and of statistics; the worker adds the time for batches.
        identity_error: largest relative error of sum + bias = logit so far; None if not checked.
        at: positions in the subset of the current forward pass, start and stop.
        notes: notes on the model, of the clean cell only.
        facts: facts for the footer, after `finish`.
    """

    def __init__(self, run: ModelRun, cell: Cell) -> None:
        """Start without rows."""
        self.run = run
        self.evaluation = run.evaluation
        self.cell = cell
        model = run.evaluation.model
        data = run.evaluation.data
        self.key = ShardKey(run.evaluation.evaluation_id, cell)
        self.class_count = len(data.dataset.class_names)
        self.outputs = np.array(model.output_map.logits) if model.output_map.competing else None
        self.omitted = [PREDICTED_OUTPUT] * (self.outputs is None)
        self.omitted += [SCALED_LOG_SUM_EXP] * (run.evaluation.logit_count <= FULL_LOGITS_CLASSES)
        self.predictions: list[pa.RecordBatch] = []
        self.attention: list[pa.RecordBatch] = []
        self.logits: list[pa.RecordBatch] = []
        self.images = 0
        self.not_finite = 0
        self.elapsed_s = 0.0
        self.identity_error: float | None = None
        self.at = (0, 0)
        self.notes: list[Note] = []
        self.facts: dict[str, Any] = {}
        # unpaired clean images allow neither drift nor a clean target
        self.baseline = run.baseline if data.paired and not cell.is_clean else None
        self._smallest_logits: list[np.ndarray] = []  # of clean images
        self._clean_maps: list[tuple[np.ndarray, torch.Tensor, torch.Tensor]] = []  # positions, maps, targets
        self._masks = data.dataset.masks if cell.is_clean or data.paired else None
        self._maps: list[tuple[torch.Tensor, np.ndarray]] = []  # to compare with masks; and which targets exist
        self._object_columns: dict[str, pa.Array] = {}

    def add(self, batch: CorruptedBatch) -> None:
        """Run the model on a batch and collect its rows.

        Raises:
            ModelError: maps of closed form do not sum to the logits.
        """
        started = time.perf_counter()
        output = self._forward(batch)
        statistics = prediction_statistics(output.logits, batch.labels)
        columns = prediction_columns(statistics, self.outputs, self.class_count)
        of_images = {"image_id": batch.image_ids, "rmse": batch.rmse, "ssim": batch.ssim}
        self.predictions.append(fact_rows(PREDICTION_FACTS, of_images | columns, self.omitted))
        if self.evaluation.keeps_logits:
            logits = output.logits.half().cpu().numpy()
            self.logits.append(fact_rows(LOGITS, {"image_id": batch.image_ids, "logits": logits}))
        finite = columns["finite"]
        self.images += len(finite)
        self.not_finite += int((~finite).sum())
        if output.identity_error is not None:
            error = float(output.identity_error)
            check_logit_identity(error, self.evaluation.model.precision, self.evaluation.model.label)
            self.identity_error = max(self.identity_error or 0.0, error)
        if self.cell.is_clean:
            self._smallest_logits.append(output.logits.amin(1).cpu().numpy())
        if self.evaluation.has_attention and self.cell.is_clean:
            maps = torch.where(statistics["finite"][:, None, None, None], output.maps, torch.nan)
            self._clean_maps.append((batch.positions, maps, output.targets))
        elif self.evaluation.has_attention:
            self._add_attention(batch.positions, output.maps, output.targets, finite)
        self.elapsed_s += time.perf_counter() - started

    def finish(self) -> None:
        """Finish the cell after its last batch.

        The clean cell's maps become the baseline of drift. With masks, attention on objects is measured.
        """
        started = time.perf_counter()
        if self.cell.is_clean:
            rows = clean_rows(self.predictions, np.concatenate(self._smallest_logits))
            self.notes = clean_notes(self.evaluation, rows)
        if self._clean_maps:
            _, maps, targets = zip(*self._clean_maps, strict=True)
            baseline = CleanBaseline.of(self.evaluation, torch.cat(targets)[:, 0], torch.cat(maps))
            self.run.baseline = self.baseline = baseline
            for positions, maps, target in self._clean_maps:
                self._add_attention(positions, maps, target, baseline.known[positions])
            self._clean_maps.clear()
        if self._masks is not None and self._maps:
            self._object_columns = self._measure_objects(self._masks)
            self._maps.clear()
        self.elapsed_s += time.perf_counter() - started
        self.facts |= {
            "elapsed_s": round(self.elapsed_s, 4),
            "images_per_s": round(self.images / max(self.elapsed_s, 1e-9), 2),
            "device": describe_device(self.evaluation.model.device),
            "batch_size": self.run.batch_size,
            "identity_error": self.identity_error,
            NOT_FINITE_ROWS: self.not_finite,
            "versions": library_versions(),
        }

    def publish(self, output: StorePath) -> None:
        """Publish notes and clean maps, then attention, then predictions, which mark the cell as complete."""
        if self.cell.is_clean:
            record_notes(output, self.evaluation.evaluation_id, "clean", self.notes)
        if self.evaluation.has_attention:
            if self.cell.is_clean and self.baseline is not None:
                save_clean_baseline(output, self.evaluation, self.baseline)
            rows = pa.Table.from_batches(self.attention)
            for name, column in self._object_columns.items():
                rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), column)
            write_shard(output, ATTENTION, self.key, rows, self.facts)
        if self.logits:
            write_shard(output, LOGITS, self.key, pa.Table.from_batches(self.logits), self.facts)
        write_shard(output, PREDICTION_FACTS, self.key, pa.Table.from_batches(self.predictions), self.facts)

    def _forward(self, batch: CorruptedBatch) -> CamOutput:
        """Run a batch through the model in passes of the batch size, halved when out of memory.

        Returns:
            The joined output of all passes, so that the device synchronizes once.
        """
        passes: list[CamOutput] = []
        start = 0
        while start < len(batch.image_ids):
            part = slice(start, min(start + self.run.batch_size, len(batch.image_ids)))
            self.at = (batch.slice.start + part.start, batch.slice.start + part.stop)
            try:
                passes.append(self._pass(batch.images[part], batch.positions[part]))
                start = part.stop
            except RuntimeError as error:
                if not is_out_of_memory(error) or not self.run.halve_batch():
                    raise
        logits, targets, maps, errors = zip(*passes, strict=True)
        proven = [error for error in errors if error is not None]
        worst = torch.stack(proven).max() if proven else None
        return CamOutput(torch.cat(logits), torch.cat(targets), torch.cat(maps), worst)

    def _pass(self, images: torch.Tensor, positions: np.ndarray) -> CamOutput:
        """One forward pass of images (n, H, W, 3), with maps of one target in the clean cell, otherwise of two."""
        model = self.evaluation.model
        cam_method = self.evaluation.attention
        inputs = model.inputs(images)
        if isinstance(cam_method, CamUnavailable):
            with torch.inference_mode():
                logits = model.logits(inputs)
                nothing = logits.new_empty(len(logits), 0)
                return CamOutput(logits, nothing, nothing, None)

        def select_targets(logits: torch.Tensor) -> torch.Tensor:
            """The predicted class, and the class predicted on the clean image."""
            predicted = logits.argmax(1)  # the first of ties, and NaN as largest, as in the statistics
            if self.cell.is_clean:
                return predicted[:, None]
            clean = predicted if self.baseline is None else self.baseline.predicted[positions]
            return torch.stack([predicted, clean], dim=1)

        return cam_method(inputs, select_targets)

    @torch.inference_mode()
    def _add_attention(
        self, positions: np.ndarray, maps: torch.Tensor, targets: torch.Tensor, finite: np.ndarray
    ) -> None:
        """Add rows of images at `positions` (n,), with maps (n, T, h, w), their classes (n, T) and finite logits (n,).

        A single target, as in the clean cell, is used for both rows.
        """
        subset = self.evaluation.data.subset
        count = len(TARGETS)
        ids = (subset.clean_ids if self.cell.is_clean else subset.corrupted_ids)[positions]
        maps = maps.expand(-1, count, -1, -1)
        targets = targets.expand(-1, count)
        values = {"target_class": targets, **map_statistics(maps)}
        known = np.stack([finite, np.zeros_like(finite)], 1)
        if self.baseline is not None:
            values |= self.baseline.drifts(maps, positions)
            known[:, 1] = self.baseline.known[positions]
        columns = attention_columns(values, known)
        columns["target_class"] = np.ma.masked_greater_equal(columns["target_class"], self.class_count)  # other outputs
        columns["empty"] = columns["empty"].filled(False)
        columns |= {"image_id": np.repeat(ids, count), "target": np.tile(TARGETS, len(ids))}
        self.attention.append(fact_rows(ATTENTION, columns))
        if self._masks is not None:
            self._maps.append((maps.cpu(), known))

    def _measure_objects(self, clean_masks: np.ndarray) -> dict[str, pa.Array]:
        """Columns of `attention` about objects, from the dataset's masks and maps of other images of any batch.

        Empty if the source does not define how the corruption moves objects.
        """
        data = self.evaluation.data
        device = self.evaluation.model.device
        maps = torch.cat([maps for maps, _ in self._maps])
        known = np.concatenate([known for _, known in self._maps])
        ids = data.subset.clean_ids
        others = sample_null_pairs(data.dataset.labels[ids]).any_image
        has_other = torch.from_numpy(others >= 0)[:, None, None, None]
        step = max(1, MASK_PIXELS // int(np.prod(data.dataset.images.shape[1:3])))
        blocks = []
        for start in range(0, len(ids), step):
            block = slice(start, start + step)
            clean = np.asarray(clean_masks[ids[block]])
            moved = (self.cell.corruption, self.cell.severity, ids[block])
            threads = os.cpu_count() or 1
            masks = clean if self.cell.is_clean else data.source.moved_masks(clean, *moved, threads=threads)
            if masks is None:
                return {}
            other_maps = torch.where(has_other[block], maps[others[block]], torch.nan)
            on_device = (part.to(device) for part in (maps[block], other_maps, torch.from_numpy(masks)))
            blocks.append(attention_columns(object_statistics(*on_device), known[block]))
        kinds = {name: ATTENTION.arrow().field(name).type for name in blocks[0]}
        return {name: pa.concat_arrays([to_arrow(block[name], kinds[name]) for block in blocks]) for name in kinds}


def choose_batch_size(model: Model, image_shape: tuple[int, ...]) -> int:
    """Images per forward pass: a power of two whose activations fit the budget of the device.

    Rows depend on the batch size by rounding (about 1e-6). The rule depends only on the model, the image size and the
    device, so that a resumed run uses the same batches. If memory is short for other reasons, such as another program,
    the batch is halved (`ModelRun.halve_batch`).

    Args:
        model: the model, run on one image of zeros.
        image_shape: (H, W, 3) of the dataset's images.

    Returns:
        At most the device's BATCH_SIZE.
    """
    most = BATCH_SIZE[model.device.type]
    try:
        image_bytes = largest_activation(model, image_shape)
    except Exception:  # any error of a model: the run will report it with its cell and batch
        return most
    fitting = max(1, activation_budget(model.device) // image_bytes)
    return min(most, 1 << fitting.bit_length() - 1)


def largest_activation(model: Model, image_shape: tuple[int, ...]) -> int:
    """Bytes, in float32, of the largest tensor among a model's input and layer outputs for one image."""
    sizes_bytes = [4 * int(np.prod(image_shape))]

    def measure(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            sizes_bytes.append(4 * output.numel())

    with ExitStack() as hooks, torch.inference_mode():
        for module in model.torch_module.modules():
            hooks.callback(module.register_forward_hook(measure).remove)
        image = np.zeros((1, *image_shape), np.uint8)
        model.torch_module.forward(model.inputs(image))  # not a call, which might compile it with these hooks
    return max(sizes_bytes)
