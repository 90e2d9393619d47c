"""Published weights: their preprocessing and classes, and errors of downloads."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from model_specs import dataset_of, model_spec
from PIL import Image
from torch import nn
from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1

from failmodes.evaluate.models.load import load_model
from failmodes.ingest.datasets.imagenet_classes import imagenet_names
from failmodes.runtime.errors import ModelError, StudyError

VIT = {"img_size": 16, "patch_size": 4, "depth": 1, "embed_dim": 24, "num_heads": 3}


@pytest.fixture
def published(tmp_path, monkeypatch) -> Path:
    """The file that torchvision's weights of SqueezeNet are fetched from, on this machine."""
    torch.manual_seed(0)
    torch.save(squeezenet1_1().state_dict(), tmp_path / "raw.pth")
    digest = hashlib.sha256((tmp_path / "raw.pth").read_bytes()).hexdigest()[:8]
    file = (tmp_path / "raw.pth").rename(tmp_path / f"squeezenet-{digest}.pth")
    monkeypatch.setattr(SqueezeNet1_1_Weights.IMAGENET1K_V1.value, "url", file.as_uri())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return file


def test_published_weights_bring_their_side_normalization_and_classes(published) -> None:
    folders = ("n01440764", "n02099601", "tabby")
    spec = model_spec("squeezenet1_1", weights="DEFAULT")
    model = load_model(spec, dataset_of(224, folders))
    assert model.output_map.class_outputs == [0, 207, 281]
    assert (model.preprocessing.input_side_px, model.output_names) == (224, imagenet_names())
    assert model.preprocessing.normalization.mean == (0.485, 0.456, 0.406)
    assert torch.equal(
        model.module.state_dict()["features.0.weight"], torch.load(published, weights_only=True)["features.0.weight"]
    )
    row = model.row()
    assert (row["checkpoint"], row["training_data"]) == (published.name, "ImageNet-1k")
    assert row["class_names"] == ["tench", "golden retriever", "tabby"]
    with pytest.raises(StudyError, match="no weights 'V9'"):
        load_model(model_spec("squeezenet1_1", weights="V9"), dataset_of(16))


def test_published_weights_that_do_not_come_or_have_another_hash_are_refused(published) -> None:
    file = published.rename(published.with_name("elsewhere.pth"))
    with pytest.raises(ModelError, match=f"put {published.name} from file:.* into .*checkpoints"):
        load_model(model_spec("squeezenet1_1", weights="DEFAULT"), dataset_of(16))
    published.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(ModelError, match="damaged .*hash"):
        load_model(model_spec("squeezenet1_1", weights="DEFAULT"), dataset_of(16))


@pytest.fixture
def offline_timm(monkeypatch, tmp_path):
    """The library, which builds models with random weights instead of downloading them."""
    import timm

    create = timm.create_model

    def without_internet(model_name: str, pretrained: bool, **options: object) -> nn.Module:
        assert pretrained
        torch.manual_seed(0)
        return create(model_name, pretrained=False, **options)

    monkeypatch.setattr("failmodes.evaluate.models.sources.timm.hub_folder", lambda *_: tmp_path)

    monkeypatch.setattr(timm, "create_model", without_internet)
    return timm


@pytest.mark.test_all
def test_timms_weights_bring_their_side_normalization_and_classes(offline_timm) -> None:
    spec = model_spec("timm:vit_tiny_patch16_224", weights="pretrained", options=VIT)
    model = load_model(spec, dataset_of(16, ("n01440764", "tabby")))
    assert (model.output_map.class_outputs, model.preprocessing.input_side_px) == ([0, 281], 16)
    assert model.preprocessing.normalization.mean == (0.5, 0.5, 0.5)
    assert model.checkpoint == "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"


SMALL = {"img_size": 32, "patch_size": 8, "depth": 1, "embed_dim": 24, "num_heads": 3}
OF_TIMM = {  # model, options, size of the images, changes of the configuration (bicubic, crop_pct 0.9)
    "cropped": ("vit_tiny_patch16_224", SMALL, (40, 52), {}),
    "bilinear": (
        "test_resnet",
        {},
        (40, 30),
        {"interpolation": "bilinear", "crop_pct": 0.875, "input_size": (3, 32, 32)},
    ),
    "squashed": ("vit_tiny_patch16_224", SMALL, (40, 52), {"crop_mode": "squash", "crop_pct": 1.0}),
    "with a border": ("vit_tiny_patch16_224", SMALL, (40, 52), {"crop_mode": "border", "crop_pct": 1.0}),
    "of its size": ("vit_tiny_patch16_224", SMALL, (32, 32), {"crop_pct": 1.0}),
    "larger than its input": ("vit_tiny_patch16_224", SMALL, (70, 64), {}),
}


@pytest.mark.test_all
@pytest.mark.parametrize(("name", "options", "size", "config"), OF_TIMM.values(), ids=OF_TIMM)
def test_logits_of_200_images_equal_those_of_timms_own_transform(
    offline_timm, name: str, options: dict, size: tuple[int, int], config: dict, monkeypatch
) -> None:
    built = offline_timm.create_model

    def configured(*args: object, **kwargs: object) -> nn.Module:
        module = built(*args, **kwargs)
        module.pretrained_cfg = module.pretrained_cfg | config
        return module

    monkeypatch.setattr(offline_timm, "create_model", configured)
    images = np.random.default_rng(0).integers(0, 256, (200, *size, 3), dtype=np.uint8)
    dataset = SimpleNamespace(images=images, name="folder", label="photographs", class_names=("n01440764", "tabby"))
    model = load_model(model_spec(f"timm:{name}", weights="pretrained", options=options), dataset)
    model.to(torch.device("cpu"))
    module = configured(name, pretrained=True, **options).eval()
    given = {"img_size": options["img_size"]} if options else {}
    transform = offline_timm.data.create_transform(**offline_timm.data.resolve_model_data_config(module, given))
    with torch.no_grad():
        expected = module(torch.stack([transform(Image.fromarray(image)) for image in images]))
    torch.testing.assert_close(
        model.predict(images), expected[:, [0, 281, *model.output_map.competing]], rtol=0, atol=1e-5
    )
    said = model.assumptions(images.shape[1:])["input"]
    assert said.startswith(f"corrupted at {size[1]}×{size[0]} px, then resized and cropped by timm to ")


@pytest.mark.test_all
def test_a_study_may_replace_timms_preprocessing_and_says_so(offline_timm) -> None:
    def loaded(**changes):
        changes = {"weights": "pretrained", "options": SMALL} | changes
        return load_model(model_spec("timm:vit_tiny_patch16_224", **changes), dataset_of(40, ("n01440764", "tabby")))

    plain, sized, normalized = loaded(), loaded(input_side_px=32), loaded(normalization="imagenet")
    assert len({model.model_id for model in (plain, sized, normalized)}) == 3
    assert sized.preprocessing.resize is None
    assert normalized.preprocessing.resize is not None
    instead = (
        "set in the study instead of: resized and cropped by timm to 32×32 px (bicubic, crop_pct 0.9, center crop)"
    )
    assert [instead in model.assumptions()["input"] for model in (plain, sized, normalized)] == [False, True, True]
