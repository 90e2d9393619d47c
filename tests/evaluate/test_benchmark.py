"""The study that a benchmark makes of its arguments, before anything runs."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import torch
from live_models import IMAGES, NAMES, Net

import failmodes
from failmodes.evaluate.benchmark import Benchmark, study_of
from failmodes.evaluate.models.load import load_model
from failmodes.evaluate.options import Options
from failmodes.evaluate.study.study_file import read_study
from failmodes.ingest.datasets.layout import open_dataset
from failmodes.ingest.statements import as_statement
from failmodes.runtime.errors import DataError, FailmodesError, ModelError, StudyError

LABELS = np.arange(len(IMAGES)) % 3
MEAN, STD = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
FLAT = {"shape": "flat", "corruptions": ["fog"]}


class NotRead:
    """Images that must not be asked for."""

    def __iter__(self):
        raise AssertionError("images were read")


@pytest.fixture
def request_of(tmp_path: Path):
    """The study and the data set of a benchmark; options are given by their names."""

    def run(*, images=IMAGES, labels=LABELS, models=None, **changes):
        known = {field.name for field in fields(Options)}
        options = Options(**{key: changes.pop(key) for key in known & changes.keys()})
        asked = Benchmark(
            models={"Net A": Net()} if models is None else models, images=images, labels=labels, to=tmp_path / "out",
            options=options, **({"corruptions": "fog", "severities": [1]} | changes),
        )  # fmt: skip
        return study_of(asked)

    return run


REFUSED = {
    "corruptions: unknown": ({"corruptions": "fogg"}, "did you mean 'fog'"),
    "corruptions: none": ({"corruptions": []}, "corruptions: "),
    "corruptions: lambda": ({"corruptions": [lambda i, p: i]}, "CustomCorruption"),
    "claims": ({"claims": [FLAT | {"corruptions": ["fogg"]}]}, "claims: .*'fogg'"),
    "severities": ({"severities": [0]}, "severities: severity 0 is clean"),
    "seeds": ({"seeds": [-1]}, "seeds: "),
    "recipe": ({"recipe": "c"}, "recipe: "),
    "precision": ({"precision": "half"}, "precision: "),
    "resize": ({"resize": 40}, "`image_size`"),
}


@pytest.mark.parametrize(("changes", "said"), REFUSED.values(), ids=REFUSED)
def test_an_invalid_argument_is_named_before_images_are_read(request_of, changes, said: str) -> None:
    with pytest.raises(StudyError, match=f"^benchmark: .*{said}"):
        request_of(images=NotRead(), **changes)


UNFIT = {
    "models": ({"models": {}}, "no models: the dict"),
    "label twice": ({"label_names": ["a", "b", "a"]}, "two labels have the name 'a'"),
    "names too few": ({"label_names": ["a", "b"]}, "label 2 of image 2 is out of range: expected 0 to 1"),
    "labels": ({"labels": LABELS + 1}, "label 3 of image 2 is out of range: expected 0 to 2"),
    "labels of a folder": ({"images": Path("/not/there")}, "remove labels="),
    "masks": ({"masks": np.zeros((4, 8, 7), np.bool_)}, r"\(4, 8, 7\)"),
}


@pytest.mark.parametrize(("changes", "said"), UNFIT.values(), ids=UNFIT)
def test_mismatched_images_labels_names_and_masks_are_refused(request_of, changes, said: str) -> None:
    with pytest.raises((StudyError, DataError, ModelError), match=said):
        request_of(**changes)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, ("0", "1", "2")),
        ({"label_names": NAMES}, NAMES),
        ({"class_names": list(NAMES)}, NAMES),
        ({"label_names": NAMES[::-1], "class_names": list(NAMES)}, NAMES[::-1]),
    ],
    ids=["numbers", "labels", "outputs", "both"],
)  # fmt: skip
def test_labels_have_the_names_of_labels_else_of_outputs_else_numbers(request_of, changes, names) -> None:
    _, dataset = request_of(**changes)
    assert dataset.class_names == names
    np.testing.assert_array_equal(dataset.images, IMAGES)
    np.testing.assert_array_equal(dataset.labels, LABELS)


def test_masks_of_arrays_lie_beside_the_images_and_in_the_study(request_of, tmp_path: Path) -> None:
    masks = np.zeros(IMAGES.shape[:3], np.bool_)
    masks[:, :4] = True
    assert request_of()[1].masks is None
    for given in (masks, torch.from_numpy(masks), masks.astype(np.uint8)):
        _, dataset = request_of(masks=given)
        np.testing.assert_array_equal(np.asarray(dataset.masks), masks)
        assert len(list((tmp_path / "out/images").rglob("masks-*.npy"))) == 1
    written = read_study(tmp_path / "out/study.toml", require_models=False)
    assert open_dataset(written.dataset, written.cache).masks_id == dataset.masks_id
    assert 'masks = "images/' in (tmp_path / "out/study.toml").read_text(), "the folder can be moved"


def test_claims_stay_until_others_are_given(request_of, tmp_path: Path) -> None:
    stated = [request_of(**changes)[0].claims for changes in ({"claims": [FLAT]}, {}, {"claims": []}, {})]
    assert stated == [[as_statement(FLAT)], [as_statement(FLAT)], [], []]
    assert read_study(tmp_path / "out" / "study.toml", require_models=False).claims == []


@pytest.mark.test_all
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
    # the second comes while the first evaluates, while it loads, or afterwards
    assert all(text == "done" or "another run (" in text or "is being loaded by" in text for text in said)
    assert failmodes.open(tmp_path / "out").table("evaluations").height == 1


def test_a_named_architecture_is_the_model_that_a_study_names(request_of, tmp_path: Path) -> None:
    """Same tensors, preprocessing and classes, and `run` of the study file finds the same model."""
    from torchvision.models import shufflenet_v2_x0_5

    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    torch.manual_seed(0)
    module, name = shufflenet_v2_x0_5(num_classes=3).train(), "torchvision:shufflenet_v2_x0_5"
    study, dataset = request_of(
        models={"Mine": module}, images=images, architecture=name, normalization="imagenet", label_names=NAMES
    )
    (spec,) = read_study(tmp_path / "out" / "study.toml").models
    assert spec == study.models[0]
    assert (spec.architecture, spec.normalization.mean) == (name, (0.485, 0.456, 0.406))
    model = load_model(spec, dataset, spec.checkpoint)
    expected = module.eval()((torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - MEAN) / STD)
    torch.testing.assert_close(model.to(torch.device("cpu")).predict(images), expected, atol=1e-4, rtol=0)
    with torch.no_grad():
        module.fc.bias += 1
    other, _ = request_of(models={"Mine": module}, images=images, architecture=name, normalization="imagenet")
    assert other.models[0].checkpoint != spec.checkpoint
    module.register_forward_hook(lambda module, given, output: output * 2)
    with pytest.raises(ModelError, match=f"is not a {name}: .* returns different outputs"):
        request_of(models={"Mine": module}, images=images, architecture=name, normalization="none")
    with pytest.raises(StudyError, match="requires normalization="):
        request_of(models={"Mine": module}, images=images, architecture=name)


def test_shifts_in_memory_are_stored_and_named_in_the_study(request_of, tmp_path: Path) -> None:
    others = 255 - IMAGES
    study, dataset = request_of(shifts={"Negative": (others, LABELS), "Table": {"kind": "arrays", "path": "elsewhere"}})
    assert [(shift.label, shift.kind) for shift in study.shifts] == [("Negative", "arrays"), ("Table", "arrays")]
    stored = open_dataset(study.shifts[0], tmp_path)
    np.testing.assert_array_equal(stored.images[:], others)
    assert (stored.labels.tolist(), stored.class_names) == (LABELS.tolist(), dataset.class_names)
    assert read_study(tmp_path / "out" / "study.toml", require_models=False).shifts == study.shifts
    (listed,) = request_of(shifts=[{"label": "A", "kind": "arrays", "path": "elsewhere"}])[0].shifts
    assert listed.path == tmp_path / "out" / "elsewhere"


@pytest.mark.parametrize(
    ("shifts", "said"),
    [
        (3, "benchmark: shifts is 3: expected a dict of images by label, or a list of tables"),
        ({"A": 5}, "benchmark: shift 'A': images are a int: expected a uint8 array"),
        ({"A": (IMAGES, LABELS + 9)}, "benchmark: shift 'A': .*label 9 of image 0 is out of range: expected 0 to 2"),
        ([{"label": "A"}], "benchmark: kind: this key is missing"),
        ({"A": {"kind": "arrays", "path": "a", "split": "val"}}, "split: input should be 'train', 'test' or"),
    ],
)
def test_shifts_that_do_not_fit_are_refused(request_of, shifts, said: str) -> None:
    with pytest.raises(FailmodesError, match=said):
        request_of(shifts=shifts)
