"""What a benchmark makes of its arguments before anything runs."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import torch
from live_models import IMAGES, NAMES, Net
from PIL import Image

import failmodes
from failmodes.evaluate.benchmark import benchmark
from failmodes.evaluate.benchmark.benchmark import BenchmarkRequest, run_benchmark
from failmodes.evaluate.benchmark.model_options import ModelOptions
from failmodes.evaluate.engine.tasks import RunCallbacks
from failmodes.evaluate.study.reading import read_study
from failmodes.ingest.corruptions.catalog import corruption_info
from failmodes.ingest.corruptions.custom import CustomCorruption
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.statements import Statement
from failmodes.warehouse.errors import DataError, FailmodesError, ModelError, StudyError

LABELS = np.arange(len(IMAGES)) % 3
FLAT = {"shape": "flat", "corruptions": ["fog"]}


class NotRead:
    """Images that must not be asked for."""

    def __iter__(self):
        raise AssertionError("images were read")


@pytest.fixture
def request_of(tmp_path: Path, monkeypatch):
    """Runs a request up to the engine, and gives the study and the data set that it is handed."""
    handed = []
    monkeypatch.setattr(benchmark, "evaluate_study", lambda *study_and_data, **_: handed.append(study_and_data))

    def run(**changes):
        request = BenchmarkRequest(
            models={"Net A": Net()}, images=IMAGES, labels=LABELS, output=tmp_path / "out", name="mine",
            model_options=ModelOptions(), dataset={}, label_names=None, corruptions="fog", sampling={"severities": [1]},
        )  # fmt: skip
        run_benchmark(replace(request, **changes), RunCallbacks())
        return handed[-1]

    return run


def test_duplicates_are_said_before_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "evaluate_study", lambda *_, **__: None)
    said: list[str] = []
    images, labels = np.concatenate([IMAGES, IMAGES[:2]]), np.append(LABELS, LABELS[:2])
    request = BenchmarkRequest(
        models={"Net A": Net()}, images=images, labels=labels, output=tmp_path / "out", name="mine",
        model_options=ModelOptions(), dataset={}, label_names=None, corruptions="fog", sampling={"severities": [1]},
    )  # fmt: skip
    run_benchmark(request, RunCallbacks(models=said.extend))
    distinct = len(np.unique(np.asarray(images).reshape(len(images), -1), axis=0))
    copies = len(images) - distinct
    assert said[-1] == (
        f"images: {copies} of {len(images)} images are exact duplicates of others ({distinct} distinct); "
        "intervals treat copies as one"
    )


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"corruptions": "fogg"}, StudyError, "^benchmark: corruptions: unknown corruption 'fogg': did you mean 'fog'"),
        ({"claims": [FLAT | {"corruptions": ["fogg"]}]}, StudyError, "^benchmark: claims: unknown corruption 'fogg'"),
        ({"claims": "fog is flat"}, StudyError, "^benchmark: claims: input should be a valid list"),
        ({"claims": [3]}, StudyError, "^benchmark: claims.0: input should be"),
        ({"corruptions": []}, StudyError, "^benchmark: corruptions: list should have at least 1 item"),
        ({"corruptions": ["fog", "fog"]}, StudyError, "^benchmark: corruptions: corruption 'fog' is named twice"),
        ({"corruptions": [lambda i, p: i]}, StudyError, "a lambda is no corruption by itself: .*CustomCorruption"),
        ({"corruptions": {"fog"}}, StudyError, "a set is no corruption by itself: expected a name, a list of names"),
        ({"corruptions": None}, StudyError, "a NoneType is no corruption by itself"),
        (
            {"sampling": {"severities": 3}},
            StudyError,
            "^benchmark: severities: input should be a valid list",
        ),
        ({"sampling": {"severities": [0]}}, StudyError, "^benchmark: severities: severity 0 is clean"),
        ({"sampling": {"seeds": [-1]}}, StudyError, "^benchmark: seeds: "),
        ({"sampling": {"recipe": "c"}}, StudyError, "^benchmark: recipe: input should be 'cifar-c' or 'imagenet-c'"),
        ({"evaluation": {"precision": "half"}}, StudyError, "^benchmark: precision: "),
        ({"evaluation": {"batch_size": 0}}, StudyError, "^benchmark: batch_size: "),
        ({"dataset": {"resize": 40}}, StudyError, "^benchmark: `resize` goes with `image_size`"),
        ({"dataset": {"background": [0, 0]}}, StudyError, "^benchmark: background: list should have at least 3"),
        ({"dataset": {"image_size": 0}}, StudyError, "^benchmark: image_size: input should be greater"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_argument_that_is_wrong_is_named_before_images_are_read(request_of, changes, error, said: str) -> None:
    with pytest.raises(error, match=said):
        request_of(images=NotRead(), **changes)


def test_what_was_done_to_images_stays_with_them(request_of, tmp_path: Path) -> None:
    gray = [Image.fromarray(image[..., 0]) for image in IMAGES]
    _, dataset = request_of(images=gray, dataset={"gray": True})
    assert dataset.gray
    assert dataset.note == f"gray, and kept so by corruptions; {len(gray)} gray images repeated over three channels"
    again = read_study(tmp_path / "out" / "study.toml", require_models=False).dataset
    assert again.gray
    assert open_dataset(again, tmp_path).note == dataset.note
    with pytest.raises(DataError, match="image 0 is not gray, its channels differ"):
        request_of(dataset={"gray": True})


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"models": {}}, ModelError, "there is no model to benchmark: the dict of models is empty"),
        ({"label_names": "abc"}, StudyError, "label_names is 'abc': expected a list of names"),
        ({"label_names": ["a", "b", "a"]}, StudyError, "labels would have the name 'a' twice: give label_names="),
        (
            {"model_options": ModelOptions(class_names=["a", "b", "a"])},
            StudyError,
            "the name 'a' twice: give label_names=",
        ),
        ({"label_names": ["a", "b"]}, DataError, "label 2 of image 2 is out of range: expected 0 to 1"),
        ({"labels": LABELS + 1}, DataError, "label 3 of image 2 is out of range: expected 0 to 2"),
        ({"images": Path("/not/there"), "labels": None}, StudyError, "/not/there does not exist"),
        ({"images": Path("/not/there")}, StudyError, "labels are in the folder /not/there: leave labels= out"),
        ({"images": "/", "labels": None, "label_names": NAMES}, StudyError, "label_names are in the folder /"),
    ],
    ids=[
        "models",
        "word",
        "label twice",
        "output twice",
        "names",
        "labels",
        "folder",
        "labels of a folder",
        "names of a folder",
    ],
)
def test_images_labels_and_names_that_do_not_fit_are_refused(request_of, changes, error, said: str) -> None:
    with pytest.raises(error, match=said):
        request_of(**changes)


def test_a_study_of_ones_own_stops_it_before_all_else(request_of, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "study.toml").write_text("")
    with pytest.raises(StudyError, match="is a study of your own"):
        request_of(images=NotRead())


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, ("0", "1", "2")),
        ({"label_names": NAMES}, NAMES),
        ({"model_options": ModelOptions(class_names=list(NAMES))}, NAMES),
        ({"label_names": NAMES[::-1], "model_options": ModelOptions(class_names=list(NAMES))}, NAMES[::-1]),
    ],
    ids=["numbers", "labels", "outputs", "both"],
)  # fmt: skip
def test_labels_have_the_names_of_labels_else_of_outputs_else_numbers(request_of, changes, names) -> None:
    _, dataset = request_of(**changes)
    assert dataset.class_names == names
    np.testing.assert_array_equal(dataset.images, IMAGES)
    np.testing.assert_array_equal(dataset.labels, LABELS)


def test_the_same_images_are_stored_once_and_others_beside_them(request_of, tmp_path: Path) -> None:
    for images in (IMAGES, list(IMAGES), IMAGES[:, ::-1]):
        request_of(images=images)
    assert len(list((tmp_path / "out" / "images").iterdir())) == 2


@pytest.mark.parametrize(
    ("side", "recipe"), [(32, "cifar-c"), (84, "cifar-c"), (85, "imagenet-c"), (224, "imagenet-c")]
)
def test_the_recipe_is_that_of_the_nearest_size(request_of, side: int, recipe: str) -> None:
    images = np.zeros((3, side, side + 9, 3), np.uint8)
    assert request_of(images=images, labels=[0, 1, 2])[0].corruptions.recipe == recipe
    given = request_of(images=images, labels=[0, 1, 2], sampling={"severities": [1], "recipe": "cifar-c"})
    assert given[0].corruptions.recipe == "cifar-c"


def test_corruptions_of_a_program_are_identified_by_what_they_capture(request_of) -> None:
    def darker(by: int):
        def dim(images: np.ndarray, parameters) -> np.ndarray:
            return images // by

        return dim

    found = []
    for corruption in (darker(2), darker(2), darker(3), CustomCorruption("dim", darker(3), label="Dim")):
        assert request_of(corruptions=[corruption])[0].corruptions.names == ["dim"]
        found.append(corruption_info("dim").definition)
    assert found[0] == found[1]
    assert len(set(found)) == 3


def test_no_process_is_started_that_would_run_the_callers_script_again(request_of, tmp_path: Path, monkeypatch) -> None:
    def dim(images: np.ndarray, parameters) -> np.ndarray:
        return images // 2

    main = type(sys)("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)  # of a notebook or a prompt
    assert request_of()[0].evaluation.workers is None
    assert request_of(corruptions=[dim])[0].evaluation.workers == 0
    main.__file__ = "script.py"
    assert request_of()[0].evaluation.workers == 0
    assert read_study(tmp_path / "out" / "study.toml", require_models=False).evaluation.workers is None


def test_masks_of_arrays_lie_beside_the_images_and_in_the_study(request_of, tmp_path: Path) -> None:
    masks = np.zeros(IMAGES.shape[:3], np.bool_)
    masks[:, :4] = True
    for given in (masks, torch.from_numpy(masks), masks.astype(np.uint8)):
        study, dataset = request_of(masks=given)
        np.testing.assert_array_equal(np.asarray(dataset.masks), masks)
        assert len(list((tmp_path / "out/images").rglob("masks-*.npy"))) == 1
    np.save(tmp_path / "mine.npy", masks)
    assert request_of(masks=tmp_path / "mine.npy")[1].masks_id == dataset.masks_id
    assert request_of()[1].masks is None
    request_of(masks=masks)
    written = read_study(tmp_path / "out/study.toml", require_models=False)
    assert open_dataset(written.dataset, written.cache).masks_id == dataset.masks_id
    assert 'masks = "images/' in (tmp_path / "out/study.toml").read_text(), "the folder can be moved"


def test_wrong_masks_are_one_line(request_of, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"masks: the array has shape \(4, 8, 7\) and the images need \(4, 8, 8\)"):
        request_of(masks=np.zeros((4, 8, 7), np.bool_))
    with pytest.raises(StudyError, match=r"missing.npy does not exist"):
        request_of(masks=tmp_path / "missing.npy")
    Image.new("RGB", (8, 8)).save(_folder(tmp_path / "photos/cat") / "0.png")
    with pytest.raises(StudyError, match="give masks= as a path, too"):
        request_of(images=tmp_path / "photos", labels=None, masks=np.zeros((1, 8, 8), np.bool_))


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def test_claims_stay_until_others_are_given(request_of, tmp_path: Path) -> None:
    stated = [request_of(**changes)[0].claims for changes in ({"claims": [FLAT]}, {}, {"claims": []}, {})]
    assert stated == [[Statement(**FLAT)], [Statement(**FLAT)], [], []]
    assert read_study(tmp_path / "out" / "study.toml", require_models=False).claims == []


def test_a_claim_about_a_corruption_of_the_program_stays_out_of_the_study_file(request_of, tmp_path: Path) -> None:
    own = CustomCorruption("soot", lambda images, parameters: images)
    claims = [FLAT | {"corruptions": ["soot"]}, FLAT]
    study, _ = request_of(claims=claims, corruptions=["fog", own], model_options=ModelOptions(version="1"))
    assert study.claims == [Statement(**claim) for claim in claims]
    assert read_study(tmp_path / "out" / "study.toml", require_models=False).claims == study.claims[1:]
    assert "# - claim: the accuracy curve under soot is flat" in (tmp_path / "out" / "study.toml").read_text()


def test_two_threads_benchmark_into_one_folder_and_the_error_names_the_other_run(tmp_path: Path) -> None:
    both_begin, model = Barrier(2), Net().eval()

    def ask(_: int) -> str:
        both_begin.wait()
        try:
            failmodes.benchmark(
                {"Net A": model}, IMAGES, LABELS, corruptions="fog", severities=[1, 2, 3], to=tmp_path / "out"
            )
        except FailmodesError as error:
            return str(error)
        return "done"

    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(ask, range(2)))
    assert "done" in said
    assert all(text == "done" or text.startswith("another run (process ") for text in said)
    assert failmodes.open(tmp_path / "out").table("evaluations").height == 1
