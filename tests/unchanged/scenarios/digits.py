"""The digits study from the demo's checkpoints: pixels, logits and attention are computed anew on each side."""

import json
import shutil
from pathlib import Path

import numpy as np
from everything import DRAWN, OF_PREDICTIONS, OF_TEXT, Subject, everything
from side import Side

COUNTED = {"rows": 33346, "values": 52980, "sentences": 2626, "files": 224, "exits": 72}

ROOT = Path(__file__).parents[3]
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MODELS = """[[models]]
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
STUDY = f"""name = "Handwritten digits"
output = "digits"
baseline = "DenseNet-121 (width 8)"
[dataset]
kind = "digits"
images = 120
[corruptions]
names = ["contrast", "gaussian_noise", "motion_blur"]
severities = [1, 3, 5]
seeds = [0]
[[shifts]]
label = "Turned digits"
kind = "arrays"
path = "{{inputs}}/turned"
{MODELS}[[claims]]
metric = "accuracy"
corruptions = ["contrast"]
relation = "less_than"
other = {{{{ corruptions = ["gaussian_noise"] }}}}
[[claims]]
metric = "accuracy"
shift = "Turned digits"
relation = "gap_at_least"
limit = 0.02
[[claims]]
kind = "attention_on_object"
corruptions = ["none"]
[[claims]]
kind = "attention_drift"
corruptions = ["contrast"]
[gate]
candidate = "ResNet-18 (width 16)"
[[gate.rules]]
metric = "accuracy"
corruptions = ["contrast"]
severities = [1]
relation = "drop_at_most"
limit = 0.3
[[gate.rules]]
metric = "accuracy"
shift = "Turned digits"
relation = "at_least"
limit = 0.2
"""
TRAINED = """name = "Trained"
output = "trained"
[dataset]
kind = "digits"
images = 40
[[models]]
label = "Tiny"
architecture = "resnet18"
width = 8
[models.training]
epochs = 1
batch_size = 32
images = 64
[evaluation]
device = "cpu"
"""
ABOUT = Subject(
    "digits", "DenseNet-121 (width 8)", "ResNet-18 (width 16)", "contrast", dataset="digits", near=0.53,
    evaluated=True, skipped=(*OF_TEXT, *OF_PREDICTIONS, *DRAWN, "claims.sealed", "load.json", "seal"),
)  # fmt: skip


def copy_checkpoints(folder: Path) -> None:
    """The two models of `make demo`."""
    for name in ("resnet", "densenet"):
        (checkpoint,) = (ROOT / "runs/digits/checkpoints").glob(f"{name}-*.safetensors")
        shutil.copyfile(checkpoint, folder / f"{name}.safetensors")


def inputs(folder: Path) -> None:
    from PIL import Image
    from sklearn.datasets import load_digits

    copy_checkpoints(folder)
    digits = load_digits()
    turned = [Image.fromarray((image * 15.9).astype(np.uint8)).resize((32, 32)).rotate(25) for image in digits.images]
    (folder / "turned").mkdir()
    np.save(folder / "turned/images.npy", np.stack([np.asarray(image.convert("RGB")) for image in turned[:60]]))
    np.save(folder / "turned/labels.npy", digits.target[:60])
    (folder / "turned/classes.json").write_text(json.dumps(NAMES))


def run(side: Side) -> None:
    (side.work / "study.toml").write_text(STUDY.format(inputs=side.inputs))
    (side.work / "trained.toml").write_text(TRAINED)
    side.command("dry", "run", "study.toml", "--dry-run", "--json")
    side.command("ingest", "ingest", "study.toml", "--images", "-")
    side.command("evaluate", "evaluate", "study.toml", "--json")
    side.command("run", "run", "study.toml", out="digits/report.html")  # resumes: its shards are there
    for name in ("status", "claims", "gate", "seal"):
        side.command(f"study.{name}", name, "study.toml")
    side.command("images.attention", "images", "study.toml", "--image", 7, "--corruption", "contrast", "--attention",
                 "--output", "attention.json", out="attention.json")  # fmt: skip
    everything(side, ABOUT)
    side.command("corrupt", "corrupt", "digits", "--to", "digits-C", "--images", 10, "--corruption", "fog", "--list",
                 "--severity", 2.5, "--layout", "imagenet-c", "--format", "png", out="digits-C")  # fmt: skip
    side.command("train", "train", "trained.toml")
