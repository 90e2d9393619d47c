"""The digits study from the demo's checkpoints: pixels, logits and attention are computed anew on each side."""

import shutil
from pathlib import Path

from side import Side

ROOT = Path(__file__).parents[3]
STUDY = """name = "Handwritten digits"
output = "digits"
[dataset]
kind = "digits"
images = 200
[corruptions]
names = ["contrast", "gaussian_noise", "motion_blur"]
severities = [1, 3, 5]
seeds = [0]
[[models]]
label = "ResNet-18 (width 16)"
architecture = "resnet18"
width = 16
checkpoint = "{inputs}/resnet.safetensors"
[[models]]
label = "DenseNet-121 (width 8)"
architecture = "densenet121"
width = 8
checkpoint = "{inputs}/densenet.safetensors"
[evaluation]
device = "cpu"
attention = true
"""


def inputs(folder: Path) -> None:
    for name in ("resnet", "densenet"):
        checkpoint = next((ROOT / "runs/digits/checkpoints").glob(f"{name}-*.safetensors"))  # of `make demo`
        shutil.copyfile(checkpoint, folder / f"{name}.safetensors")


def run(side: Side) -> None:
    (side.work / "study.toml").write_text(STUDY.format(inputs=side.inputs))
    side.command("run", "run", "study.toml")
    side.tables("w", "digits/warehouse.duckdb", evaluated=True)
