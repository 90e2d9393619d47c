"""Studies for several executors, and a worker that dies."""

import os
import shutil
import signal
from pathlib import Path

from tiny_study import write_tiny_study

from failmodes.warehouse.shards.format import ShardKey


def study_of(two_models_output, folder: Path, extra: str) -> Path:
    """The same study, its models trained and nothing evaluated, with another executor."""
    shutil.copytree(two_models_output[0] / "checkpoints", folder / "out" / "checkpoints")
    return write_tiny_study(folder, models=2, extra=f"[evaluation]\n{extra}\n")


class Killer:
    """Kills one worker, once, when the first corrupted shard is published."""

    def __init__(self, find) -> None:
        self.find, self.killed = find, 0

    def __call__(self, key: ShardKey) -> None:
        if not key.cell.is_clean and not self.killed:
            self.killed = self.find()
            os.kill(self.killed, signal.SIGKILL)


RAISING = """
from torch import nn

class Raising(nn.Module):
    normalization = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}

    def __init__(self):
        super().__init__()
        self.conv, self.fc, self.batches = nn.Conv2d(3, 8, 3, 2), nn.Linear(8, 10), 0

    def forward(self, x):
        self.batches += len(x) > 20
        if self.batches > 3:
            raise ValueError("three batches are enough")
        return self.fc(self.conv(x).relu().mean((2, 3)))
"""
