"""Models that a study names: built-in ones, checkpoints of every layout, torchvision, timm, transformers, CLIP, ONNX …"""

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
HALF = "normalization = { mean = [0.5, 0.4, 0.3], std = [0.2, 0.3, 0.4] }\n"
RESNET = 'architecture = "resnet18"\nwidth = 8\n'
FIVE = 'class_names = ["ant", "tench", "bee", "hen", "goldfish"]\n'
TIMM = 'architecture = "timm:test_vit.r160_in1k"\nweights = "pretrained"\n'
VIT, CLIP = 'architecture = "transformers:{inputs}/vit"\n', 'architecture = "clip:{inputs}/clip"\n'
PROMPTS = 'prompts = ["a photo of a {}", "a sketch of the {}"]\n'
PLAIN = f'architecture = "small_nets:Plain"\n{HALF}'
IMAGENET = 'architecture = "small_nets:Imagenet"\nclass_names = "imagenet-1k"\n'
LIBRARY = "normalization = \"imagenet\"\n"
GRAPHS = ("nchw", "nhwc", "fixed", "softmax", "external", "half")
CODE = ("Flat", "Branches", "NoMap", "Object", "vision_transformer", "swin_transformer", "convnext", "loaded")
METHODS = (
    "none", "closed-form", "backward", "gradcam++", "hirescam", "xgradcam", "gradcamelementwise", "layercam", "eigencam",
    "eigengradcam", "scorecam",
)  # fmt: skip


def of_file(keys: str, file: str) -> str:
    """The keys of a model with a checkpoint."""
    return f'{keys}checkpoint = "{{inputs}}/{file}"\n'


STUDIES = {  # the keys of each model
    "checkpoints": {
        "stated": of_file(RESNET, "resnet.safetensors"),
        "told": of_file(
            f'{RESNET}normalization = "cifar10"\ntraining_seed = 5\nattention_layer = "layer3"\n', "resnet.safetensors"
        ),
        "state": of_file(f"{RESNET}{HALF}", "resnet.pt"),
        "old format": of_file(f"{RESNET}{HALF}", "resnet-old.pth"),
        "Lightning": of_file(f"{RESNET}{HALF}", "resnet-lightning.ckpt"),
        "parallel": of_file(f"{RESNET}{HALF}", "resnet-parallel.pt"),
        "averaged": of_file(f'{RESNET}{HALF}checkpoint_key = "state_dict_ema"\n', "resnet-averaged.pt"),
        "not averaged": of_file(f"{RESNET}{HALF}", "resnet-averaged.pt"),
        "float16": of_file(f"{RESNET}{HALF}", "resnet-half.safetensors"),
        "five outputs": of_file(f"{RESNET}{HALF}{FIVE}", "resnet-five.pt"),
        "five outputs, subset": of_file(f'{RESNET}{HALF}{FIVE}classes = "subset"\n', "resnet-five.pt"),
        "five outputs, mapped": of_file(
            f"{RESNET}{HALF}class_map = {{ goldfish = 4, hen = 0, tench = 1 }}\n", "resnet-five.pt"
        ),
        "Net, seed 3": of_file(f"{RESNET}{HALF}", "resnet-three.pt"),
    },
    "libraries": {
        "DenseNet-121": of_file('architecture = "densenet121"\nwidth = 8\n', "densenet.safetensors"),
        "ShuffleNet": of_file(f'architecture = "torchvision:shufflenet_v2_x0_5"\n{LIBRARY}', "shufflenet.pt"),
        "SqueezeNet": of_file(f'architecture = "torchvision:squeezenet1_1"\n{LIBRARY}input_side_px = 64\n', "squeezenet.pt"),
        "MobileNet": of_file(f'architecture = "mobilenet_v3_small"\n{LIBRARY}', "mobilenet.pt"),
        "ResNet-18": of_file(
            'architecture = "torchvision:resnet18"\nstem = "cifar"\nnormalization = "cifar100"\n', "stem.pt"
        ),
        "own code": of_file(PLAIN, "plain.pt"),
        **{
            f"timm {name}": of_file(
                f'architecture = "timm:test_{name}"\n{HALF}input_side_px = 64\n', f"timm-{name}.safetensors"
            )
            for name in network_files.TIMM
        },
        "timm, options": of_file(
            f'architecture = "test_vit"\noptions = {{ img_size = 48 }}\n{HALF}input_side_px = 48\n', "timm-vit.safetensors"
        ),
    },
    "hubs": {
        "timm": TIMM,
        "timm, told": f'{TIMM}classes = "subset"\ninput_side_px = 160\nnormalization = "none"\n',
        "timm, hub": 'architecture = "timm:hf-hub:owner/net"\n',
        **{f"transformers {kind}": f'architecture = "transformers:{{inputs}}/{kind}"\n' for kind in network_files.CLASSIFIERS},
        "transformers, told": f'{VIT}normalization = "imagenet"\ninput_side_px = 16\n',
        "CLIP": CLIP,
        "CLIP, prompts": f"{CLIP}{PROMPTS}",
        "CLIP, names": f'{CLIP}class_names = ["hen", "photo", "sketch"]\n'
        'class_map = { goldfish = "photo", tench = "sketch" }\n',
        "SigLIP": 'architecture = "clip:{inputs}/siglip"\nprompts = "a photo of the {}"\n',
        "OpenCLIP": 'architecture = "open_clip:{inputs}/open_clip"\n',
    },
    "programs": {
        **{f"ONNX {kind}": f'architecture = "onnx:{{inputs}}/{kind}.onnx"\n{HALF}' for kind in GRAPHS},
        "ONNX several": f'architecture = "onnx:{{inputs}}/several.onnx"\n{HALF}output_key = "scores"\n',
        "ONNX pixels": 'architecture = "onnx:{inputs}/pixels.onnx"\n',
        "exported": f'architecture = "export:{{inputs}}/net.pt2"\n{HALF}{FIVE}',
        "exported, half": f'architecture = "export:{{inputs}}/half.pt2"\n{HALF}',
    },
    "code": {
        **{name: f'architecture = "small_nets:{name}"\n{HALF}' for name in CODE},
        "Stated": 'architecture = "small_nets:Stated"\n',
        "Mapping": f'architecture = "small_nets:Mapping"\n{HALF}output_key = "scores"\n',
        "Tuple": f'architecture = "small_nets:Tuple"\n{HALF}output_key = "1"\n',
        "Soft": f'architecture = "small_nets:Soft"\n{HALF}output_kind = "probabilities"\n',
        "options": f"{PLAIN}options = {{ seed = 4 }}\ninput_side_px = 20\n",
        "ImageNet": f'{IMAGENET}normalization = "clip"\n',
        "ImageNet, subset": f'{IMAGENET}normalization = "inception"\nclasses = "subset"\n',
    },
    "methods": {
        **{method: f'{PLAIN}options = {{ seed = {seed} }}\nattention = "{method}"\n' for seed, method in enumerate(METHODS)},
        "layer": f'{PLAIN}attention = "backward"\nattention_layer = "conv1"\n',
    },
}  # fmt: skip
BINARY = {
    "one logit": f'architecture = "small_nets:One"\n{HALF}',
    "one probability": f'architecture = "small_nets:OneSoft"\n{HALF}output_kind = "probabilities"\n',
    "one of goldfish": f'architecture = "small_nets:One"\n{HALF}class_names = ["hen", "goldfish"]\n',
    "ONNX logit": f'architecture = "onnx:{{inputs}}/one.onnx"\n{HALF}',
    "ONNX sigmoid": f'architecture = "onnx:{{inputs}}/sigmoid.onnx"\n{HALF}output_kind = "probabilities"\n',
    "two": PLAIN,
}  # fmt: skip
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
