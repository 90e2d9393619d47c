"""Binary models with one output: the second class is positive; metrics of scikit-learn."""

import numpy as np
import pytest
import torch
from live_models import IMAGES, PIXELS, as_model, logits
from model_specs import dataset_of, model_spec
from onnx_graphs import Small, pixels, prepared
from safetensors.torch import save_file
from sklearn.metrics import accuracy_score, balanced_accuracy_score, brier_score_loss, log_loss
from torch import nn

import failmodes
from failmodes.evaluate.cam.method_selection import select_cam_method
from failmodes.evaluate.models.load import load_model
from failmodes.runtime.errors import ModelError, StudyError

TWO = ("cat", "dog")


class Flat(Small):
    """Returns one number per image, of shape (N,)."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images)[:, 0]


class Dictionary(Small):
    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": super().forward(images), "features": images.mean((2, 3))}


def small_logits() -> torch.Tensor:
    with torch.no_grad():
        return Small(1).eval()(PIXELS / 255)[:, 0]


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (Small(1), None),
        (Small(1), "logits"),
        (Flat(1), None),
        (Dictionary(1), None),
        (Small(1, nn.Sigmoid()), "probabilities"),
        (Flat(1, nn.Sigmoid()), "probabilities"),
        (lambda images: Small(1).eval()(torch.from_numpy(images).permute(0, 3, 1, 2) / 255).detach()[:, 0], None),
    ],
    ids=["logit", "stated", "no second dimension", "dictionary", "probability", "flat probability", "function"],
)
def test_the_probability_of_the_second_class_is_the_sigmoid(given, kind) -> None:
    model = as_model(given, names=TWO, output_kind=kind)
    probabilities = logits(model).softmax(1)
    torch.testing.assert_close(probabilities[:, 1], small_logits().sigmoid(), atol=1e-6, rtol=1e-4)
    said = model.assumptions()["outputs"]
    assert f"the {'probability' if kind == 'probabilities' else 'logit'} of dog (the second class) against cat" in said
    assert (model.output_count, model.row()["class_count"]) == (2, 2)


def test_certain_probabilities_stay_finite() -> None:
    model = as_model(lambda images: (images[:, 0, 0, 0] > 127).astype(float), names=TWO, output_kind="probabilities")
    found = logits(model)
    assert found.isfinite().all()
    assert found.argmax(1).tolist() == (IMAGES[:, 0, 0, 0] > 127).astype(int).tolist()


def test_a_number_in_0_to_1_needs_its_kind() -> None:
    for module in (Small(1, nn.Sigmoid()), Flat(1, nn.Sigmoid()), lambda images: images.mean((1, 2, 3)) / 255):
        with pytest.raises(StudyError, match='one number in 0 to 1 .*output_kind = "probabilities"` if it ends'):
            as_model(module, names=TWO)
    with pytest.raises(StudyError, match='does not return probabilities: one is .*output_kind = "logits"'):
        as_model(Small(1), names=TWO, output_kind="probabilities")


def test_more_classes_need_more_outputs() -> None:
    with pytest.raises(StudyError, match="one number for an image, .* but the dataset has 3 classes"):
        as_model(Small(1))
    with pytest.raises(ModelError, match=r"returns \(1, 1, 1\) for one image"):
        as_model(lambda images: np.zeros((len(images), 1, 1)), names=TWO)


@pytest.mark.parametrize(
    "keys",
    [{"class_names": ["dog", "cat"]}, {"class_map": {"cat": 1, "dog": 0}}],
    ids=["class_names", "class_map"],
)
def test_names_choose_the_positive_class(keys: dict, write_module) -> None:
    module = write_module("from onnx_graphs import Small\ndef net(): return Small(1)\n")
    model = load_model(model_spec(f"{module}:net", normalization="none", **keys), dataset_of(16, TWO))
    expected = Small(1).eval()(prepared(pixels(3)))
    with torch.no_grad():
        found = model.to(torch.device("cpu")).logits(prepared(pixels(3))).softmax(1)
    torch.testing.assert_close(found[:, 0], expected.sigmoid()[:, 0], atol=1e-6, rtol=1e-4)
    assert "of cat (output 1 of its classes) against dog" in model.assumptions()["outputs"]


def test_the_attention_of_both_classes_is_that_of_the_logit() -> None:
    model = as_model(Small(1), names=TWO).to(torch.device("cpu"))
    cam = select_cam_method(model, (8, 8))
    assert cam.method == "grad-cam (backward)"
    found = cam(model.inputs(IMAGES), lambda scores: torch.tensor([[0, 1]] * len(scores)))
    module = Small(1).eval()
    features = module.norm(module.conv(PIXELS / 255)).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(10 * module.head(features.relu().mean((2, 3))).sum(), features)
    evidence = (gradient.mean((2, 3), keepdim=True) * features).sum(1).detach()
    torch.testing.assert_close(found.maps[:, 1], evidence.relu(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.maps[:, 0], (-evidence).relu(), atol=1e-5, rtol=1e-4)


def test_a_checkpoint_with_one_output(tmp_path, write_module) -> None:
    module = write_module(
        "from onnx_graphs import Small\ndef net(num_classes): return Small(num_classes)\ndef one(): return Small(1)\n"
    )
    save_file(Small(1).state_dict(), tmp_path / "one.safetensors")
    for name in ("net", "one"):
        spec = model_spec(f"{module}:{name}", checkpoint=tmp_path / "one.safetensors", normalization="none")
        model = load_model(spec, dataset_of(16, TWO), spec.checkpoint)
        assert model.output_count == 2


@pytest.mark.test_all
def test_metrics_are_those_of_scikit_learn(tmp_path) -> None:
    images = pixels(60, 16)
    labels = np.random.default_rng(1).integers(0, 2, 60)
    mean_std = ([0.5, 0.4, 0.3], [0.2, 0.3, 0.4])
    options = failmodes.Options(attention=False, label_names=list(TWO))
    w = failmodes.benchmark(
        Small(1), images, labels, to=tmp_path / "out", label="Net", normalization=mean_std, corruptions=["contrast"],
        severities=[1], options=options, progress=False,
    )  # fmt: skip
    rows = w.sql("select metric, value from cell_metrics where severity = 0").rows()
    found = dict(rows)
    with torch.no_grad():
        positive = Small(1).eval()(prepared(images)).sigmoid()[:, 0].double().numpy()
    predicted = (positive > 0.5).astype(int)
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert found["nll_nats"] == pytest.approx(log_loss(labels, positive), rel=1e-5)
    assert found["brier"] == pytest.approx(2 * brier_score_loss(labels, positive), rel=1e-5)
