"""The self-check: what may be a mistake in images, models and predictions is said, and nothing of healthy ones."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.transforms import v2

import failmodes
from failmodes.evaluate.engine.statistics import prediction_statistics
from failmodes.evaluate.models.live import live_model
from failmodes.evaluate.self_check import CleanResults, clean_notes, image_warnings, model_warnings
from failmodes.evaluate.study.study_schema import ModelSpec
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.digits import open_digits
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.specification import DatasetSpec

SCRIPT = Path(sys.executable).parent / "failmodes"
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
    return SimpleNamespace(dataset=dataset, subset=SimpleNamespace(clean_ids=np.arange(len(images))))


def noise(low: int = 0, high: int = 256, count: int = 40, size: tuple[int, int] = (8, 8)) -> np.ndarray:
    return np.random.default_rng(0).integers(low, high, (count, *size, 3), np.uint8)


def topics_of(images: np.ndarray) -> list[str]:
    return [note.topic for note in image_warnings(data_of(images), images)]


@pytest.mark.parametrize(
    ("images", "line"),
    [
        (noise(high=2), "no pixel of 40 images is above 1 of 255, as if they had been divided by 255 before"),
        (noise(high=17), "no pixel of 40 images is above 16 of 255: corruptions"),
        (noise(200, 256), "all pixels of 40 images are 200 to 255 of 255: corruptions"),
        (np.concatenate([noise()[:37], noise()[:3]]), "3 of 40 images are exact copies of others"),
    ],
    ids=["divided", "12 bits in 16", "bright", "copies"],
)
def test_images_that_are_not_what_corruptions_take(images: np.ndarray, line: str) -> None:
    (note,) = image_warnings(data_of(images), images)
    assert (note.level, note.line.startswith(f"warning: {line}")) == ("warning", True), note.line


@pytest.mark.parametrize(("unread", "topics"), [(1, []), (2, ["left_out"])])
def test_images_of_a_folder_that_are_left_out(tmp_path: Path, unread: int, topics: list[str]) -> None:
    for number in range(100 + unread):
        file = tmp_path / "photographs" / f"{number % 2}" / ("later" * (number >= 100)) / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(count=101 + unread)[number]).save(file)
    dataset = open_dataset(DatasetSpec(kind="folder", path=tmp_path / "photographs"), tmp_path / "cache")
    data: Any = SimpleNamespace(dataset=dataset, subset=SimpleNamespace(clean_ids=np.arange(100)))
    found = image_warnings(data, np.asarray(dataset.images))
    assert [note.topic for note in found] == topics
    if found:
        assert found[0].text.startswith("2 of 102 images are left out, for they lie in folders within classes")


def test_images_that_are_fine() -> None:
    assert topics_of(noise()) == []
    assert topics_of(np.concatenate([noise(count=38), noise(count=2)])) == []  # 2 copies in 40 are 5 %
    digits = np.asarray(DIGITS.images)
    assert topics_of(digits) == []


def warnings_of(images: np.ndarray, preprocess=None, **said) -> dict[str, str]:
    spec = ModelSpec(label="Net", architecture="tests:net", **said)
    model = live_model(Net(), spec, images, preprocess=preprocess, version="1" if preprocess else None)
    return {note.topic: note.text for note in model_warnings(model, images)}


def test_a_normalization_that_is_not_that_of_the_images() -> None:
    digits = np.asarray(DIGITS.images[:200])
    mnist = {"mean": [0.1307] * 3, "std": [0.3081] * 3}
    assert warnings_of(digits, normalization=mnist) == {}
    (text,) = warnings_of(255 - digits // 3, normalization=mnist).values()
    assert text.startswith("the mean pixel, 0.9")
    assert "2.5 or more standard deviations from the mean of the normalization" in text
    assert warnings_of(noise(200, 250), normalization="imagenet") == {}  # white paper is no mistake
    assert list(warnings_of(digits)) == ["normalization"]
    assert warnings_of(digits, normalization="none") == {}


def test_images_that_are_squashed_for_the_model() -> None:
    (text,) = warnings_of(noise(size=(24, 32)), normalization="none", input_side_px=16).values()
    assert text.startswith("images of 32×24 px are squashed to 16×16 for the model: give `image_size`")
    assert warnings_of(noise(), normalization="none", input_side_px=16) == {}


@pytest.mark.parametrize(
    ("crops", "steps"),
    [
        (True, [v2.Resize(64), v2.CenterCrop(56)]),
        (True, [v2.CenterCrop(60)]),
        (False, [v2.Resize(32)]),
        (False, [v2.Resize(64)]),
        (False, []),
    ],
)
def test_a_preprocessing_that_crops_what_is_cropped_already(crops: bool, steps: list[Any]) -> None:
    preprocess = v2.Compose([*steps, v2.ToDtype(torch.float32, scale=True)])
    assert list(warnings_of(noise(size=(64, 64)), preprocess)) == ["cropping"] * crops


def notes_of(logits: np.ndarray, labels: np.ndarray) -> dict[str, str]:
    """Warnings about a model that gives these logits (N, C)."""
    count = logits.shape[1]
    model = SimpleNamespace(label="Net", protocol=None, class_outputs=None, output_count=count)
    names = tuple(f"class {number}" for number in range(count))
    evaluation: Any = SimpleNamespace(model=model, data=SimpleNamespace(dataset=SimpleNamespace(class_names=names)))
    tensor = torch.from_numpy(logits.astype(np.float32))
    found = CleanResults.of(labels, tensor, prediction_statistics(tensor, labels), count)
    return {note.topic: note.text for note in clean_notes(evaluation, found) if note.level == "warning"}


def made_logits(
    rng: np.random.Generator, count: int, classes: int, accuracy: float, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, C), the largest of which is the label's with a probability of `accuracy`, and labels (N,)."""
    labels = rng.integers(0, classes, count)
    logits = rng.normal(0, 1, (count, classes))
    answers = np.where(rng.random(count) < accuracy, labels, rng.integers(0, classes, count))
    logits[np.arange(count), answers] = logits.max(1) + rng.exponential(2, count)
    return logits * scale, labels


def test_what_is_wrong_with_outputs() -> None:
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
    assert set(notes_of(np.full_like(logits, np.nan), labels)) <= {"chance", "one_class"}


def test_no_alarm_on_600_healthy_models() -> None:
    rng = np.random.default_rng(20)
    for _ in range(600):
        classes = int(rng.choice([2, 3, 5, 10, 37, 100, 1000]))
        accuracy = rng.uniform(0.3, 1)  # the rest are guesses, some of them right
        logits, labels = made_logits(rng, int(rng.integers(50, 2000)), classes, accuracy, rng.uniform(0.5, 5))
        assert notes_of(logits, labels) == {}


def benchmark(model: nn.Module, folder: Path, **options: Any) -> failmodes.Warehouse:
    settings = {"normalization": "none", "corruptions": "contrast", "severities": [5], "progress": False} | options
    images, labels = np.asarray(DIGITS.images[:60]), DIGITS.labels[:60]
    return failmodes.benchmark(model, images, labels, to=folder, label="Net", **settings)


def issued(model: nn.Module, folder: Path, **options: Any) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("default")
        benchmark(model, folder, **options)
    return [one for one in found if one.category is failmodes.EvaluationWarning]


def test_a_healthy_model_has_no_warning(fitted: Net, tmp_path: Path) -> None:
    w = benchmark(fitted, tmp_path, options=failmodes.Options(strict=True))
    notes = w.sql("select step, topic from evaluation_notes where level = 'note'").rows()
    assert set(notes) == {("settings", topic) for topic in ("model", "input", "outputs", "attention")} | {
        ("clean", "clean_accuracy")
    }
    assert w.sql("from evaluation_notes where level = 'warning'").is_empty()
    assert not issued(fitted, tmp_path)


def test_warnings_stay_with_the_evaluation_and_are_said_again(
    fitted: Net, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    class Shifted(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).roll(1, 1)

    model = Shifted()
    model.load_state_dict(fitted.state_dict())
    for _ in range(2):
        found = issued(model, tmp_path, normalization=None)
        assert [str(one.message).split(":")[0] for one in found] == ["Net"] * 3
        assert {one.filename for one in found} == {__file__}  # not a line of failmodes
        assert "normalization" in str(found[0].message)
    assert capfd.readouterr() == ("", "")
    for _ in range(2):
        w = benchmark(model, tmp_path, normalization=None, progress=True)
        lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("warning: ")]
        assert len(lines) == 3
        assert "in another order (" in lines[2]
    stored = w.sql("select topic from evaluation_notes where level = 'warning' order by step desc, topic")
    assert stored["topic"].to_list() == ["normalization", "chance", "class_order"]
    sentences = [finding.sentence for finding in w.findings() if finding.verdict == "supported"]
    assert sentences[0].startswith("Warning: Net: no normalization was given")
    assert sum("at or below chance" in one or "below chance on clean" in one for one in sentences) == 1
    w.report()
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.index("Warning: Net: no normalization was given") < page.index("The probability that any of these")
    status = subprocess.run([SCRIPT, "status", tmp_path, "--json"], capture_output=True, text=True, check=True)
    assert [one["topic"] for one in json.loads(status.stdout)["warnings"]] == ["normalization", "chance", "class_order"]
    told = subprocess.run([SCRIPT, "status", tmp_path], capture_output=True, text=True, check=True).stdout
    assert told.index("warning: Net: no normalization was given") < told.index("checks pass")


def test_strict_stops_before_what_is_in_vain(tmp_path: Path) -> None:
    strict = failmodes.Options(strict=True)
    with pytest.raises(failmodes.IncompleteRunError, match="1 warning is an error: Net: no normalization was given"):
        benchmark(Net(), tmp_path, normalization=None, options=strict)
    assert not list(tmp_path.rglob("severity=*"))
    for _ in range(2):
        with pytest.raises(failmodes.IncompleteRunError, match="of clean images are predicted as 1"):
            benchmark(
                lambda images: np.tile([0.0, 2, *[0] * 8], (len(images), 1)),
                tmp_path,
                normalization=None,
                options=strict,
            )
        assert {path.parent.name for path in tmp_path.rglob("corruption=*")} != set()
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


@pytest.mark.slow
def test_a_study_is_checked_by_the_commands(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    np.save(folder / "images.npy", np.asarray(DIGITS.images[:40]) // 16)
    np.save(folder / "labels.npy", DIGITS.labels[:40])
    (folder / "classes.json").write_text(json.dumps(list(map(str, range(10)))))
    (tmp_path / "study.toml").write_text(STUDY)
    (tmp_path / "nets.py").write_text(NETS)

    def call(*arguments: str) -> tuple[int, str]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run([SCRIPT, *arguments], cwd=tmp_path, capture_output=True, text=True, env=environment)
        return done.returncode, done.stderr

    line = "warning: no pixel of 40 images is above 15 of 255"
    code, told = call("evaluate", "--strict")
    assert (code, line in told) == (1, True), told
    assert told.splitlines()[-1].startswith("failmodes: strict: 1 warning is an error: no pixel of 40 images")
    for command in ("evaluate", "run"):
        code, told = call(command)
        assert (code, told.count(line)) == (0, 1), told
    code, told = call("run", "--strict")
    assert (code, told.count(line)) == (1, 1), told
    assert (
        "warning: no pixel of 40"
        in subprocess.run([SCRIPT, "status"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    )
