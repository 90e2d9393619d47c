"""The protocol that an evaluation of real layouts states, with its deviations."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmark_sets import write_class_folders
from cifar_files import COUNT, write_parquet
from corrupted_datasets import write_published

from failmodes.evaluate.evaluation_data import EvaluationData, open_study_data
from failmodes.evaluate.stated_protocol import stated_protocol
from failmodes.evaluate.study.study_schema import Study
from failmodes.ingest.datasets.layout import open_dataset
from failmodes.runtime.errors import StudyError

IDS = ("n01440764", "n01443537", "n01484850")
RNG = np.random.default_rng(0)


def stated(study: Study, data: EvaluationData, among: str | None = None) -> dict[str, Any]:
    """What an evaluation of a model that predicts among these outputs states."""
    evaluation: Any = SimpleNamespace(data=data, model=SimpleNamespace(output_map=SimpleNamespace(protocol=among)))
    return stated_protocol(evaluation, data.cells(study), study.protocols)


def opened(tmp_path: Path, **parts: Any) -> tuple[Study, list[EvaluationData]]:
    study = Study.model_validate({"name": "s", "output": tmp_path / "out", **parts})
    return study, open_study_data(study, open_dataset(study.dataset, study.cache))


def respects(row: dict[str, Any]) -> list[str]:
    return [text.partition(":")[0] for text in row["deviations"]]


def test_generated_corruptions_of_a_few_images_deviate_from_cifar10_c(tmp_path: Path) -> None:
    folder = write_parquet(tmp_path / "cifar", "cifar10")
    study, (data,) = opened(tmp_path, dataset={"kind": "cifar10", "path": folder}, corruptions={"names": ["headline"]})
    row = stated(study, data)
    assert (row["protocol"], row["averaging"]) == ("cifar10-c", "mean accuracy")
    assert row["deviations"] == [
        f"images: {COUNT} instead of 10,000",
        "source of pixels: generated in memory by the recipe cifar-c instead of the published files",
    ]
    names = {"names": ["fog"], "severities": [1, 5]}
    study, (data,) = opened(tmp_path, dataset={"kind": "cifar10", "path": folder}, corruptions=names)
    assert respects(stated(study, data)) == ["images", "corruptions", "severities", "source of pixels"]


def test_published_arrays_are_the_source_of_pixels(tmp_path: Path) -> None:
    folder = write_parquet(tmp_path / "cifar", "cifar10")
    spec = {"kind": "cifar10", "path": folder}
    bare = Study.model_validate({"name": "s", "output": tmp_path / "o", "dataset": spec})
    dataset = open_dataset(bare.dataset, tmp_path)
    write_published(tmp_path / "C", np.asarray(dataset.images), dataset.labels)
    held = sorted(file.stem for file in (tmp_path / "C").glob("*.npy") if file.stem != "labels")
    study, (data,) = opened(tmp_path, dataset=spec, corruptions={"names": held, "published": tmp_path / "C"})
    assert "source of pixels" not in respects(stated(study, data))


def test_a_protocol_of_the_study_and_the_images_of_a_list(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "val", RNG.integers(0, 255, (3, 40, 40, 3), dtype=np.uint8), IDS)
    (tmp_path / "ids.txt").write_text(f"{IDS[0]}/000.jpg\n{IDS[2]}/002.jpg\n")
    own = {"name": "ours", "title": "Ours", "dataset": "imagenet", "images": 2, "classes": 3, "source": "here",
           "corruptions": ["fog"], "severities": [1, 2, 3, 4, 5], "pixels": "generated",
           "recipe": "cifar-c"}  # fmt: skip
    parts: dict[str, Any] = {
        "dataset": {"kind": "folder", "path": folder, "image_size": 32, "image_list": tmp_path / "ids.txt"},
        "corruptions": {"names": ["fog"]},
    }
    study, (data,) = opened(tmp_path, **parts, protocols=[own])
    assert data.subset.clean_ids.tolist() == [0, 2]
    assert "that ids.txt lists" in data.subset.description
    assert stated(study, data) == {"protocol": "ours", "deviations": [], "averaging": "mean accuracy"}
    assert respects(stated(study, data, "all")) == []
    assert respects(stated(study, data, "subset")) == ["class restriction"]
    study, (data,) = opened(tmp_path, **parts)
    row = stated(study, data)
    assert row["protocol"] in ("imagenet-c-in-memory", "robustbench-imagenet-c")
    assert respects(row)[:2] == ["images", "labels"]


def test_digits_have_no_protocol_and_names_are_unique(tmp_path: Path) -> None:
    study, (data,) = opened(tmp_path, dataset={"kind": "digits", "images": 20}, corruptions={"names": ["fog"]})
    assert stated(study, data) == {}
    own = {"name": "cifar10-c", "title": "t", "dataset": "digits", "images": 1, "classes": 10, "source": "s"}
    with pytest.raises(ValueError, match="name of another protocol"):
        opened(tmp_path, dataset={"kind": "digits"}, protocols=[own])
    with pytest.raises(StudyError, match="no file names"):
        opened(tmp_path, dataset={"kind": "digits", "image_list": tmp_path / "ids.txt"}, corruptions={"names": ["fog"]})
