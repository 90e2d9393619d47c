"""One cell of one model: batches of images in, rows out, published whole."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from failmodes.evaluate.cam.cam_method import CamOutput, CamUnavailable
from failmodes.evaluate.cam.methods.closed_form import check_logit_identity
from failmodes.evaluate.devices import describe_device, is_out_of_memory, release_memory
from failmodes.evaluate.engine.batches import CorruptedBatch
from failmodes.evaluate.engine.clean_baseline import (
    CleanBaseline,
    CleanMapBuffer,
    make_clean_baseline,
    save_clean_baseline,
)
from failmodes.evaluate.engine.clean_predictions import CleanPredictions
from failmodes.evaluate.engine.image_statistics import (
    compute_prediction_statistics,
    map_statistics,
    predicted_classes,
)
from failmodes.evaluate.engine.object_attention import CellMaps, with_columns
from failmodes.evaluate.engine.writer import RowBuffer, attention_columns, prediction_columns
from failmodes.evaluate.evaluation import Evaluation
from failmodes.warehouse.provenance import library_versions
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
from failmodes.warehouse.storage.files import StorePath

STATISTICS_IMAGES = 4096  # clean maps whose drift is taken at a time, once all of them are known


@dataclass
class ModelRun:
    """A model that takes part in cells.

    Attributes:
        evaluation: its evaluation.
        batch_size: images at once; halved where memory ends.
        baseline: its clean maps, once they are known; None without attention.
    """

    evaluation: Evaluation
    batch_size: int
    baseline: CleanBaseline | None = None

    def halve_batch(self) -> bool:
        """Take half as many images at once from now on; False where it is one already."""
        if self.batch_size == 1:
            return False
        release_memory(self.evaluation.model.device)
        self.batch_size = 1 << (self.batch_size - 1).bit_length() - 1  # the next lower power of two
        return True


class CellEvaluation:
    """The rows of one cell of one evaluation, and what they cost.

    Attributes:
        images: how many went through the model.
        not_finite: how many of them have logits that are not finite.
        elapsed_s: seconds of the model and of all that follows it; whoever makes the batches adds their part.
        identity_error: largest relative error of sum + bias = logit so far; None where nothing proves it.
        batch_size: the smallest number of images at once that it took.
        at: positions in the subset where the current forward pass begins and ends.
        metadata: what else the footer says.
        clean_predictions: of the clean cell; else None.
    """

    def __init__(self, run: ModelRun, cell: Cell, scratch: Path) -> None:
        """Begin without rows; when there are many, they are spilled to a file in the folder `scratch`."""
        self.run, self.evaluation, self.cell = run, run.evaluation, cell
        self.key = ShardKey(self.evaluation.evaluation_id, cell)
        model = run.evaluation.model
        self.outputs = np.array(model.logit_outputs) if model.protocol == "all" else None
        self.class_count = len(run.evaluation.data.dataset.class_names)
        without = [PREDICTED_OUTPUT] * (self.outputs is None)
        without += [SCALED_LOG_SUM_EXP] * (run.evaluation.logit_count <= FULL_LOGITS_CLASSES)
        self.predictions, self.attention = RowBuffer(PREDICTION_FACTS, scratch, without), RowBuffer(ATTENTION, scratch)
        self.logits = RowBuffer(LOGITS, scratch) if run.evaluation.keeps_logits else None
        self.images, self.not_finite, self.elapsed_s = 0, 0, 0.0
        self.identity_error: float | None = None
        self.batch_size = run.batch_size
        self.at = (0, 0)
        self.metadata: dict[str, Any] = {}
        self.clean_predictions = CleanPredictions(model, self.class_count) if cell.is_clean else None
        self._others: list[torch.Tensor] = []  # the largest of other outputs, where these take no part
        self._clean: CleanMapBuffer | None = None
        has_masks = run.evaluation.data.dataset.masks is not None and (cell.is_clean or run.evaluation.data.paired)
        self._maps = CellMaps() if run.evaluation.has_attention and has_masks else None
        self._of_objects: dict[str, pa.Array] = {}

    def add(self, batch: CorruptedBatch) -> None:
        """Run the model over a batch and keep its rows.

        Raises:
            ModelError: maps do not sum to the logits as closed form promises.
        """
        with self._timed():
            with self._watching_others():
                output = _joined(list(self._forward_batches(batch)))
            if self.clean_predictions is not None:
                self.clean_predictions.add(
                    batch.labels, output.logits, torch.cat(self._others) if self._others else None
                )
            statistics = compute_prediction_statistics(output.logits, batch.labels)
            columns = prediction_columns(
                batch.image_ids, statistics, batch.rmse, batch.ssim, self.outputs, self.class_count
            )
            self.predictions.add(columns)
            if self.logits is not None:
                self.logits.add({"image_id": batch.image_ids, "logits": output.logits.half().cpu().numpy()})
            self.not_finite += int((~columns["finite"]).sum())
            self.images += len(batch.image_ids)
            if output.identity_error is not None:
                error = float(output.identity_error)
                check_logit_identity(error, self.evaluation.model.precision, self.evaluation.model.label)
                self.identity_error = max(self.identity_error or 0.0, error)
            if self.evaluation.has_attention and self.cell.is_clean:
                self._clean = self._clean or CleanMapBuffer(len(self.evaluation.data.subset.clean_ids), output.maps)
                self._clean.put(batch.slice.start, statistics.predicted, output.maps, statistics.finite)
            elif self.evaluation.has_attention:
                baseline, positions = self._paired_baseline(), batch.positions
                values = _attention_values(output.maps, output.targets, positions, baseline)
                none = np.zeros(len(batch.image_ids), bool)
                clean = none if baseline is None else baseline.known[positions]
                known = np.stack([columns["finite"], clean], 1)
                self._add_attention(batch.image_ids, output.maps, values, known)

    def finish(self) -> None:
        """Once all batches are in: of the clean cell's maps make the baseline of drift, and measure drift there too.

        Of all cells measure what lies on objects, where there are masks.
        """
        with self._timed():
            if self._clean is not None:
                self._finish_clean(self._clean)
            if self._maps is not None:
                self._of_objects = self._maps.columns(self.evaluation, self.cell)
                self._maps = None

    def _finish_clean(self, clean: CleanMapBuffer) -> None:
        baseline = self.run.baseline = make_clean_baseline(self.evaluation, clean)
        ids = self.evaluation.data.subset.clean_ids
        for start in range(0, len(ids), STATISTICS_IMAGES):
            positions = np.arange(start, min(start + STATISTICS_IMAGES, len(ids)))
            own = baseline.maps[positions].expand(-1, len(TARGETS), -1, -1)
            targets = baseline.predicted[positions][:, None].expand(-1, len(TARGETS))
            values = _attention_values(own, targets, positions, baseline)
            known = np.repeat(baseline.known[positions][:, None], len(TARGETS), axis=1)
            self._add_attention(ids[positions], own, values, known)

    def _add_attention(
        self, image_ids: np.ndarray, maps: torch.Tensor, values: dict[str, torch.Tensor], known: np.ndarray
    ) -> None:
        self.attention.add(attention_columns(image_ids, values, known, self.class_count))
        if self._maps is not None:
            self._maps.add(maps, known)

    def publish(self, output: StorePath) -> None:
        """Publish clean maps, then attention, then predictions: these are the commit."""
        metadata = {
            "elapsed_s": round(self.elapsed_s, 4),
            "images_per_s": round(self.images / max(self.elapsed_s, 1e-9), 2),
            "device": describe_device(self.evaluation.model.device),
            "batch_size": self.batch_size,
            "identity_error": self.identity_error,
            "versions": library_versions(),
            **self.metadata,
        }
        if self.cell.is_clean:
            metadata["assumptions"] = self.evaluation.assumptions()
        if self.evaluation.has_attention:
            if self.cell.is_clean and self.run.baseline is not None:
                save_clean_baseline(output, self.evaluation, self.run.baseline)
            rows = with_columns(self.attention.table(), self._of_objects)
            write_shard(output, ATTENTION, self.key, rows, metadata)
        if self.logits is not None:
            write_shard(output, LOGITS, self.key, self.logits.table(), metadata)
        write_shard(output, PREDICTION_FACTS, self.key, self.predictions.table(), metadata)

    @contextmanager
    def _watching_others(self) -> Iterator[None]:
        """Keep the largest of the outputs that take no part, of the clean images, to tell what the others would do."""
        prepared, model = self.evaluation.model, self.evaluation.model
        self._others = []
        if self.clean_predictions is None or model.protocol != "subset":
            yield
            return
        others = torch.tensor(model.other_outputs, device=prepared.device)
        prepared.watchers.append(lambda outputs: self._others.append(outputs[:, others].float().amax(1)))
        try:
            yield
        finally:
            prepared.watchers.clear()

    def _forward_batches(self, batch: CorruptedBatch) -> Iterator[CamOutput]:
        """The batch through the model, so many images at once; those that do not fit into memory again in halves."""
        start = 0
        while start < len(batch.image_ids):
            part = slice(start, min(start + self.run.batch_size, len(batch.image_ids)))
            done = len(self._others)
            self.at = (batch.slice.start + part.start, batch.slice.start + part.stop)
            try:
                yield self._forward(batch.images[part], batch.positions[part])
                start = part.stop
            except RuntimeError as error:
                if not is_out_of_memory(error) or not self.run.halve_batch():
                    raise
                self.batch_size = min(self.batch_size, self.run.batch_size)
                del self._others[done:]

    def _forward(self, images: torch.Tensor, positions: np.ndarray) -> CamOutput:
        prepared, cam_method = self.evaluation.model, self.evaluation.attention
        inputs = prepared.inputs(images)
        if not isinstance(cam_method, CamUnavailable):
            return cam_method(inputs, lambda logits: self._targets(predicted_classes(logits), positions))
        with torch.inference_mode():
            logits = prepared.logits(inputs)
            nothing = logits.new_empty(len(logits), 0)
            return CamOutput(logits, nothing, nothing, None)

    def _targets(self, predicted: torch.Tensor, positions: np.ndarray) -> torch.Tensor:
        """(N, 1) in the clean cell; else (N, 2): the class predicted here, and the one predicted on the clean image."""
        if self.cell.is_clean:
            return predicted[:, None]
        baseline = self._paired_baseline()
        return torch.stack([predicted, predicted if baseline is None else baseline.predicted[positions]], dim=1)

    def _paired_baseline(self) -> CleanBaseline | None:
        """The clean maps; None against unpaired clean images, where there is neither drift nor a clean target."""
        return self.run.baseline if self.evaluation.data.paired else None

    @contextmanager
    def _timed(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.elapsed_s += time.perf_counter() - started


def _attention_values(
    maps: torch.Tensor, targets: torch.Tensor, positions: np.ndarray, baseline: CleanBaseline | None
) -> dict[str, torch.Tensor]:
    """Columns of `attention`, each (N, T): statistics of the maps; with a baseline also drift."""
    with torch.inference_mode():
        values = {"target_class": targets, **map_statistics(maps)._asdict()}
        if baseline is None:
            return values
        for prefix, drift in baseline.drifts(maps, positions).items():
            values |= {f"{prefix}{name}": value for name, value in drift._asdict().items()}
        return values


def _joined(outputs: list[CamOutput]) -> CamOutput:
    """The outputs of a batch as one: statistics are taken of all at once, and the device waits once."""
    logits, targets, maps, errors = zip(*outputs, strict=True)
    proven = [error for error in errors if error is not None]
    worst = torch.stack(proven).max() if proven else None
    return CamOutput(torch.cat(logits), torch.cat(targets), torch.cat(maps), worst)
