"""One cell: images through every network that still misses them, rows out, published whole."""

import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from evaluate.attention.closed_form import prove_identity
from evaluate.attention.reference import Reference, keep_reference, make_reference
from evaluate.attention.statistics import map_statistics, mask_share
from evaluate.attention.ways import Attended, ChooseTargets, NoWay
from evaluate.devices import describe_device
from evaluate.engine.prediction import outcome_of
from evaluate.engine.rows import attention_columns, attention_rows, prediction_columns, prediction_rows
from evaluate.evaluation import Evaluation
from ingest.distortion import rmse, ssim
from warehouse.provenance import library_versions
from warehouse.record import Cell, clean_cell, write_shard
from warehouse.schema import ATTENTION, PREDICTIONS, TARGETS

BATCHES_PER_BLOCK = 16  # images corrupted at a time: enough to corrupt in whole batches, few enough to stay small

Advance = Callable[[int], None]


class Member(NamedTuple):
    """A network that takes part in a cell, with its clean reference (None where there is no attention)."""

    evaluation: Evaluation
    reference: Reference | None


class Block(NamedTuple):
    """Some images of a cell: positions in the subset, ids, pixels, labels, and distortion (None if unpaired)."""

    positions: np.ndarray
    image_ids: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    rmse: np.ndarray | None
    ssim: np.ndarray | None


def evaluate_clean(evaluation: Evaluation, output: Path, batch_size: int, advance: Advance) -> Reference | None:
    """Evaluate the clean images and keep their maps: what the drift of every other cell is measured against."""
    ids, dataset = evaluation.subset.clean_ids, evaluation.dataset
    collector = _Collector(evaluation, clean_cell(evaluation.evaluation_id), batch_size)
    predicted, maps = [], []
    for start in range(0, len(ids), batch_size):
        chosen = ids[start : start + batch_size]
        images = dataset.images[chosen]
        none = np.zeros(len(chosen), np.float32)
        block = Block(np.arange(start, start + len(chosen)), chosen, images, dataset.labels[chosen], none, none + 1)
        with collector.timed():
            attended = collector.run(block, lambda logits: logits.argmax(1)[:, None])
            predicted.append(attended.targets[:, 0])
            maps.append(attended.maps)
        advance(len(chosen))
    reference = None
    if evaluation.attends:
        reference = make_reference(evaluation, torch.cat(predicted), torch.cat(maps))
        with collector.timed():
            for start in range(0, len(ids), batch_size):
                positions = np.arange(start, min(start + batch_size, len(ids)))
                own = reference.maps[positions].expand(-1, len(TARGETS), -1, -1)
                classes = reference.predicted[positions][:, None].expand(-1, len(TARGETS))
                collector.attend(ids[positions], positions, own, classes, reference)
        keep_reference(output, evaluation, reference)
    collector.publish(output)
    return reference


def evaluate_cell(
    members: list[Member], corruption: str, severity: Decimal, output: Path, batch_size: int, advance: Advance
) -> None:
    """Corrupt each block once and run every member over it; all members share data set, source and subset."""
    collectors = [_Collector(m.evaluation, m.evaluation.cell(corruption, severity), batch_size) for m in members]
    shared_s = 0.0
    blocks = _corrupted_blocks(members[0].evaluation, corruption, severity, batch_size * BATCHES_PER_BLOCK)
    while True:
        started = time.perf_counter()
        block = next(blocks, None)
        shared_s += time.perf_counter() - started
        if block is None:
            break
        for member, collector in zip(members, collectors, strict=True):
            with collector.timed():
                for batch in _split(block, batch_size):
                    _evaluate_batch(collector, batch, member.reference)
            advance(len(block.image_ids))
    for collector in collectors:
        collector.elapsed_s += shared_s
        collector.publish(output)


def _evaluate_batch(collector: "_Collector", batch: Block, reference: Reference | None) -> None:
    def choose(logits: torch.Tensor) -> torch.Tensor:
        classes = logits.argmax(1)
        paired = reference is not None and collector.evaluation.pairing.paired
        clean = reference.predicted[batch.positions] if reference is not None and paired else classes
        return torch.stack([classes, clean], dim=1)

    attended = collector.run(batch, choose)
    if reference is not None:
        collector.attend(batch.image_ids, batch.positions, attended.maps, attended.targets, reference)


class _Collector:
    """Rows of one cell of one evaluation, and what they cost."""

    def __init__(self, evaluation: Evaluation, cell: Cell, batch_size: int) -> None:
        self.evaluation, self.cell, self.batch_size = evaluation, cell, batch_size
        self.predictions, self.attention = prediction_rows(), attention_rows()
        self.elapsed_s, self.identity_error, self.images = 0.0, 0.0, 0

    def timed(self) -> "_Timer":
        return _Timer(self)

    def run(self, block: Block, choose: ChooseTargets) -> Attended:
        """Run the network, keep prediction rows, and give maps of the targets chosen (proven where they can be)."""
        network, way = self.evaluation.network, self.evaluation.way
        inputs = network.inputs(block.images)
        if isinstance(way, NoWay):
            with torch.inference_mode():
                logits = network.logits(inputs)
            attended = Attended(logits, choose(logits), logits.new_empty(len(logits), 0, 0, 0), None)
        else:
            attended = way(inputs, choose)
        if attended.identity_error is not None:
            prove_identity(float(attended.identity_error), network.precision, self.evaluation.model.label)
            self.identity_error = max(self.identity_error, float(attended.identity_error))
        outcome = outcome_of(attended.logits, block.labels)
        self.predictions.add(prediction_columns(block.image_ids, outcome, block.rmse, block.ssim))
        self.images += len(block.image_ids)
        return attended

    def attend(
        self,
        image_ids: np.ndarray,
        positions: np.ndarray,
        maps: torch.Tensor,
        targets: torch.Tensor,
        reference: Reference,
    ) -> None:
        """Keep attention rows; against unpaired clean images there is neither drift nor a clean target nor a mask."""
        paired = self.evaluation.pairing.paired or self.cell.is_clean
        known = torch.ones_like(targets, dtype=torch.bool)
        known[:, 1] = paired
        drifts = reference.drifts(maps, positions) if paired else {}
        inside = None
        if paired and reference.inside is not None and reference.whole is not None:
            inside = mask_share(maps, reference.inside[positions], reference.whole)
        statistics = map_statistics(maps)
        self.attention.add(attention_columns(image_ids, targets, known, statistics, drifts, inside))

    def publish(self, output: Path) -> None:
        """Publish attention first: the predictions are the commit."""
        facts = {
            "elapsed_s": round(self.elapsed_s, 4),
            "images_per_s": round(self.images / max(self.elapsed_s, 1e-9), 2),
            "device": describe_device(self.evaluation.network.device),
            "batch_size": self.batch_size,
            "identity_error": self.identity_error if self.evaluation.attends else None,
            "versions": library_versions(),
        }
        if self.evaluation.attends:
            write_shard(output, ATTENTION, self.cell, self.attention.table(), facts)
        write_shard(output, PREDICTIONS, self.cell, self.predictions.table(), facts)


class _Timer:
    """Adds the time spent inside to a collector."""

    def __init__(self, collector: _Collector) -> None:
        self.collector = collector

    def __enter__(self) -> None:
        self.started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.collector.elapsed_s += time.perf_counter() - self.started


def _corrupted_blocks(evaluation: Evaluation, corruption: str, severity: Decimal, size: int) -> Iterator[Block]:
    subset, dataset, paired = evaluation.subset, evaluation.dataset, evaluation.pairing.paired
    for start in range(0, len(subset.corrupted_ids), size):
        ids = subset.corrupted_ids[start : start + size]
        clean = dataset.images[ids] if paired else None
        images = evaluation.source.corrupted(clean, corruption, severity, ids)
        distortion = (rmse(clean, images), ssim(clean, images)) if clean is not None else (None, None)
        positions = np.arange(start, start + len(ids))
        yield Block(positions, ids, images, subset.corrupted_labels[positions], *distortion)


def _split(block: Block, size: int) -> Iterator[Block]:
    for start in range(0, len(block.image_ids), size):
        part = slice(start, start + size)
        distortion = (None if column is None else column[part] for column in (block.rmse, block.ssim))
        yield Block(block.positions[part], block.image_ids[part], block.images[part], block.labels[part], *distortion)
