"""One cell of one network: blocks of images in, rows out, published whole."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from failmodes.evaluate.cam.cam_method import CamOutput, CamUnavailable
from failmodes.evaluate.cam.closed_form import check_logit_identity
from failmodes.evaluate.cam.map_statistics import map_statistics, mask_share
from failmodes.evaluate.devices import describe_device, is_out_of_memory, release_memory
from failmodes.evaluate.engine.batches import CorruptedBatch
from failmodes.evaluate.engine.clean_baseline import (
    CleanBaseline,
    CleanMapBuffer,
    make_clean_baseline,
    save_clean_baseline,
)
from failmodes.evaluate.engine.fact_rows import (
    attention_buffer,
    attention_columns,
    prediction_buffer,
    prediction_columns,
)
from failmodes.evaluate.engine.prediction_statistics import compute_prediction_statistics, predicted_classes
from failmodes.evaluate.evaluation import Evaluation
from failmodes.warehouse.provenance import library_versions
from failmodes.warehouse.schema import ATTENTION, PREDICTIONS, TARGETS
from failmodes.warehouse.shards.format import Cell, ShardKey, write_shard
from failmodes.warehouse.storage.files import StorePath

STATISTICS_IMAGES = 4096  # clean maps whose drift is taken at a time, once all of them are known


class ModelRun:
    """A network that takes part in cells.

    Attributes:
        evaluation: its evaluation.
        batch_size: images at once; halved where memory ends.
        reference: its clean maps, once they are known; None without attention.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        batch_size: int,
        halved: Callable[[Evaluation, int], None] = lambda _evaluation, _size: None,
    ) -> None:
        """A network at a batch size; `halved` is told each smaller one."""
        self.evaluation, self.batch_size, self.halved = evaluation, batch_size, halved
        self.reference: CleanBaseline | None = None

    def halve_batch(self) -> bool:
        """Take half as many images at once from now on; False where it is one already."""
        if self.batch_size == 1:
            return False
        release_memory(self.evaluation.network.device)
        self.batch_size = 1 << (self.batch_size - 1).bit_length() - 1  # the next lower power of two
        self.halved(self.evaluation, self.batch_size)
        return True


class CellEvaluation:
    """The rows of one cell of one evaluation, and what they cost.

    Attributes:
        images: how many went through the network.
        not_finite: how many of them have logits that are not finite.
        elapsed_s: seconds of the network and of all that follows it; whoever makes the blocks adds their part.
        identity_error: largest relative error of sum + bias = logit so far; None where nothing is proven.
        batch_size: the smallest number of images at once that it took.
        at: places in the subset where the current batch begins and ends.
    """

    def __init__(self, member: ModelRun, cell: Cell, scratch: Path) -> None:
        """No rows yet; many of them wait in a file in the folder `scratch`."""
        self.member, self.evaluation, self.cell = member, member.evaluation, cell
        self.key = ShardKey(self.evaluation.evaluation_id, cell)
        self.predictions, self.attention = prediction_buffer(scratch), attention_buffer(scratch)
        self.images, self.not_finite, self.elapsed_s = 0, 0, 0.0
        self.identity_error: float | None = None
        self.batch_size = member.batch_size
        self.at = (0, 0)
        self.facts: dict[str, Any] = {}
        self._clean: CleanMapBuffer | None = None

    def add(self, block: CorruptedBatch) -> None:
        """Run the network over a block and keep its rows.

        Raises:
            ModelError: maps do not sum to the logits as closed form promises.
        """
        with self._timed():
            found = _joined(list(self._batches(block)))
            outcome = compute_prediction_statistics(found.logits, block.labels)
            columns = prediction_columns(block.image_ids, outcome, block.rmse, block.ssim)
            self.predictions.add(columns)
            self.not_finite += int((~columns["finite"]).sum())
            self.images += len(block.image_ids)
            if found.identity_error is not None:
                self._prove(float(found.identity_error))
            if self.evaluation.attends and self.cell.is_clean:
                self._clean = self._clean or CleanMapBuffer(len(self.evaluation.subset.clean_ids), found.maps)
                self._clean.put(block.key.start, outcome.predicted, found.maps, outcome.finite)
            elif self.evaluation.attends:
                reference = self._paired_reference()
                values = _attention_values(found.maps, found.targets, block.positions, reference)
                none = np.zeros(len(block.image_ids), bool)
                clean = none if reference is None else reference.known[block.positions]
                self.attention.add(attention_columns(block.image_ids, values, np.stack([columns["finite"], clean], 1)))

    def finish(self) -> None:
        """Once all blocks are in: make the clean cell's maps what drift is measured against, and measure it there."""
        if self._clean is None:
            return
        with self._timed():
            reference = self.member.reference = make_clean_baseline(self.evaluation, self._clean)
            ids = self.evaluation.subset.clean_ids
            for start in range(0, len(ids), STATISTICS_IMAGES):
                positions = np.arange(start, min(start + STATISTICS_IMAGES, len(ids)))
                own = reference.maps[positions].expand(-1, len(TARGETS), -1, -1)
                targets = reference.predicted[positions][:, None].expand(-1, len(TARGETS))
                values = _attention_values(own, targets, positions, reference)
                known = np.repeat(reference.known[positions][:, None], len(TARGETS), axis=1)
                self.attention.add(attention_columns(ids[positions], values, known))

    def publish(self, output: StorePath) -> None:
        """Publish clean maps, then attention, then predictions: these are the commit."""
        facts = {
            "elapsed_s": round(self.elapsed_s, 4),
            "images_per_s": round(self.images / max(self.elapsed_s, 1e-9), 2),
            "device": describe_device(self.evaluation.network.device),
            "batch_size": self.batch_size,
            "identity_error": self.identity_error,
            "versions": library_versions(),
            **self.facts,
        }
        if self.evaluation.attends:
            if self.cell.is_clean and self.member.reference is not None:
                save_clean_baseline(output, self.evaluation, self.member.reference)
            write_shard(output, ATTENTION, self.key, self.attention.table(), facts)
        write_shard(output, PREDICTIONS, self.key, self.predictions.table(), facts)

    def _batches(self, block: CorruptedBatch) -> Iterator[CamOutput]:
        """The block through the network in batches; one that memory does not hold is tried again in halves."""
        start = 0
        while start < len(block.image_ids):
            part = slice(start, min(start + self.member.batch_size, len(block.image_ids)))
            self.at = (block.key.start + part.start, block.key.start + part.stop)
            try:
                yield self._attend(block.images[part], block.positions[part])
                start = part.stop
            except RuntimeError as error:
                if not is_out_of_memory(error) or not self.member.halve_batch():
                    raise
                self.batch_size = min(self.batch_size, self.member.batch_size)

    def _attend(self, images: torch.Tensor, positions: np.ndarray) -> CamOutput:
        network, way = self.evaluation.network, self.evaluation.way
        inputs = network.inputs(images)
        if not isinstance(way, CamUnavailable):
            return way(inputs, lambda logits: self._targets(predicted_classes(logits), positions))
        with torch.inference_mode():
            logits = network.logits(inputs)
            nothing = logits.new_empty(len(logits), 0)
            return CamOutput(logits, nothing, nothing, None)

    def _prove(self, error: float) -> None:
        check_logit_identity(error, self.evaluation.network.precision, self.evaluation.model.label)
        self.identity_error = max(self.identity_error or 0.0, error)

    def _targets(self, predicted: torch.Tensor, positions: np.ndarray) -> torch.Tensor:
        """(N, 1) in the clean cell; else (N, 2): the class predicted here, and the one predicted on the clean image."""
        if self.cell.is_clean:
            return predicted[:, None]
        reference = self._paired_reference()
        return torch.stack([predicted, predicted if reference is None else reference.predicted[positions]], dim=1)

    def _paired_reference(self) -> CleanBaseline | None:
        """The clean maps; None against unpaired clean images, where there is neither drift nor a clean target."""
        return self.member.reference if self.evaluation.pairing.paired else None

    @contextmanager
    def _timed(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.elapsed_s += time.perf_counter() - started


def _attention_values(
    maps: torch.Tensor, targets: torch.Tensor, positions: np.ndarray, reference: CleanBaseline | None
) -> dict[str, torch.Tensor]:
    """Columns of `attention`, each (N, T): statistics of the maps; with a reference also drift and mask share."""
    with torch.inference_mode():
        values = {"target_class": targets, **map_statistics(maps)._asdict()}
        if reference is None:
            return values
        for prefix, drift in reference.drifts(maps, positions).items():
            values |= {f"{prefix}{name}": value for name, value in drift._asdict().items()}
        if reference.inside is not None and reference.whole is not None:
            values["mask_share"] = mask_share(maps, reference.inside[positions], reference.whole)
        return values


def _joined(batches: list[CamOutput]) -> CamOutput:
    """The batches of a block as one: statistics are taken of all at once, and the device waits once."""
    logits, targets, maps, errors = zip(*batches, strict=True)
    proven = [error for error in errors if error is not None]
    worst = torch.stack(proven).max() if proven else None
    return CamOutput(torch.cat(logits), torch.cat(targets), torch.cat(maps), worst)
