"""Loading: containers and prefixes, what travels with a network, and refusal before the first batch."""

import functools
import hashlib
import http.server
import importlib
import json
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1

from failmodes.evaluate.models.architectures import ARCHITECTURES
from failmodes.evaluate.models.build import build_module
from failmodes.evaluate.models.checkpoints import load_checkpoint, save_checkpoint
from failmodes.evaluate.models.class_mapping import imagenet_names
from failmodes.evaluate.models.loading import check_model_outputs, load_model
from failmodes.evaluate.models.state_dicts import read_tensors, strip_prefix
from failmodes.evaluate.study.study_schema import ModelSpec, Normalisation
from failmodes.warehouse.errors import ModelError
from failmodes.warehouse.schema import MODELS

NEUTRAL = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}

OTHER = {"mean": [0.1, 0.2, 0.3], "std": [1.0, 1.0, 1.0]}

CLASSES = ("a", "b", "c")

VIT = {"img_size": 16, "patch_size": 4, "depth": 1, "embed_dim": 24, "num_heads": 3}

USER_MODULE = """
import torch
from torch import nn
class Net(nn.Module):
    normalisation = {"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1]}
    input_side_px = 8
    def __init__(self, num_classes=3):
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, num_classes)
    def forward(self, x):
        return self.fc(self.bn(self.conv(x)).mean((2, 3)))
class Named(Net):
    class_names = ["c", "a", "b", "d"]
    def __init__(self): super().__init__(4)
class Silent(Net):
    normalisation = input_side_px = None
class Wrong(Net):
    normalisation = {"mean": 0.5}
class Layer(Silent):
    def __init__(self):
        super().__init__()
        self.normalisation = nn.Identity()
class Many(Silent):
    def __init__(self): super().__init__(1000)
class Maps(Silent):
    def forward(self, x): return x
class Both(Silent):
    def forward(self, x): return super().forward(x), x
"""


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    name = f"loaded_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(USER_MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield name
    sys.modules.pop(name, None)


def dataset_of(side: int, class_names: tuple[str, ...] = CLASSES) -> SimpleNamespace:
    return SimpleNamespace(images=np.zeros((2, side, side, 3), np.uint8), label="photographs", class_names=class_names)


def spec_of(architecture: str, **changes) -> ModelSpec:
    return ModelSpec(**({"label": "A", "architecture": architecture} | changes))


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Linear(4, 3)))


def prefixed(prefix: str, keep: str = "-") -> dict[str, torch.Tensor]:
    return {(n if n.startswith(keep) else prefix + n): t for n, t in small().state_dict().items()}


CONTAINERS = {
    "bare": lambda t: t,
    "state_dict": lambda t: {"epoch": 3, "state_dict": t},
    "model": lambda t: {"model": t, "optimizer": {"state": {}}},
    "model_state_dict": lambda t: {"model_state_dict": t},
    "net": lambda t: {"net": t, "acc": 0.5},
    "params": lambda t: {"params": t},
    "a container in a container": lambda t: {"state_dict": {"model": t}},
    "averaged alone": lambda t: {"state_dict_ema": t},
    "averaged beside": lambda t: {"state_dict": t, "state_dict_ema": {n: v + 1 for n, v in t.items()}},
}

PREFIXES = {
    "none": ("", "-", ""),
    "data parallel": ("module.", "-", "module."),
    "compiled": ("_orig_mod.", "-", "_orig_mod."),
    "nested": ("module._orig_mod.", "-", "module._orig_mod."),
    "of somebody's own": ("classifier_v2.", "-", "classifier_v2."),
    "on some only": ("backbone.", "2.", "backbone."),
}


@pytest.mark.parametrize("case", CONTAINERS)
def test_tensors_are_found_in_their_usual_containers(case: str, tmp_path) -> None:
    tensors = small().state_dict()
    torch.save(CONTAINERS[case](tensors), tmp_path / "a.pt")
    found, _ = read_tensors(tmp_path / "a.pt")
    assert list(found) == list(tensors)
    assert all(torch.equal(found[n], tensors[n]) for n in tensors)


def test_two_containers_are_not_chosen_between(tmp_path) -> None:
    torch.save({"model": small().state_dict(), "net": small().state_dict()}, tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"a\.pt holds model and net: save the state_dict that is meant"):
        read_tensors(tmp_path / "a.pt")


@pytest.mark.parametrize("case", PREFIXES)
def test_a_prefix_is_stripped_where_names_then_fit(case: str) -> None:
    prefix, keep, expected = PREFIXES[case]
    renamed = strip_prefix(prefixed(prefix, keep), small())
    assert renamed.prefix == expected
    assert renamed.tensors.keys() == small().state_dict().keys()


def test_a_shared_first_part_that_belongs_to_the_names_stays() -> None:
    module = nn.Module()
    module.model = small()
    assert strip_prefix(module.state_dict(), module).prefix == ""


LOADED = {
    "safetensors with what it says": ("safetensors", {}, {}, ""),
    "prefixed, in a container": ("pt", {"normalisation": NEUTRAL}, {}, "module."),
    "without counts of batches": ("pt", {"normalisation": NEUTRAL}, {"drop": "num_batches_tracked"}, ""),
}


@pytest.mark.parametrize("case", LOADED)
@pytest.mark.parametrize("architecture", ["torchvision:mobilenet_v3_small", "timm:vit_tiny_patch16_224", "MODULE:Net"])
def test_a_checkpoint_gives_the_same_logits(case: str, architecture: str, user_module: str, tmp_path) -> None:
    kind, keys, changes, prefix = LOADED[case]
    if architecture.startswith("timm"):
        pytest.importorskip("timm")
        keys = keys | {"options": VIT}
    spec = spec_of(architecture.replace("MODULE", user_module), checkpoint=tmp_path / f"a.{kind}", **keys)
    torch.manual_seed(1)
    module = build_module(spec, 3).eval()
    if kind == "pt":
        dropped = changes.get("drop", "-")
        tensors = {prefix + n: t for n, t in module.state_dict().items() if not n.endswith(dropped)}
        torch.save({"state_dict": tensors}, spec.checkpoint)
    else:
        save_checkpoint(spec.checkpoint, module, {"normalisation": json.dumps(NEUTRAL), "input_side_px": "16"})
    model = load_model(spec, CLASSES, spec.checkpoint)
    assert model.prefix == prefix
    assert model.normalisation == Normalisation.model_validate(NEUTRAL)
    check_model_outputs(model, dataset_of(16 if model.input_side_px is None else model.input_side_px))
    images = torch.rand(2, 3, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(model.module(images), module(images))


HEADS = {
    "unknown names": ({}, "a.pt has 5 outputs, but the data set has 3 classes"),
    "fewer names": ({"class_names": ["a", "b", "c"]}, "a.pt has 5 outputs, but 3 class names are given"),
    "another network": (
        {"architecture": "mobilenet_v3_large"},
        r"a.pt does not fit mobilenet_v3_large: features.* instead",
    ),
    "another option": ({"options": {"width_mult": 0.5}}, "does not fit .* with options .*width_mult.*: features"),
}


@pytest.mark.parametrize("case", HEADS)
def test_a_checkpoint_of_other_outputs_or_another_network_is_refused(case: str, tmp_path) -> None:
    changes, message = HEADS[case]
    spec = spec_of("mobilenet_v3_small", checkpoint=tmp_path / "a.pt", normalisation=NEUTRAL)
    torch.save(build_module(spec, 5).state_dict(), spec.checkpoint)
    changed = ModelSpec.model_validate(spec.model_dump(exclude_unset=True) | changes)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(changed, CLASSES, spec.checkpoint)
    assert "\n" not in str(caught.value)
    named = spec.model_copy(update={"class_names": ["x", "c", "y", "b", "a"]})
    assert load_model(named, CLASSES, spec.checkpoint).outputs == [4, 3, 1]


@pytest.fixture
def four_outputs(tmp_path):
    module = ARCHITECTURES["resnet18"].build(4, 8)
    metadata = {"architecture": "resnet18", "normalisation": json.dumps(NEUTRAL)}
    metadata["class_names"] = json.dumps(["c", "a", "b", "d"])
    save_checkpoint(tmp_path / "four.safetensors", module, metadata)
    return tmp_path / "four.safetensors", module


def test_outputs_are_chosen_by_the_names_that_travel_with_the_file(four_outputs) -> None:
    path, module = four_outputs
    spec = spec_of("resnet18", width=8, checkpoint=path)
    model = load_checkpoint(path, spec, CLASSES)
    assert model.outputs == [1, 2, 0]
    check_model_outputs(model, dataset_of(16))
    images = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8)
    with torch.inference_mode():
        own = module.eval()((images.permute(0, 3, 1, 2) / 255 - 0.5) / 0.25)
    torch.testing.assert_close(model.network(torch.device("cpu"), "float32").predict(images), own[:, [1, 2, 0]])
    row = model.row()
    assert row.keys() == {column.name for column in MODELS.columns}
    assert (row["class_count"], row["class_names"], row["class_outputs"]) == (3, ["a", "b", "c"], [1, 2, 0])
    assert row["variant"] == "small: width 8 instead of 64; 3 of 4 outputs"
    assert "3 classes on 3 of 4 outputs (a = 1, b = 2, c = 0)" in model.words()
    other = load_checkpoint(path, spec.model_copy(update={"class_map": {"a": 3}}), CLASSES)
    assert other.outputs == [3, 2, 0]
    assert other.model_id() != model.model_id()


def test_the_studys_word_goes_before_the_files(four_outputs) -> None:
    path, _ = four_outputs
    spec = spec_of("resnet18", width=8, checkpoint=path, normalisation=OTHER, class_names=["a", "b", "c", "d"])
    model = load_checkpoint(path, spec, CLASSES)
    assert model.normalisation == Normalisation.model_validate(OTHER)
    assert model.outputs == [0, 1, 2]


METADATA = {
    "no normalisation": ({"normalisation": "0.5"}, "four.safetensors states a normalisation that is none: 0.5"),
    "names in words": ({"class_names": "a, b, c, d"}, "states class_names that is none: 'a, b, c, d'; expected a list"),
    "no side": ({"input_side_px": "wide"}, "states input_side_px that is none: 'wide'; .*say `input_side_px` in the"),
}


@pytest.mark.parametrize("case", METADATA)
def test_metadata_that_says_nothing_of_use_is_refused_unless_the_study_says_it(case: str, four_outputs) -> None:
    path, module = four_outputs
    changed, message = METADATA[case]
    whole = {"normalisation": json.dumps(NEUTRAL), "class_names": json.dumps(["c", "a", "b", "d"])}
    save_checkpoint(path, module, whole | changed)
    spec = spec_of("resnet18", width=8, checkpoint=path)
    with pytest.raises(ModelError, match=message):
        load_checkpoint(path, spec, CLASSES)
    said = {"normalisation": Normalisation.model_validate(NEUTRAL), "class_names": ["a", "b", "c", "d"]}
    said["input_side_px"] = 16
    assert load_checkpoint(path, spec.model_copy(update=said), CLASSES).outputs == [0, 1, 2]


# of the project's first version, all tensors filled with ones: what is stored under them must be found again
FIRST_IDS = {
    ("resnet18", None): "97a51cf2d48935ce",
    ("resnet18", 12): "4e91d7756122c23f",
    ("densenet121", None): "329688589baf0f1d",
    ("densenet121", 12): "147bcfae7d22fc36",
}


@pytest.mark.parametrize("case", FIRST_IDS, ids=str)
def test_identities_of_our_networks_stay_what_they_were(case: tuple[str, int | None], tmp_path) -> None:
    architecture, side = case
    module = ARCHITECTURES[architecture].build(3, 8)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.fill_(1)
    path = tmp_path / "a.safetensors"
    metadata = {"architecture": architecture, "normalisation": json.dumps(NEUTRAL)}
    save_checkpoint(path, module, metadata)
    spec = spec_of(architecture, width=8, checkpoint=path, input_side_px=side)
    assert load_checkpoint(path, spec, CLASSES).model_id() == FIRST_IDS[case]
    for augmentation, differs in (("standard", False), ("augmix", True)):
        save_checkpoint(path, module, metadata | {"recipe": json.dumps({"augmentation": augmentation})})
        assert (load_checkpoint(path, spec, CLASSES).model_id() != FIRST_IDS[case]) == differs


def test_a_users_network_says_its_own_normalisation_side_and_classes(user_module: str) -> None:
    model = load_model(spec_of(f"{user_module}:Named"), CLASSES)
    assert (model.outputs, model.input_side_px) == ([1, 2, 0], 8)
    assert model.normalisation == Normalisation.model_validate(OTHER)
    check_model_outputs(model, dataset_of(8))
    assert model.row()["family"] == "named"
    again = load_model(spec_of(f"{user_module}:Named"), CLASSES)
    assert again.model_id() == model.model_id()  # weights drawn at random are the same every time


UNFIT = {
    "no normalisation": ("Silent", {}, "Silent does not say how its inputs were normalised.*mean = "),
    "a layer called normalisation": ("Layer", {}, "Layer does not say how its inputs were normalised"),
    "a normalisation that is none": ("Wrong", {}, "Wrong states a normalisation that is none.*mean and std of three"),
    "another side": ("Net", {}, r"expects images of 8×8 px, .* are 16×16: set `input_side_px = 8`.*image_size = 8"),
    "two outputs of a name": ("Net", {"input_side_px": 8, "class_names": ["a", "a"]}, "'a' matches outputs 0 "),
    "more outputs": ("Many", {"normalisation": NEUTRAL}, '1000 outputs, .* 3 classes: say `class_names = "imag'),
    "fewer outputs than said": (
        "Silent", {"normalisation": NEUTRAL, "class_map": {"a": 7, "b": 1, "c": 2}}, "the output 7, but .* 0 to 2",
    ),
    "no logits": ("Maps", {"normalisation": NEUTRAL}, r"gives \(1, 3, 16, 16\) for one image: expected logits"),
    "two results": ("Both", {"normalisation": NEUTRAL}, "gives tuple for one image"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNFIT)
def test_a_users_network_that_does_not_fit_is_refused_before_the_first_batch(case: str, user_module: str) -> None:
    function, changes, message = UNFIT[case]
    with pytest.raises(ModelError, match=message) as caught:
        check_model_outputs(load_model(spec_of(f"{user_module}:{function}", **changes), CLASSES), dataset_of(16))
    assert "\n" not in str(caught.value)


def test_a_side_that_a_transformer_cannot_take_is_named(tmp_path) -> None:
    pytest.importorskip("timm")
    spec = spec_of(
        "timm:vit_tiny_patch16_224", options=VIT, checkpoint=tmp_path / "a.pt", normalisation=NEUTRAL, label="ViT"
    )
    torch.save(build_module(spec, 3).state_dict(), spec.checkpoint)
    model = load_model(spec, CLASSES, spec.checkpoint)
    check_model_outputs(model, dataset_of(16))
    with pytest.raises(ModelError, match=r"'ViT' .*cannot take images of 20×20 px: .*input_side_px"):
        check_model_outputs(model, dataset_of(20))
    resized = spec.model_copy(update={"input_side_px": 16})
    check_model_outputs(load_model(resized, CLASSES, spec.checkpoint), dataset_of(20))
    assert model.row()["variant"].startswith("img_size 16, patch_size 4, depth 1")


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Torchvision's weights of SqueezeNet, published by a server on this machine; gives the file it publishes."""
    served = tmp_path / "served"
    served.mkdir()
    torch.manual_seed(0)
    torch.save(squeezenet1_1().state_dict(), served / "raw.pth")
    digest = hashlib.sha256((served / "raw.pth").read_bytes()).hexdigest()[:8]
    file = (served / "raw.pth").rename(served / f"squeezenet-{digest}.pth")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(served)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    weights = SqueezeNet1_1_Weights.IMAGENET1K_V1
    monkeypatch.setattr(weights.value, "url", f"http://127.0.0.1:{server.server_port}/{file.name}")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    yield file
    server.shutdown()
    server.server_close()


def test_published_weights_bring_their_side_normalisation_and_classes(published, tmp_path, capsys) -> None:
    folders = ("n01440764", "n02099601", "tabby")
    model = load_model(spec_of("squeezenet1_1", weights="DEFAULT"), folders)
    assert model.outputs == [0, 207, 281]
    assert (model.input_side_px, model.output_names) == (224, imagenet_names())
    assert model.normalisation.mean == (0.485, 0.456, 0.406)
    assert torch.equal(
        model.module.state_dict()["features.0.weight"], torch.load(published, weights_only=True)["features.0.weight"]
    )
    with pytest.raises(ModelError, match="expects images of 224×224 px"):
        check_model_outputs(model, dataset_of(32, folders))
    row = model.row()
    assert (row["family"], row["variant"]) == ("squeezenet", "3 of 1,000 outputs")
    assert (row["checkpoint"], row["training_data"]) == (published.name, "ImageNet-1k")
    assert row["class_names"] == ["tench", "golden retriever", "tabby"]
    assert "\n" not in model.words()
    assert capsys.readouterr().out == ""
    resized = load_model(spec_of("squeezenet1_1", weights="DEFAULT", input_side_px=32), folders)
    check_model_outputs(resized, dataset_of(16, folders))
    assert resized.model_id() != model.model_id()


def test_published_weights_that_do_not_come_say_which_file_goes_where(published, tmp_path) -> None:
    file = published.rename(published.with_name("elsewhere.pth"))
    with pytest.raises(ModelError, match=f"cannot be fetched.*put {published.name} from http.* into .*checkpoints"):
        load_model(spec_of("squeezenet1_1", weights="DEFAULT"), CLASSES)
    (tmp_path / "home" / "hub" / "checkpoints").mkdir(parents=True, exist_ok=True)
    file.rename(tmp_path / "home" / "hub" / "checkpoints" / published.name)
    spec = spec_of("squeezenet1_1", weights="DEFAULT", class_map=dict(zip(CLASSES, (1, 2, 3), strict=True)))
    assert load_model(spec, CLASSES).outputs == [1, 2, 3]


def test_published_weights_with_another_hash_are_refused(published) -> None:
    published.write_bytes(published.read_bytes() + b"x")
    with pytest.raises(ModelError, match="damaged .*invalid hash value"):
        load_model(spec_of("squeezenet1_1", weights="DEFAULT"), CLASSES)


def test_weights_that_are_none_of_theirs_are_listed() -> None:
    with pytest.raises(ModelError, match="no weights 'V9': choose from IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT"):
        load_model(spec_of("resnet50", weights="V9"), CLASSES)
    with pytest.raises(ModelError, match="no weights 'IMAGENET1K_FEATURES'"):  # they have no classifier
        load_model(spec_of("vgg16", weights="IMAGENET1K_FEATURES"), CLASSES)


@pytest.mark.parametrize("architecture", ["timm:hf-hub:owner/name", "timm:resnet18.a1_in1k"])
def test_a_hub_out_of_reach_is_one_line(architecture: str, monkeypatch, tmp_path) -> None:
    pytest.importorskip("timm")
    constants = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="cannot be built with its published weights .*give the file as") as caught:
        load_model(spec_of(architecture, weights="pretrained"), CLASSES)
    assert "\n" not in str(caught.value)


def test_timms_weights_bring_their_side_normalisation_and_classes(monkeypatch) -> None:
    timm = pytest.importorskip("timm")
    create = timm.create_model

    def without_network(name: str, pretrained: bool, **options: object) -> nn.Module:
        assert pretrained
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", without_network)
    model = load_model(spec_of("timm:vit_tiny_patch16_224", weights="pretrained", options=VIT), ("n01440764", "tabby"))
    assert (model.outputs, model.input_side_px) == ([0, 281], 16)
    assert model.normalisation.mean == (0.5, 0.5, 0.5)
    assert model.checkpoint == "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    check_model_outputs(model, dataset_of(16, ("n01440764", "tabby")))
