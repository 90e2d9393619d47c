"""Classifiers and zero-shot models of transformers, against the library's own processor and model."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers as hf
from cam_models import difference, package_maps
from model_specs import model_spec
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_hub_models import IMAGES, MEAN, NAMES, STD, save_classifier, save_clip

from failmodes.evaluate.cam.method_selection import select_cam_method
from failmodes.evaluate.models.load import load_model
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.preprocessing import own_preprocessing
from failmodes.evaluate.self_check import model_warnings
from failmodes.runtime.errors import ModelError, StudyError

pytestmark = pytest.mark.test_all

CPU = torch.device("cpu")
KINDS = ("vit", "swin", "convnext", "resnet")
CLASSES = ("hen", "tench", "goldfish")
IN_ORDER = [1, 2, 0]  # outputs of CLASSES


def loaded(architecture: str, classes: tuple[str, ...] = CLASSES, **changes) -> Model:
    dataset = SimpleNamespace(images=IMAGES, name="folder", label="photographs", class_names=classes)
    return load_model(model_spec(architecture, **changes), dataset).to(CPU)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model of each kind."""
    folder = tmp_path_factory.mktemp("hub")
    for kind in KINDS:
        save_classifier(folder / kind, kind)
    for kind in ("clip", "siglip"):
        save_clip(folder / kind, kind)
    return folder


def pixel_values(folder: Path, images: np.ndarray = IMAGES) -> torch.Tensor:
    processor = hf.AutoImageProcessor.from_pretrained(folder)
    return processor([Image.fromarray(image) for image in images], return_tensors="pt")["pixel_values"]


@pytest.mark.parametrize("kind", KINDS)
def test_logits_of_200_images_equal_those_of_processor_and_model(folder: Path, kind: str) -> None:
    with torch.no_grad():
        expected = hf.AutoModelForImageClassification.from_pretrained(folder / kind)(pixel_values(folder / kind)).logits
    model = loaded(f"transformers:{folder / kind}")
    torch.testing.assert_close(model.predict(IMAGES), expected[:, IN_ORDER], rtol=0, atol=1e-5)
    assert (model.output_names, model.output_map.class_outputs) == (NAMES, IN_ORDER)
    row = model.row()
    assert (row["checkpoint"], row["family"]) == (kind, kind)
    said = model.assumptions(IMAGES.shape[1:])["input"]
    assert said.startswith("corrupted at 30×24 px, then resized to ")


LAYERS = {
    "vit": (r"vit\..*1\.layernorm_before", "grad-cam (backward)"),
    "swin": (r"swin\.layernorm", "grad-cam (closed form)"),
    "convnext": (r"convnext\.encoder\.stages\.3", "grad-cam (backward)"),
    "resnet": (r"resnet\.encoder\.stages\.1", "grad-cam (closed form)"),
}


class Logits(torch.nn.Module):
    """A model that returns only its logits, as the grad-cam package expects."""

    def __init__(self, model) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model(images).logits


@pytest.mark.parametrize("kind", KINDS)
def test_attention_equals_the_grad_cam_package(folder: Path, kind: str) -> None:
    model = loaded(f"transformers:{folder / kind}", NAMES)
    cam = select_cam_method(model, IMAGES.shape[1:3])
    layer, method = LAYERS[kind]  # the library renames layers
    assert cam.layer is not None
    assert re.fullmatch(layer, cam.layer)
    assert cam.method == method
    inputs = model.inputs(IMAGES[:4])
    maps = cam(inputs, lambda logits: torch.arange(3).expand(len(logits), 3)).maps
    plain = Logits(hf.AutoModelForImageClassification.from_pretrained(folder / kind))

    def on_grid(tokens: torch.Tensor) -> torch.Tensor:
        if tokens.ndim == 4:
            return tokens
        side = int(tokens.shape[1] ** 0.5)
        grid = tokens[:, tokens.shape[1] - side * side :].transpose(1, 2)
        return grid.reshape(len(tokens), -1, side, side)

    classes = (torch.full((len(inputs),), number) for number in range(3))
    expected = [package_maps("GradCAM", plain, f"model.{cam.layer}", on_grid, inputs, every) for every in classes]
    assert difference(maps, np.stack(expected, 1)) < 1e-4


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_zero_shot_logits_of_200_images_equal_the_librarys(folder: Path, kind: str) -> None:
    names = ("n01440764", "hen", "goldfish")
    texts = ["a photo of a tench", "a photo of a hen", "a photo of a goldfish"]
    padding = {"padding": True} if kind == "clip" else {"padding": "max_length", "max_length": 64}
    tokens = hf.AutoTokenizer.from_pretrained(folder / kind)(texts, return_tensors="pt", **padding)
    with torch.no_grad():
        expected = hf.AutoModel.from_pretrained(folder / kind)(**tokens, pixel_values=pixel_values(folder / kind))
    model = loaded(f"clip:{folder / kind}", names)
    torch.testing.assert_close(model.predict(IMAGES), expected.logits_per_image, rtol=0, atol=1e-5)
    assert model.assumptions()["prompts"] == 'zero-shot with "a photo of a {}" for tench, hen, goldfish'
    assert (model.row()["family"], model.row()["class_outputs"]) == (kind, None)
    cam = select_cam_method(model, IMAGES.shape[1:3])
    assert cam.method == "grad-cam (backward)"
    assert cam.layer is not None
    assert "vision_model" in cam.layer


def test_an_ensemble_is_the_mean_of_normalized_embeddings_normalized_again(folder: Path) -> None:
    templates = ["a photo of the {}", "a sketch of {}", "{}"]
    made, tokenizer = hf.AutoModel.from_pretrained(folder / "clip"), hf.AutoTokenizer.from_pretrained(folder / "clip")
    with torch.no_grad():
        rows = []
        for name in NAMES:
            tokens = tokenizer([text.format(name) for text in templates], padding=True, return_tensors="pt")
            embedded = made.get_text_features(**tokens).pooler_output
            mean = torch.nn.functional.normalize(embedded, dim=1).mean(0)
            rows.append(mean / mean.norm())
        features = made.get_image_features(pixel_values=pixel_values(folder / "clip")).pooler_output
        expected = torch.nn.functional.normalize(features, dim=1) @ torch.stack(rows).T * made.logit_scale.exp()
    model = loaded(f"clip:{folder / 'clip'}", NAMES, prompts=templates)
    torch.testing.assert_close(model.predict(IMAGES), expected, rtol=0, atol=1e-5)


def changed(folder: Path, to: Path, file: str, **changes) -> Path:
    """A copy of a model with other settings in a JSON file."""
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    settings = json.loads((to / file).read_text())
    (to / file).write_text(json.dumps(settings | changes))
    return to


def test_identities_notice_processor_configuration_prompt_and_text_tower(folder: Path, tmp_path: Path) -> None:
    def copy(kind: str, name: str, file: str, **changes) -> Path:
        return changed(folder / kind, tmp_path / name, file, **changes)

    one, two = "preprocessor_config.json", "config.json"
    ids = [
        loaded(f"transformers:{path}", **keys).model_id
        for path, keys in (
            (folder / "vit", {}),
            (copy("vit", "filter", one, resample=3), {}),
            (copy("vit", "mean", one, image_mean=[0.1, 0.1, 0.1]), {}),
            (copy("vit", "activation", two, hidden_act="relu"), {}),
            (folder / "vit", {"normalization": "imagenet"}),
            (folder / "vit", {"input_side_px": 16}),
        )
    ]
    other = copy("clip", "text", two)
    tensors = load_file(other / "model.safetensors")
    tensors["text_projection.weight"] = tensors["text_projection.weight"] + 0.1
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    ids += [
        loaded(f"clip:{path}", classes, **keys).model_id
        for path, classes, keys in (
            (folder / "clip", NAMES, {}),
            (folder / "clip", NAMES, {"prompts": "a sketch of {}"}),
            (folder / "clip", ("goldfish", "hen", "cock"), {}),
            (other, NAMES, {}),
        )
    ]
    assert len(set(ids)) == len(ids)
    assert loaded(f"transformers:{copy('vit', 'elsewhere', two)}").model_id == ids[0], "wherever its folder is"
    assert loaded(f"clip:{folder / 'clip'}", NAMES, prompts=["a photo of a {}"]).model_id == ids[6], "the default"


def test_a_study_may_replace_normalization_or_size_and_says_so(folder: Path) -> None:
    path = folder / "resnet"
    normalized = loaded(f"transformers:{path}", normalization={"mean": MEAN, "std": STD})
    processor = hf.AutoImageProcessor.from_pretrained(path)
    given = [Image.fromarray(image) for image in IMAGES[:8]]
    expected = processor(given, image_mean=MEAN, image_std=STD, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(normalized.inputs(IMAGES[:8]), expected)
    resized = loaded(f"transformers:{path}", input_side_px=24)
    assert resized.inputs(IMAGES[:8]).shape == (8, 3, 24, 24)
    assert resized.preprocessing.normalization == loaded(f"transformers:{path}").preprocessing.normalization
    for model in (normalized, resized):
        assert "set in the study instead of: resized to 40 px (shorter side" in model.assumptions()["input"]


def test_a_step_that_a_study_cannot_state_is_said_and_not_dropped(folder: Path, tmp_path: Path) -> None:
    path = changed(folder / "vit", tmp_path / "flipped", "config.json")
    hf.MobileViTImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(path)
    model = loaded(f"transformers:{path}")
    assert "do_flip_channel_order" in model.assumptions()["input"]
    torch.testing.assert_close(model.inputs(IMAGES), pixel_values(path))
    with pytest.raises(StudyError, match="no plain mean and std: set `normalization` too"):
        loaded(f"transformers:{path}", input_side_px=16)


def test_a_crop_of_images_of_the_input_size_is_a_warning(folder: Path) -> None:
    model = loaded(f"transformers:{folder / 'resnet'}")
    small, large = (np.resize(IMAGES[:2], (2, side, side, 3)) for side in (32, 64))
    assert [note.topic for note in model_warnings(model, small)] == ["cropping"]
    assert not list(model_warnings(model, large))


def test_a_module_in_memory_with_its_processor_is_prepared_alike(folder: Path) -> None:
    processor = hf.AutoImageProcessor.from_pretrained(folder / "convnext")
    made = own_preprocessing(processor, IMAGES[:2], subject="model 'A'")
    inputs = made(IMAGES, CPU)
    torch.testing.assert_close(inputs, loaded(f"transformers:{folder / 'convnext'}").inputs(IMAGES), rtol=0, atol=0)
    processor.resample = 2
    assert own_preprocessing(processor, IMAGES[:2], subject="model 'A'").identity != made.identity


def test_default_names_are_ignored_and_numbers_matched_in_order(folder: Path, tmp_path: Path) -> None:
    labels = {str(index): f"LABEL_{index}" for index in range(3)}
    path = changed(folder / "vit", tmp_path / "unnamed", "config.json", id2label=labels)
    assert loaded(f"transformers:{path}").output_map.class_outputs is None


REFUSED = {
    "a head that is not in the file": ("transformers:clip", {}, ModelError, "has no weights for classifier"),
    "a classifier": ("clip:vit", {}, ModelError, "expected CLIP, SigLIP"),
    "an option that runs code": (
        "transformers:vit", {"options": {"trust_remote_code": True}}, StudyError, "unknown option 'trust_remote_code'",
    ),
    "a kernel on the hub": (
        "transformers:vit", {"options": {"attn_implementation": "owner/kernel"}}, StudyError, "expected eager or sdpa",
    ),
    "published weights": ("transformers:vit", {"weights": "DEFAULT"}, StudyError, "remove `weights`"),
    "prompts of a classifier": ("transformers:vit", {"prompts": "a {}"}, StudyError, "not a zero-shot model"),
    "a long prompt": ("clip:clip", {"prompts": "a " * 99 + "{}"}, ModelError, "does not encode the prompts"),
}  # fmt: skip


@pytest.mark.parametrize(("architecture", "changes", "error", "said"), REFUSED.values(), ids=REFUSED)
def test_unsuitable_models_are_refused_in_one_line(folder: Path, architecture, changes, error, said: str) -> None:
    source, _, kind = architecture.partition(":")
    with pytest.raises(error, match=said) as refused:
        loaded(f"{source}:{folder / kind}", **changes)
    assert "\n" not in str(refused.value)


def test_pickled_weights_are_not_read(folder: Path, tmp_path: Path) -> None:
    path = changed(folder / "vit", tmp_path / "pickled", "config.json")
    torch.save(load_file(path / "model.safetensors"), path / "pytorch_model.bin")
    (path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be loaded .*safetensors"):
        loaded(f"transformers:{path}")


def test_code_of_a_folder_never_runs(folder: Path, tmp_path: Path) -> None:
    names = {"AutoConfig": "own.Config", "AutoModelForImageClassification": "own.Net", "AutoModel": "own.Net"}
    path = changed(folder / "vit", tmp_path / "own", "config.json", auto_map=names, model_type="own")
    (path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: pass\nclass Net: pass\n")
    for source in ("transformers", "clip"):
        with pytest.raises(ModelError, match="cannot be loaded") as refused:
            loaded(f"{source}:{path}")
        assert "\n" not in str(refused.value)
    assert not (tmp_path / "ran").exists()


def test_a_prompt_needs_a_place_for_the_name() -> None:
    with pytest.raises(ValueError, match="has no {} for the name"):
        model_spec("clip:any", prompts="a photo")
