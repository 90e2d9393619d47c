"""Live models with attention on images with masks and metadata: attention on objects, slices and groups."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from drawn import CLASSES, drawn, known
from everything import DRAWN, OF_PREDICTIONS, OF_TEXT, Subject, everything, lacking
from image_files import write_class_folders
from side import Side

COUNTED = {"rows": 27374, "values": 42294, "sentences": 1990, "files": 190, "exits": 65}

IMAGES = 80
ABOUT = Subject(
    "masks", "Net, seed 0", "Net, seed 1", "contrast", dataset="Shapes", by="camera", condition="camera = 'B'",
    near=0.52, evaluated=True,
    refused={
        **lacking("WarehouseError", "chart.shifts"),
        **lacking("StudyError", "chart.differences", "chart.differences.pair"),
    },
    skipped=(*OF_TEXT, *OF_PREDICTIONS, *DRAWN, "claims.sealed", "seal"),
)  # fmt: skip
CLAIMS = [
    {"kind": "attention_on_object", "corruptions": ["none"]},
    {"kind": "attention_off_object", "corruptions": ["contrast"]},
    {"metric": "accuracy", "corruptions": ["contrast"], "relation": "drop_at_most", "limit": 0.5},
]


class Net(torch.nn.Module):
    """Two convolutions and a linear layer on their mean."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, width, 5, stride=2, padding=2)
        self.last = torch.nn.Conv2d(width, width, 5, stride=2, padding=2)
        self.head = torch.nn.Linear(width, len(CLASSES))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = torch.relu(self.last(torch.relu(self.first(images))))
        return self.head(found.mean((2, 3)))


def inputs(folder: Path) -> None:
    images, labels, masks = drawn(IMAGES, seed=3)
    folders = [CLASSES[label] for label in labels]
    write_class_folders(folder / "images", images, folders)
    write_class_folders(folder / "masks", (masks * 255).astype(np.uint8), folders)
    files = [f"{name}/{number:03d}.png" for number, name in enumerate(folders)]
    known(IMAGES).with_columns(path=pl.Series(files)).write_csv(folder / "known.csv")
    for seed in (0, 1):
        torch.save(_trained(seed), folder / f"net-{seed}.pt")


def run(side: Side) -> None:
    side.python("benchmark", lambda: repr(_benchmark(side)).splitlines())
    side.command("status", "status", "masks/study.toml")
    side.command("report", "report", "masks", out="masks/report.html")
    everything(side, ABOUT)


def _benchmark(side: Side) -> Any:
    import failmodes

    models = {}
    for seed in (0, 1):
        net = Net()
        net.load_state_dict(torch.load(side.inputs / f"net-{seed}.pt", weights_only=True))
        models[f"Net, seed {seed}"] = net.eval()
    return failmodes.benchmark(
        models, side.inputs / "images", to="masks", masks=side.inputs / "masks", metadata=side.inputs / "known.csv",
        corruptions=["contrast", "gaussian_blur", "elastic_transform"], severities=[1, 3, 5], normalization="none",
        class_names=CLASSES, claims=CLAIMS,
        options=failmodes.Options(device="cpu", dataset_label="Shapes", batch_size=16),
    )  # fmt: skip


def _trained(seed: int) -> dict[str, torch.Tensor]:
    """Weights after a few steps on other pictures of the same kind."""
    torch.manual_seed(seed)
    images, labels, _ = drawn(400, seed=9)
    net, pixels = Net(), torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(60 + 60 * seed):
        loss = torch.nn.functional.cross_entropy(net(pixels), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.state_dict()
