"""What every executor takes and gives, and how one process of a run is set up."""

import os
from collections.abc import Sequence
from typing import Protocol

import torch

from evaluate.engine.batch_size import choose_batch_size, remember
from evaluate.engine.blocks import BlockStream, block_images, workers_that_fit
from evaluate.engine.cells import Member
from evaluate.engine.materials import Material, Opening
from evaluate.engine.tasks import Outcome, Task
from evaluate.engine.worker import Progress, Worker, members_of
from evaluate.evaluation import Evaluation
from evaluate.study import Study

MOST_WORKERS = 8  # processes that corrupt ahead of one network, where nothing else is said


class Executor(Protocol):
    """Does the tasks of a run, clean cells before all others."""

    def run(self, tasks: Sequence[Task], progress: Progress) -> Outcome:
        """Do all tasks; networks that raise are set aside, whatever else goes wrong is raised."""


def make_worker(
    study: Study, groups: list[list[Evaluation]], device: torch.device, progress: Progress, *, share: int = 1
) -> Worker:
    """A worker of this process.

    Args:
        study: the study.
        groups: its evaluations on `device`.
        device: where networks run.
        progress: who is told.
        share: how many processes share this machine's cores.
    """
    members = make_members(study, groups)
    materials = [Material(group[0].dataset, group[0].source, group[0].subset) for group in groups]
    shape = materials[0].dataset.images.shape[1:]
    block_bytes = int(torch.Size(shape).numel()) * block_images(shape, max(m.batch_size for m in members))
    wanted = study.evaluation.workers
    if wanted is None:
        wanted = 0 if device.type == "cpu" else min(MOST_WORKERS, max(1, (os.cpu_count() or 1) // share - 1))
    stream = BlockStream(
        materials,
        Opening.of(study),
        workers=workers_that_fit(wanted * share, block_bytes) // share,
        threads=max(1, (os.cpu_count() or 1) // share),
        pinned=device.type == "cuda",
    )
    return Worker(study, members, stream, progress)


def make_members(study: Study, groups: list[list[Evaluation]]) -> list[Member]:
    """The networks of a study, each with its batch size: the study's, or the one that is tried out and remembered."""
    images = len(study.corruptions.names) * len(study.corruptions.severities)
    images *= sum(len(group[0].subset.corrupted_ids) for group in groups)

    def batch_size(evaluation: Evaluation) -> int:
        return study.evaluation.batch_size or choose_batch_size(evaluation, images, study.cache)

    def remembered(evaluation: Evaluation, size: int) -> None:
        if study.evaluation.batch_size is None:
            remember(evaluation, size, study.cache)

    return members_of([evaluation for group in groups for evaluation in group], batch_size, remembered)


class Here:
    """The executor of this process."""

    def __init__(self, study: Study, groups: list[list[Evaluation]], device: torch.device) -> None:
        self.study, self.groups, self.device = study, groups, device

    def run(self, tasks: Sequence[Task], progress: Progress) -> Outcome:
        """Do all tasks, one after the other."""
        return make_worker(self.study, self.groups, self.device, progress).do(tasks) if tasks else Outcome()


def in_two_waves(tasks: Sequence[Task]) -> list[list[Task]]:
    """Tasks that may be done at the same time: the clean cells, network by network; then all others.

    What drift is measured against must be on record before another process can measure it.
    """
    clean = [part for task in tasks if task.is_clean for part in task.split()]
    return [wave for wave in (clean, [task for task in tasks if not task.is_clean]) if wave]
