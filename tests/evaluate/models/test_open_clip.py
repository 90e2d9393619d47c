"""Zero-shot models of OpenCLIP, against the library's own transform, classifier and logits."""

from pathlib import Path
from types import SimpleNamespace

import open_clip
import pytest
import torch
from model_specs import model_spec
from PIL import Image
from tiny_hub_models import IMAGES, NAMES, save_open_clip

from failmodes.evaluate.cam.method_selection import select_cam_method
from failmodes.evaluate.models.load import load_model
from failmodes.evaluate.models.model import Model
from failmodes.runtime.errors import ModelError, StudyError

pytestmark = pytest.mark.test_all

TEMPLATES = ["a photo of a {}", "a sketch of the {}"]


def loaded(name: str, classes: tuple[str, ...] = NAMES, **changes) -> Model:
    dataset = SimpleNamespace(images=IMAGES, name="folder", label="photographs", class_names=classes)
    model = load_model(model_spec(f"open_clip:{name}", **changes), dataset)  # type: ignore[arg-type]
    return model.to(torch.device("cpu"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_open_clip(tmp_path_factory.mktemp("open_clip") / "tiny")


def test_logits_of_200_images_equal_the_librarys(folder: Path) -> None:
    name = f"local-dir:{folder}"
    made, _, transform = open_clip.create_model_and_transforms(name)
    tokenizer, inputs = open_clip.get_tokenizer(name), torch.stack([transform(Image.fromarray(i)) for i in IMAGES])
    made.eval()
    with torch.no_grad():
        expected = made.get_logits(inputs, tokenizer([f"a photo of a {name}" for name in NAMES]))[0]
        weights = open_clip.build_zero_shot_classifier(made, tokenizer, NAMES, TEMPLATES)
        of_both = made.encode_image(inputs, normalize=True) @ weights * made.logit_scale.exp()
    model = loaded(str(folder))
    torch.testing.assert_close(model.predict(IMAGES), expected, rtol=0, atol=1e-5)
    ensemble = loaded(str(folder), prompts=TEMPLATES)
    torch.testing.assert_close(ensemble.predict(IMAGES), of_both, rtol=0, atol=1e-5)
    assert ensemble.model_id != model.model_id
    assert (model.row()["family"], model.row()["checkpoint"]) == ("clip", "tiny")
    cam = select_cam_method(model, IMAGES.shape[1:3])
    assert (cam.layer, cam.method) == ("visual.tower.transformer.resblocks.1.ln_1", "grad-cam (backward)")


def test_normalization_and_size_of_a_study_are_said(folder: Path) -> None:
    said = [
        loaded(str(folder), **keys).assumptions(IMAGES.shape[1:])["input"]
        for keys in ({}, {"normalization": "imagenet"}, {"input_side_px": 16})
    ]
    assert said[0].startswith("corrupted at 30×24 px, then resized and cropped by OpenCLIP to 16×16 px (bicubic, ")
    assert all("set in the study instead of: resized and cropped by OpenCLIP" in text for text in said[1:])


REFUSED = {
    "no such model": ("ViT-B-31/openai", {}, StudyError, "did you mean 'ViT-B-32'"),
    "no such weights": ("ViT-B-32/openaii", {}, StudyError, "did you mean 'openai'"),
    "weights unnamed": ("ViT-B-32", {}, StudyError, "open_clip:ViT-B-32/PRETRAINED: expected openai"),
    "options": ("ViT-B-32/openai", {"options": {"precision": "fp16"}}, StudyError, "take no options"),
}


@pytest.mark.parametrize(("name", "changes", "error", "said"), REFUSED.values(), ids=REFUSED)
def test_unknown_names_are_refused_before_any_download(name: str, changes, error, said: str) -> None:
    with pytest.raises(error, match=said):
        loaded(name, **changes)


def test_a_folder_without_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_bytes((folder / "open_clip_config.json").read_bytes())
    with pytest.raises(ModelError, match="cannot be loaded"):
        loaded(str(tmp_path))
