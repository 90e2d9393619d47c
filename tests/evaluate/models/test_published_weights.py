"""Published weights: their preprocessing and classes, and errors of downloads."""

import hashlib
from pathlib import Path

import pytest
import torch
from model_specs import dataset_of, model_spec
from torch import nn
from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1

from failmodes.evaluate.models.load import load_model
from failmodes.ingest.datasets.imagenet_classes import imagenet_names
from failmodes.warehouse.errors import ModelError, StudyError

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
    assert model.class_outputs == [0, 207, 281]
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


def test_timms_weights_bring_their_side_normalization_and_classes(monkeypatch) -> None:
    timm = pytest.importorskip("timm")
    create = timm.create_model

    def without_internet(name: str, pretrained: bool, **options: object) -> nn.Module:
        assert pretrained
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", without_internet)
    spec = model_spec("timm:vit_tiny_patch16_224", weights="pretrained", options=VIT)
    model = load_model(spec, dataset_of(16, ("n01440764", "tabby")))
    assert (model.class_outputs, model.preprocessing.input_side_px) == ([0, 281], 16)
    assert model.preprocessing.normalization.mean == (0.5, 0.5, 0.5)
    assert model.checkpoint == "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"
