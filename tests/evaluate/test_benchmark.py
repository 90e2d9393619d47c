"""What a benchmark makes of its arguments before anything runs."""

import pickle
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from threading import Barrier, Lock
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from live_models import IMAGES, NAMES, Net
from PIL import Image

import failmodes
from failmodes.evaluate.benchmark import Benchmark, study_of
from failmodes.evaluate.engine.batches import WorkerSpec
from failmodes.evaluate.models.load import load_model
from failmodes.evaluate.options import Options
from failmodes.evaluate.study.study_file import read_study
from failmodes.ingest.corruptions.catalog import corruption_info
from failmodes.ingest.corruptions.custom import CustomCorruption
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.statements import Statement
from failmodes.warehouse.errors import DataError, FailmodesError, ModelError, StudyError

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
            {"severities": 3},
            StudyError,
            "^benchmark: severities: input should be a valid list",
        ),
        ({"severities": [0]}, StudyError, "^benchmark: severities: severity 0 is clean"),
        ({"seeds": [-1]}, StudyError, "^benchmark: seeds: "),
        ({"recipe": "c"}, StudyError, "^benchmark: recipe: input should be 'cifar-c' or 'imagenet-c'"),
        ({"precision": "half"}, StudyError, "^benchmark: precision: "),
        ({"batch_size": 0}, StudyError, "^benchmark: batch_size: "),
        ({"resize": 40}, StudyError, "^benchmark: `resize` goes with `image_size`"),
        ({"background": [0, 0]}, StudyError, "^benchmark: background: list should have at least 3"),
        ({"image_size": 0}, StudyError, "^benchmark: image_size: input should be greater"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_argument_that_is_wrong_is_named_before_images_are_read(request_of, changes, error, said: str) -> None:
    with pytest.raises(error, match=said):
        request_of(images=NotRead(), **changes)


def test_what_was_done_to_images_stays_with_them(request_of, tmp_path: Path) -> None:
    gray = [Image.fromarray(image[..., 0]) for image in IMAGES]
    _, dataset = request_of(images=gray, gray=True)
    assert dataset.gray
    assert dataset.note == f"gray, and kept so by corruptions; {len(gray)} gray images repeated over three channels"
    again = read_study(tmp_path / "out" / "study.toml", require_models=False).dataset
    assert again.gray
    assert open_dataset(again, tmp_path).note == dataset.note
    with pytest.raises(DataError, match="image 0 is not gray, its channels differ"):
        request_of(gray=True)


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"models": {}}, ModelError, "there is no model to benchmark: the dict of models is empty"),
        ({"label_names": "abc"}, StudyError, "label_names is 'abc': expected a list of names"),
        ({"label_names": ["a", "b", "a"]}, StudyError, "labels would have the name 'a' twice: give label_names="),
        (
            {"class_names": ["a", "b", "a"]},
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


def configured(*names: str) -> Net:
    module = Net()
    module.config = SimpleNamespace(id2label=dict(enumerate(names)))
    return module


def test_labels_have_the_names_of_a_models_config_where_these_differ(request_of) -> None:
    assert request_of(models={"Net A": configured(*NAMES)})[1].class_names == NAMES
    assert request_of(models={"Net A": configured("cat", "cat", "owl")})[1].class_names == ("0", "1", "2")
    assert request_of(models={"Net A": configured(*NAMES)}, label_names=["a", "b", "c"])[1].class_names == (
        "a",
        "b",
        "c",
    )


def test_a_named_architecture_keeps_names_and_normalization_of_the_models_configuration(
    request_of, tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "named_nets.py").write_text("from live_models import Net\ndef plain(): return Net()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = configured("owl", "cat", "dog")
    study, dataset = request_of(
        models={"Mine": module}, label_names=NAMES, architecture="named_nets:plain", normalization="none"
    )
    (spec,) = study.models
    assert load_model(spec, dataset, spec.checkpoint).class_outputs == [1, 2, 0]
    timm = pytest.importorskip("timm").create_model("test_resnet", num_classes=3)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    study, _ = request_of(models={"Mine": timm}, images=images, architecture="timm:test_resnet")
    assert study.models[0].normalization.mean == timm.pretrained_cfg["mean"] != (0, 0, 0)


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
    given = request_of(images=images, labels=[0, 1, 2], recipe="cifar-c")
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
    study, _ = request_of(claims=claims, corruptions=["fog", own], version="1")
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
    # the second comes while the first evaluates, while it loads, or afterwards
    refusals = r"done|another run \((process \d+|another process)\) is .*|.* is being loaded by process \d+: .*"
    assert all(re.fullmatch(refusals, text) for text in said)
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


def test_an_architecture_that_makes_another_model_is_refused(request_of) -> None:
    from torchvision.models import shufflenet_v2_x0_5

    images = np.zeros((4, 32, 32, 3), np.uint8)
    images[0] = 200
    altered = shufflenet_v2_x0_5(num_classes=3)
    altered.register_forward_hook(lambda module, given, output: output * 2)
    name = "torchvision:shufflenet_v2_x0_5"
    with pytest.raises(ModelError, match=f"is no {name}: .* gives other outputs"):
        request_of(models={"Mine": altered}, images=images, architecture=name, normalization="none")
    with pytest.raises(ModelError, match="does not fit torchvision:resnet18"):
        request_of(models={"Mine": altered}, images=images, architecture="torchvision:resnet18", normalization="none")
    with pytest.raises(StudyError, match="architecture= goes with normalization=, which the study file states"):
        request_of(models={"Mine": altered}, images=images, architecture=name)
    for more in ({"models": {"f": lambda pixels: pixels.mean((1, 2))}}, {"preprocess": lambda pixels: pixels / 255}):
        with pytest.raises(StudyError, match="architecture= goes with a torch module and normalization="):
            request_of(architecture=name, **({"models": {"Mine": altered}, "images": images} | more))


def test_a_live_model_stays_out_of_what_crosses_to_other_processes(request_of) -> None:
    class Held(Net):
        def __deepcopy__(self, memo):
            copied = Net()
            copied.lock = Lock()  # which no pickle holds
            return copied

    study, _ = request_of(models={"Held": Held()}, version="1")
    assert study.models[0].live is not None
    assert pickle.loads(pickle.dumps(WorkerSpec.of(study))).study.models == []
