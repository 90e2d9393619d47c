"""The self-check warns about likely mistakes in images, models and predictions, and not about valid ones."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from import_files import invoke
from run_commands import run
from torch import nn
from torchvision.transforms import v2

import failmodes
from failmodes.evaluate.engine.statistics import prediction_columns, prediction_statistics
from failmodes.evaluate.fact_rows import fact_rows
from failmodes.evaluate.models.live import live_model
from failmodes.evaluate.models.model import OutputMap
from failmodes.evaluate.self_check import clean_notes, clean_rows, image_warnings, model_warnings
from failmodes.evaluate.study.study_schema import ModelSpec
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.layouts.arrays import write_arrays
from failmodes.ingest.datasets.layouts.digits import open_digits
from failmodes.warehouse.schema import PREDICTION_FACTS

DIGITS = open_digits("test")


class Net(nn.Module):
    """The pixels, 8 by 8 and gray, to a class: logits far apart, of which an argmax is the answer."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.pool, self.head = nn.AdaptiveAvgPool2d(8), nn.Linear(64, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(x.mean(1, keepdim=True)).flatten(1))


@pytest.fixture(scope="module")
def fitted() -> Net:
    """A linear classifier of digits, fitted to the training split by ridge regression; logits scaled by 10."""
    data, net = open_digits("train"), Net()
    with torch.no_grad():
        pixels = torch.from_numpy(np.asarray(data.images)).permute(0, 3, 1, 2).float() / 255
        x = torch.cat([net.pool(pixels.mean(1, keepdim=True)).flatten(1), torch.ones(len(pixels), 1)], 1)
        y = nn.functional.one_hot(torch.from_numpy(data.labels), 10).float() * 2 - 1
        weights = torch.linalg.solve(x.T @ x + 0.1 * torch.eye(65), x.T @ y)
        net.head.weight[:], net.head.bias[:] = 10 * weights[:64].T, 10 * weights[64]
    return net


def data_of(images: np.ndarray, labels: np.ndarray | None = None) -> Any:
    labels = np.arange(len(images)) % 2 if labels is None else labels
    dataset = Dataset("arrays", "A", "test", images, labels, ("a", "b"))
    return SimpleNamespace(dataset=dataset, subset=SimpleNamespace(clean_ids=np.arange(len(images))), shift=None)


def noise(low: int = 0, high: int = 256, count: int = 40, size: tuple[int, int] = (8, 8)) -> np.ndarray:
    return np.random.default_rng(0).integers(low, high, (count, *size, 3), np.uint8)


@pytest.mark.parametrize(
    ("images", "line"),
    [
        (noise(high=2), "no pixel of 40 images is above 1 of 255, as if they had been divided"),
        (noise(200, 256), "all pixels of 40 images are 200 to 255"),
        (np.concatenate([noise()[:37], noise()[:3]]), "3 of 40 images are exact duplicates"),
    ],
    ids=["divided", "bright", "copies"],
)
def test_images_that_are_not_what_corruptions_take(images: np.ndarray, line: str) -> None:
    (note,) = image_warnings(data_of(images), images)
    assert note.line.startswith(f"warning: {line}")


@pytest.mark.parametrize("images", [noise(), np.concatenate([noise(count=38), noise(count=2)]), DIGITS.images[:]])
def test_images_that_are_fine(images: np.ndarray) -> None:
    """Of the second, 2 in 40 are copies, 5 %, and no more."""
    assert list(image_warnings(data_of(images), images)) == []


def warnings_of(images: np.ndarray, preprocess=None, **said) -> dict[str, str]:
    spec = ModelSpec(label="Net", architecture="tests:net", **said)
    model = live_model(Net(), spec, images, preprocess=preprocess, version="1" if preprocess else None)
    return {note.topic: note.text for note in model_warnings(model, images)}


def test_a_normalization_that_is_not_that_of_the_images() -> None:
    digits = np.asarray(DIGITS.images[:200])
    mnist = {"mean": [0.1307] * 3, "std": [0.3081] * 3}
    assert warnings_of(digits, normalization=mnist) == {}
    (text,) = warnings_of(255 - digits // 3, normalization=mnist).values()
    assert "2.5 or more standard deviations" in text
    assert warnings_of(noise(200, 250), normalization="imagenet") == {}  # white paper is no mistake
    assert list(warnings_of(digits)) == ["normalization"]
    assert warnings_of(digits, normalization="none") == {}


@pytest.mark.parametrize(
    ("crops", "steps"),
    [
        (True, [v2.Resize(64), v2.CenterCrop(60)]),
        (False, [v2.Resize(32)]),
    ],
)
def test_a_preprocessing_that_crops_what_is_cropped_already(crops: bool, steps: list[Any]) -> None:
    preprocess = v2.Compose([*steps, v2.ToDtype(torch.float32, scale=True)])
    assert list(warnings_of(noise(size=(64, 64)), preprocess)) == ["cropping"] * crops


def notes_of(logits: np.ndarray, labels: np.ndarray) -> dict[str, str]:
    """Warnings about a model that gives these logits (N, C)."""
    count = logits.shape[1]
    output_map = OutputMap(tuple(range(count)), count=count)
    model = SimpleNamespace(label="Net", output_map=output_map, precision="float32")
    names = tuple(f"class {number}" for number in range(count))
    evaluation: Any = SimpleNamespace(
        model=model, data=SimpleNamespace(dataset=SimpleNamespace(class_names=names), shift=None)
    )
    tensor = torch.from_numpy(logits.astype(np.float32))
    columns = prediction_columns(prediction_statistics(tensor, labels)) | {"image_id": np.arange(len(labels))}
    rows = clean_rows([fact_rows(PREDICTION_FACTS, columns)], tensor.amin(1).numpy())
    return {note.topic: note.text for note in clean_notes(evaluation, rows) if note.level == "warning"}


def made_logits(
    rng: np.random.Generator, count: int, classes: int, accuracy: float, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, C), the largest of which is the label's with a probability of `accuracy`, and labels (N,)."""
    labels = rng.integers(0, classes, count)
    logits = rng.normal(0, 1, (count, classes))
    answers = np.where(rng.random(count) < accuracy, labels, rng.integers(0, classes, count))
    logits[np.arange(count), answers] = logits.max(1) + rng.exponential(2, count)
    return logits * scale, labels


def test_warnings_about_outputs() -> None:
    logits, labels = made_logits(np.random.default_rng(0), 400, 10, 0.9, 3.0)
    assert notes_of(logits, labels) == {}
    assert list(notes_of(logits / np.abs(logits).max(), labels)) == ["outputs_scale"]  # as cosine similarities
    sigmoids = 1 / (1 + np.exp(-3 * logits))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for outputs in (sigmoids, probabilities):
        assert list(notes_of(outputs, labels)) == ["outputs_range"]
    assert "are predicted as class 3 (n = 400)" in notes_of(logits + 99 * np.eye(10)[3], labels)["one_class"]
    assert set(notes_of(np.roll(logits, 1, axis=1), labels)) == {"chance", "class_order"}
    unknown = logits.copy()
    unknown[::2] = np.nan
    assert "outputs_range" not in notes_of(unknown, labels)


@pytest.mark.test_all
@pytest.mark.parametrize("classes", [2, 10, 100])
def test_no_alarm_on_healthy_models(classes: int) -> None:
    rng = np.random.default_rng(classes)
    for _ in range(60):
        accuracy = rng.uniform(0.3, 1)  # the rest are guesses, some of them right
        logits, labels = made_logits(rng, int(rng.integers(50, 2000)), classes, accuracy, rng.uniform(0.5, 5))
        assert notes_of(logits, labels) == {}


def test_outputs_in_another_order_are_named_with_the_accuracy_that_they_would_have() -> None:
    labels = np.arange(200) % 2
    answers = np.where(np.arange(200) < 150, 1 - labels, labels)
    notes = notes_of(3 * np.eye(2)[answers] - 1, labels)
    assert "25.0%" in notes["chance"]
    assert "class 0 = 1, class 1 = 0" in notes["class_order"]


def benchmark(model: nn.Module, folder: Path, **options: Any) -> failmodes.Warehouse:
    settings = {"normalization": "none", "corruptions": "contrast", "severities": [5], "progress": False} | options
    images, labels = np.asarray(DIGITS.images[:60]), DIGITS.labels[:60]
    return failmodes.benchmark(model, images, labels, to=folder, label="Net", **settings)


@pytest.mark.test_all
def test_a_healthy_model_has_no_warning(fitted: Net, tmp_path: Path) -> None:
    w = benchmark(fitted, tmp_path, options=failmodes.Options(strict=True))
    notes = w.table("evaluation_notes")
    assert {"model", "input", "outputs", "attention", "clean_accuracy"} == set(notes["topic"])
    assert set(notes["level"]) == {"note"}


@pytest.mark.test_all
def test_warnings_are_stored_with_the_evaluation_and_repeated(fitted: Net, tmp_path: Path) -> None:
    class Shifted(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).roll(1, 1)

    model = Shifted()
    model.load_state_dict(fitted.state_dict())
    for _ in range(2):
        with pytest.warns(failmodes.EvaluationWarning) as found:
            w = benchmark(model, tmp_path, normalization=None)
        assert len(found) == 3
        assert {one.filename for one in found} == {__file__}  # not a line of failmodes
    stored = w.sql("select topic from evaluation_notes where level = 'warning' order by step desc, topic")
    assert stored["topic"].to_list() == ["normalization", "chance", "class_order"]
    sentences = [finding.sentence for finding in w.findings() if finding.verdict == "supported"]
    assert sentences[0].startswith("Warning: Net: no normalization was given")
    w.report()
    assert "Warning: Net: no normalization was given" in (tmp_path / "report.html").read_text(encoding="utf-8")
    status = json.loads(invoke("status", tmp_path, "--json"))
    assert [one["topic"] for one in status["warnings"]] == stored["topic"].to_list()


def test_strict_stops_before_what_is_in_vain(tmp_path: Path) -> None:
    strict = failmodes.Options(strict=True)
    with pytest.raises(failmodes.IncompleteRunError, match="no normalization was given"):
        benchmark(Net(), tmp_path, normalization=None, options=strict)
    assert not list(tmp_path.rglob("severity_text=*"))
    constant = torch.tensor([0.0, 2, *[0] * 8])
    for _ in range(2):
        with pytest.raises(failmodes.IncompleteRunError, match="are predicted as 1"):
            benchmark(lambda images: constant.repeat(len(images), 1), tmp_path, normalization=None, options=strict)
        assert {path.name for path in tmp_path.rglob("corruption=*")} == {"corruption=none"}


NETS = """
import torch
def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(6272, 10))
"""
STUDY = """
name = "dark"
output = "out"
[dataset]
kind = "arrays"
path = "images"
[corruptions]
names = ["contrast"]
severities = [5]
[[models]]
label = "Net"
architecture = "nets:net"
normalization = "none"
"""


@pytest.mark.test_all
def test_a_study_is_checked_by_the_commands(tmp_path: Path) -> None:
    write_arrays(tmp_path / "images", np.asarray(DIGITS.images[:40]) // 16, DIGITS.labels[:40], DIGITS.class_names)
    (tmp_path / "study.toml").write_text(STUDY)
    (tmp_path / "nets.py").write_text(NETS)

    line = "warning: no pixel of 40 images is above 15 of 255"
    said = run("evaluate", "--strict", folder=tmp_path, expect=1).stderr
    assert line in said
    assert said.splitlines()[-1].startswith("failmodes: strict: 1 warning is an error: no pixel of 40 images")
    assert run("run", folder=tmp_path).stderr.count(line) == 1
    assert "warning: no pixel of 40" in run("status", folder=tmp_path).stdout
