"""The public names, as used with a model, some images and a notebook."""

import subprocess
import sys
import threading
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from polars.testing import assert_frame_equal

import failmodes
from failmodes.ingest.datasets.layouts.digits import open_digits

torch = pytest.importorskip("torch")
CORRUPTIONS, SEVERITIES = ["fog", "contrast"], (1, 5)
CELLS = 1 + len(CORRUPTIONS) * len(SEVERITIES)

PUBLIC = {
    "benchmark", "corrupt", "corruptions", "gate", "import_predictions", "metric", "open", "run",
    "Warehouse", "CorruptImage", "CorruptTransform", "CustomCorruption", "Options",
    "FailmodesError", "DamagedShardError", "DataError", "DownloadError", "IncompleteRunError", "LimitError",
    "EvaluationWarning", "MissingExtraError",
    "ModelError", "QueryError", "StorageError", "StudyError", "WarehouseError",
    "__version__",
}  # fmt: skip


class Net(torch.nn.Module):
    """A small model with the pooled linear head that attention in closed form needs."""

    def __init__(self, classes: int = 10, width: int = 8) -> None:
        super().__init__()
        self.features = torch.nn.Sequential(torch.nn.Conv2d(3, width, 3, stride=4, padding=1), torch.nn.ReLU())
        self.head = torch.nn.Linear(width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images).mean((2, 3)))


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """(30, 32, 32, 3) uint8 images of digits with their labels."""
    dataset = open_digits("test")
    return np.asarray(dataset.images[:30]), dataset.labels[:30]


def net(seed: int = 0) -> Net:
    torch.manual_seed(seed)
    return Net()


def run(model, digits, folder: Path, **options) -> failmodes.Warehouse:
    settings = {"corruptions": CORRUPTIONS, "severities": SEVERITIES, "batch_size": 16, "progress": False} | options
    grouped = {field.name: settings.pop(field.name) for field in fields(failmodes.Options) if field.name in settings}
    return failmodes.benchmark(model, *digits, to=folder, options=failmodes.Options(**grouped), **settings)


def shards(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (folder / "results" / "prediction_facts").rglob("*.parquet")}


def test_the_public_names_are_these_and_no_others() -> None:
    assert set(failmodes.__all__) == set(failmodes._PUBLIC) | {"__version__"} == PUBLIC
    assert set(dir(failmodes)) >= PUBLIC
    assert all(getattr(failmodes, name).__doc__ for name in PUBLIC)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, failmodes\n"
        "heavy = {'torch', 'altair', 'polars', 'numpy', 'duckdb', 'pyarrow', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "failmodes.corrupt\n"
        "heavy = {'torch', 'altair', 'polars', 'duckdb'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.test_all
def test_a_live_module_becomes_rows_like_a_studys(digits, tmp_path: Path) -> None:
    images, labels = digits
    mine = net().train()
    w = run(mine, digits, tmp_path)
    assert mine.training
    assert all(parameter.requires_grad for parameter in mine.parameters())
    rows = w.table("predictions", corruption="fog", severity=5).sort("image_id")
    with torch.no_grad():
        foggy = failmodes.corrupt(images, "fog", 5)
        logits = net().eval()(torch.from_numpy(foggy).permute(0, 3, 1, 2).float() / 255).numpy()
    np.testing.assert_allclose(np.stack(rows["logits"].to_list()), logits, atol=1e-5)
    assert rows["label"].to_list() == labels.tolist()
    assert w.table("attention").height == 2 * CELLS * len(images)
    (facts,) = w.table("models").rows(named=True)
    assert (facts["model_label"], facts["architecture"].split(":")[1]) == ("Net", "Net")
    assert (facts["input_mean"], facts["input_std"]) == ([0, 0, 0], [1, 1, 1])


@pytest.mark.test_all
def test_the_same_call_makes_nothing_again_and_other_weights_are_another_evaluation(digits, tmp_path: Path) -> None:
    run(net(), digits, tmp_path)
    made = shards(tmp_path)
    assert len(made) == CELLS
    run(net(), digits, tmp_path)
    assert shards(tmp_path) == made
    w = run(net(1), digits, tmp_path)
    assert shards(tmp_path).items() > made.items()
    assert w.table("evaluations").height == 2


@pytest.mark.test_all
def test_an_interrupted_call_goes_on_where_it_was(digits, tmp_path: Path) -> None:
    calls = iter(range(3 + 3))  # three trials come first

    def model(batch: np.ndarray) -> np.ndarray:
        next(calls)  # the third corrupted batch is never answered
        return batch.mean((1, 2)) @ np.ones((3, 10), np.float32)

    with pytest.raises(failmodes.IncompleteRunError, match="evaluation incomplete: model"):
        run(model, digits, tmp_path, version="1", batch_size=30)
    before = shards(tmp_path)
    assert 0 < len(before) < CELLS
    calls = iter(range(1000))
    w = run(model, digits, tmp_path, version="1", batch_size=30)
    assert len(shards(tmp_path)) == CELLS
    assert shards(tmp_path).items() > before.items()
    assert w.table("predictions").height == CELLS * len(digits[0])


@pytest.mark.test_all
def test_the_study_file_names_what_a_file_can_name_and_runs_to_the_same_evaluation(digits, tmp_path: Path) -> None:
    from torchvision.models import shufflenet_v2_x0_5

    torch.manual_seed(0)
    shuffle = "torchvision:shufflenet_v2_x0_5"
    run({"Mine": net()}, digits, tmp_path)
    assert "# - Mine: a Net in memory of the calling program" in (tmp_path / "study.toml").read_text()
    run({"Shuffle": shufflenet_v2_x0_5(num_classes=10)}, digits, tmp_path, architecture=shuffle, normalization="none")
    made = shards(tmp_path)
    assert f'architecture = "{shuffle}"' in (tmp_path / "study.toml").read_text()
    w = failmodes.run(tmp_path / "study.toml", progress=False)
    assert shards(tmp_path) == made
    assert set(w.table("models")["model_label"]) == {"Shuffle", "Mine"}


@pytest.mark.test_all
def test_a_function_is_given_pixels_and_has_no_attention(digits, tmp_path: Path) -> None:
    seen = []

    def model(batch: np.ndarray) -> list[list[float]]:
        seen.append((batch.dtype, batch.shape[1:]))
        return [[float(image.mean()), *[0.0] * 9] for image in batch]

    w = run(model, digits, tmp_path, version="1")
    assert set(seen) == {(np.dtype(np.uint8), (32, 32, 3))}
    assert set(w.table("predictions")["predicted"]) == {0}
    (facts,) = w.table("evaluations").rows(named=True)
    assert (facts["attention_method"], facts["attention_note"]) == (
        "none",
        "a function of pixels, not a model of layers",
    )


def test_a_function_whose_captured_values_cannot_be_read_needs_a_version(digits, tmp_path: Path) -> None:
    lock = threading.Lock()

    def model(batch: np.ndarray) -> np.ndarray:
        with lock:
            return np.zeros((len(batch), 10))

    with pytest.raises(failmodes.ModelError, match='lock.*: a lock has no readable state.* version="1"'):
        run(model, digits, tmp_path)


@pytest.mark.test_all
def test_a_torch_data_set_with_preprocessing_of_its_own(digits, tmp_path: Path) -> None:
    images, labels = digits

    class Pairs(torch.utils.data.Dataset):
        classes = [f"digit {number}" for number in range(10)]

        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, index: int):
            return torch.from_numpy(images[index]).permute(2, 0, 1), int(labels[index])

    def half(batch: torch.Tensor) -> torch.Tensor:
        return batch[:, :, ::2, ::2].float() / 128 - 1

    w = failmodes.benchmark(
        net(), Pairs(), to=tmp_path, corruptions="fog", severities=[5], preprocess=half, progress=False
    )
    rows = w.table("predictions", corruption="none").sort("image_id")
    with torch.no_grad():
        logits = net().eval()(half(torch.from_numpy(images).permute(0, 3, 1, 2))).numpy()
    np.testing.assert_allclose(np.stack(rows["logits"].to_list()), logits, atol=1e-5)
    assert w.table("classes").sort("class_index")["class_name"].to_list() == Pairs.classes
    assert w.table("models")["input_mean"].to_list() == [None]


@pytest.mark.test_all
def test_a_folder_of_photographs(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photographs" / name).mkdir(parents=True)
        for number in range(3):
            pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photographs" / name / f"{number}.png")
    w = failmodes.benchmark(
        Net(classes=2), tmp_path / "photographs", to=tmp_path / "out", image_size=32, corruptions=["fog"],
        severities=[1], progress=False,
    )  # fmt: skip
    assert w.table("images").height == 6
    assert sorted(w.table("classes")["class_name"]) == ["cat", "dog"]


@pytest.mark.test_all
def test_a_list_of_images_keeps_its_other_columns(tmp_path: Path) -> None:
    import polars as pl
    from PIL import Image

    rng = np.random.default_rng(0)
    rows = [{"path": f"{n}.png", "label": ("cat", "dog")[n % 2], "camera": ("left", "right")[n // 3]} for n in range(6)]
    for row in rows:
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(tmp_path / row["path"])
    pl.DataFrame(rows).write_csv(tmp_path / "images.csv")
    w = failmodes.benchmark(
        Net(classes=2), tmp_path / "images.csv", to=tmp_path / "out", image_size=32, corruptions=["fog"],
        severities=[1], progress=False,
    )  # fmt: skip
    found = w.sql(
        "select distinct file as path, label_name as label, camera from predictions where severity = 1 order by all"
    )
    assert found.to_dicts() == rows
    assert 'kind = "list"' in (tmp_path / "out" / "study.toml").read_text()


def test_metadata_of_images_in_memory_join_their_predictions(digits, tmp_path: Path) -> None:
    import polars as pl

    pens = pl.DataFrame({"pen": ["blue", "black", None] * 10, "pressure": [n / 10 for n in range(30)]})
    w = run(net(), digits, tmp_path, metadata=pens, attention=False)
    found = w.sql("select pen, pressure from predictions where severity = 0 order by image_id")
    assert found.equals(pens)
    assert "[dataset.metadata]" in (tmp_path / "study.toml").read_text()
    for metadata, message in (
        ({"pen": ["blue"]}, "has 1 rows for 30 images: expected one per image"),
        ({"image_id": [40], "pen": ["blue"]}, "names none of the images"),
        ({"correct": [True] * 30}, "'correct', which is the name of a column"),
        ({"strokes": [[1, 2]] * 30}, "the column 'strokes' holds list"),
    ):
        with pytest.raises(failmodes.DataError, match=message):
            run(net(), digits, tmp_path / "other", metadata=metadata)
    assert not (tmp_path / "other" / "results").exists()


@pytest.mark.test_all
def test_a_custom_corruption_is_a_function_and_its_images_are_reproduced(digits, tmp_path: Path) -> None:
    def darker(images: np.ndarray, parameters: tuple[float]) -> np.ndarray:
        return (images * (1 - parameters[0] / 10)).astype(np.uint8)

    w = run(net(), digits, tmp_path, corruptions=["fog", darker])
    assert set(w.table("predictions")["corruption"]) == {"none", "fog", "darker"}
    assert "# - darker: a corruption in memory of the calling program" in (tmp_path / "study.toml").read_text()
    sheet = w.images("corruption = 'fog' and severity = 5 order by image_id limit 30")
    np.testing.assert_array_equal(np.stack(sheet.pixels), failmodes.corrupt(digits[0], "fog", 5))
    assert sheet.notes == []
    assert len(w.images(image=3, corruption="darker")) == 1 + len(SEVERITIES)


@pytest.mark.test_all
def test_private_images_leave_no_image_in_the_warehouse(digits, tmp_path: Path) -> None:
    w = run(net(), digits, tmp_path / "private", thumbnails=False)
    assert w.table("thumbnails").is_empty()
    assert w.table("exemplars").is_empty()
    # the benchmark's own copy of the arrays is at hand, through the study that lies beside the warehouse
    assert len(w.images("corruption = 'fog' limit 3")) == 3
    with pytest.raises(failmodes.WarehouseError, match="no clean pixels"):
        failmodes.Warehouse(w.path).images("corruption = 'fog' limit 3")


@pytest.mark.parametrize(
    ("options", "error", "line"),
    [
        ({"corruptions": ["foog"]}, failmodes.StudyError, "unknown corruption 'foog': did you mean 'fog'?"),
        ({"image_count": 31}, failmodes.StudyError, "31 images are requested, and the dataset has 30"),
        ({"class_names": list("abcdefghijk")}, failmodes.StudyError, "has 10 outputs, but 11 class names"),
        ({"label_column": "fine"}, failmodes.DataError, "label_column= is 'fine', but the images are an array"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_an_invalid_argument_is_one_line(digits, tmp_path: Path, options, error, line: str) -> None:
    with pytest.raises(error) as raised:
        run(net(), digits, tmp_path, **options)
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not shards(tmp_path)


@pytest.mark.test_all
def test_a_study_is_run_from_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = {
        "name": "from a dict",
        "output": "out",
        "dataset": {"kind": "digits", "images": 20},
        "corruptions": {"names": ["fog"], "severities": [5]},
        "models": [{"label": "Net", "architecture": "resnet18", "width": 8, "training": {"epochs": 1, "images": 64}}],
    }
    w = failmodes.run(study, progress=False)
    assert w.path == tmp_path / "out" / "warehouse.duckdb"
    assert w.sql("select count(*) as n from prediction_facts").item() == 40


@pytest.mark.test_all
def test_undeclared_probabilities_are_refused(digits, tmp_path: Path) -> None:
    ending = torch.nn.Sequential(net(), torch.nn.Softmax(1))
    with pytest.raises(failmodes.StudyError, match='returns probabilities: .* set `output_kind = "probabilities"`'):
        run(ending, digits, tmp_path / "silent")
    said = run(ending, digits, tmp_path / "said", output_kind="probabilities")
    plain = run(ending[0], digits, tmp_path / "plain")
    columns = "predicted, label_rank, confidence, entropy_nats, loss_nats"
    question = f"select {columns} from prediction_facts order by corruption, severity, image_id"
    assert_frame_equal(said.sql(question), plain.sql(question), abs_tol=1e-5)


def test_the_result_does_not_go_into_the_folder_of_the_images(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    for to in (tmp_path, tmp_path / "out"):
        with pytest.raises(failmodes.StudyError, match="inside the image folder"):
            failmodes.benchmark(net(), tmp_path, to=to, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["cat"]
