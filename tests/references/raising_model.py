"""A model that raises after some batches."""

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
