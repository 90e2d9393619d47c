"""Models that a study names: checkpoints of every layout, models of libraries and hubs, programs, own code."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import network_files
import small_nets
from image_files import scenes, write_class_folders
from network_files import NAMES
from pixel_studies import model_answers
from side import Side

COUNTED = {"rows": 7811, "values": 2464, "sentences": 736, "files": 78, "exits": 15}

STUDY = """name = "{name}"
output = "{name}"
[dataset]
kind = "folder"
path = "{{inputs}}/{images}"
image_size = 32
resize = 36
[corruptions]
names = ["fog"]
severities = [4]
[evaluation]
device = "cpu"
{evaluation}
"""


def of(architecture: str, *keys: str, file: str = "") -> str:
    """The keys of a model, with its checkpoint among the inputs if it has one."""
    checkpoint = [f'checkpoint = "{{inputs}}/{file}"'] if file else []
    return "\n".join([f'architecture = "{architecture}"', *keys, *checkpoint, ""])


HALF = "normalization = { mean = [0.5, 0.4, 0.3], std = [0.2, 0.3, 0.4] }"
TOLD = 'normalization = "cifar10"\ntraining_seed = 5\nattention_layer = "layer3"'
LIBRARY = 'normalization = "imagenet"'
WIDTH = "width = 8"
FIVE = 'class_names = ["ant", "tench", "bee", "hen", "goldfish"]'
IMAGENET = 'class_names = "imagenet-1k"'
SUBSET = 'classes = "subset"'
PROBABILITIES = 'output_kind = "probabilities"'
TIMM, VIT, CLIP = "timm:test_vit.r160_in1k", "transformers:{inputs}/vit", "clip:{inputs}/clip"
PUBLISHED = 'weights = "pretrained"'
GRAPHS = ("nchw", "nhwc", "fixed", "softmax", "external", "half")
CODE = ("Flat", "Branches", "NoMap", "Object", "vision_transformer", "swin_transformer", "convnext", "loaded")
METHODS = (
    "none", "closed-form", "backward", "gradcam++", "hirescam", "xgradcam", "gradcamelementwise", "layercam",
    "eigencam", "eigengradcam", "scorecam",
)  # fmt: skip
STUDIES = {  # the keys of each model
    "checkpoints": {
        "stated": of("resnet18", WIDTH, file="resnet.safetensors"),
        "told": of("resnet18", WIDTH, TOLD, file="resnet.safetensors"),
        "state": of("resnet18", WIDTH, HALF, file="resnet.pt"),
        "old format": of("resnet18", WIDTH, HALF, file="resnet-old.pth"),
        "Lightning": of("resnet18", WIDTH, HALF, file="resnet-lightning.ckpt"),
        "parallel": of("resnet18", WIDTH, HALF, file="resnet-parallel.pt"),
        "averaged": of("resnet18", WIDTH, HALF, 'checkpoint_key = "state_dict_ema"', file="resnet-averaged.pt"),
        "not averaged": of("resnet18", WIDTH, HALF, file="resnet-averaged.pt"),
        "float16": of("resnet18", WIDTH, HALF, file="resnet-half.safetensors"),
        "five outputs": of("resnet18", WIDTH, HALF, FIVE, file="resnet-five.pt"),
        "five outputs, subset": of("resnet18", WIDTH, HALF, FIVE, SUBSET, file="resnet-five.pt"),
        "five outputs, mapped": of(
            "resnet18", WIDTH, HALF, "class_map = { goldfish = 4, hen = 0, tench = 1 }", file="resnet-five.pt"
        ),
        "Net, seed 3": of("resnet18", WIDTH, HALF, file="resnet-three.pt"),
    },
    "libraries": {
        "DenseNet-121": of("densenet121", WIDTH, file="densenet.safetensors"),
        "ShuffleNet": of("torchvision:shufflenet_v2_x0_5", LIBRARY, file="shufflenet.pt"),
        "SqueezeNet": of("torchvision:squeezenet1_1", LIBRARY, "input_side_px = 64", file="squeezenet.pt"),
        "MobileNet": of("mobilenet_v3_small", LIBRARY, file="mobilenet.pt"),
        "ResNet-18": of("torchvision:resnet18", 'stem = "cifar"', 'normalization = "cifar100"', file="stem.pt"),
        "own code": of("small_nets:Plain", HALF, file="plain.pt"),
        **{
            f"timm {name}": of(f"timm:test_{name}", HALF, "input_side_px = 64", file=f"timm-{name}.safetensors")
            for name in network_files.TIMM
        },
        "timm, options": of(
            "test_vit", HALF, "options = { img_size = 48 }", "input_side_px = 48", file="timm-vit.safetensors"
        ),
    },
    "hubs": {
        "timm": of(TIMM, PUBLISHED),
        "timm, told": of(TIMM, PUBLISHED, SUBSET, "input_side_px = 160", 'normalization = "none"'),
        "timm, hub": of("timm:hf-hub:owner/net"),
        **{f"transformers {kind}": of(f"transformers:{{inputs}}/{kind}") for kind in network_files.CLASSIFIERS},
        "transformers, told": of(VIT, LIBRARY, "input_side_px = 16"),
        "CLIP": of(CLIP),
        "CLIP, prompts": of(CLIP, 'prompts = ["a photo of a {}", "a sketch of the {}"]'),
        "CLIP, names": of(
            CLIP, 'class_names = ["hen", "photo", "sketch"]', 'class_map = { goldfish = "photo", tench = "sketch" }'
        ),
        "SigLIP": of("clip:{inputs}/siglip", 'prompts = "a photo of the {}"'),
        "OpenCLIP": of("open_clip:{inputs}/open_clip"),
    },
    "programs": {
        **{f"ONNX {kind}": of(f"onnx:{{inputs}}/{kind}.onnx", HALF) for kind in GRAPHS},
        "ONNX several": of("onnx:{inputs}/several.onnx", HALF, 'output_key = "scores"'),
        "ONNX pixels": of("onnx:{inputs}/pixels.onnx"),
        "exported": of("export:{inputs}/net.pt2", HALF, FIVE),
        "exported, half": of("export:{inputs}/half.pt2", HALF),
    },
    "code": {
        **{name: of(f"small_nets:{name}", HALF) for name in CODE},
        "Stated": of("small_nets:Stated"),
        "Mapping": of("small_nets:Mapping", HALF, 'output_key = "scores"'),
        "Tuple": of("small_nets:Tuple", HALF, 'output_key = "1"'),
        "Soft": of("small_nets:Soft", HALF, PROBABILITIES),
        "options": of("small_nets:Plain", HALF, "options = { seed = 4 }", "input_side_px = 20"),
        "ImageNet": of("small_nets:Imagenet", IMAGENET, 'normalization = "clip"'),
        "ImageNet, subset": of("small_nets:Imagenet", IMAGENET, SUBSET, 'normalization = "inception"'),
    },
    "methods": {
        **{
            method: of("small_nets:Plain", HALF, f"options = {{ seed = {seed} }}", f'attention = "{method}"')
            for seed, method in enumerate(METHODS)
        },
        "layer": of(
            "small_nets:Plain", HALF, 'attention = "backward"', 'attention_layer = "conv1"', "options = { seed = 20 }"
        ),
    },
}
BINARY = {
    "one logit": of("small_nets:One", HALF),
    "one probability": of("small_nets:OneSoft", HALF, PROBABILITIES),
    "one of goldfish": of("small_nets:One", HALF, 'class_names = ["hen", "goldfish"]'),
    "ONNX logit": of("onnx:{inputs}/one.onnx", HALF),
    "ONNX sigmoid": of("onnx:{inputs}/sigmoid.onnx", HALF, PROBABILITIES),
    "two": of("small_nets:Plain", HALF),
}
PRECISE = {name: STUDIES["code"][name] for name in ("Flat", "Stated", "Soft", "convnext")}
PRECISE["ONNX"] = STUDIES["programs"]["ONNX nchw"]


def inputs(folder: Path) -> None:
    write_class_folders(folder / "images", scenes(15, 36, 40, seed=40), NAMES * 5)
    write_class_folders(folder / "two", scenes(10, 36, 40, seed=41), NAMES[:2] * 5)
    network_files.write_checkpoints(folder)
    network_files.write_hub_models(folder)
    network_files.write_programs(folder)


def run(side: Side) -> None:
    shutil.copy(Path(small_nets.__file__), side.work)
    shutil.copytree(side.inputs / "hub", side.work / "hub")
    os.environ["HF_HOME"] = str(side.work / "hub")
    for name, models in STUDIES.items():
        study = write_study(side, name, models)
        side.command(f"{name}.evaluate", "evaluate", study, "--json")
        side.command(f"{name}.load", "load", study)
        model_answers(side, name)
    for name, models, images, evaluation in (
        ("binary", BINARY, "two", ""),
        ("bfloat16", PRECISE, "images", 'precision = "bfloat16"'),
        ("float16", PRECISE, "images", 'precision = "float16"\nlogits = "all"'),
    ):
        study = write_study(side, name, models, images=images, evaluation=evaluation)
        side.python(f"{name}.run", lambda study=study: run_here(study))
        model_answers(side, name)


def write_study(
    side: Side, name: str, models: Mapping[str, str], *, images: str = "images", evaluation: str = ""
) -> str:
    """Write a study with these models; the name of its file."""
    text = STUDY.format(name=name, images=images, evaluation=evaluation)
    text += "".join(f'[[models]]\nlabel = "{label}"\n{keys}' for label, keys in models.items())
    (side.work / f"{name}.toml").write_text(text.replace("{inputs}", str(side.inputs)))
    return f"{name}.toml"


def run_here(study: str) -> str:
    import failmodes

    return failmodes.run(study).path.name
