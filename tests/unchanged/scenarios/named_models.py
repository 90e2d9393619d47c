"""Models that a study names: built-in ones, checkpoints of every layout, torchvision, timm, transformers, CLIP, ONNX …"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import network_files
import small_nets
from image_files import scenes, write_class_folders
from network_files import NAMES
from pixel_studies import answer
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
MODELS = "join evaluations using (evaluation_id) join models using (model_id)"
EVALUATED = {  # what models compute; `comparison` holds tables of these names to 1e-4
    "prediction_facts": "select model_label, corruption, severity, image_id, label, predicted, confidence, logits, logit_classes,"
    f" predicted_output, finite from prediction_facts {MODELS}",
    "attention": f"select model_label, a.* from attention a {MODELS}",
}
STATED = {
    "models": "from models",
    "evaluations": "select model_label, e.* from evaluations e join models using (model_id)",
    "notes": f"select model_label, n.* from evaluation_notes n {MODELS}",
    "classes": "from classes",
}

HALF = "normalization = { mean = [0.5, 0.4, 0.3], std = [0.2, 0.3, 0.4] }\n"
RESNET = 'architecture = "resnet18"\nwidth = 8\n'
FIVE = 'class_names = ["ant", "tench", "bee", "hen", "goldfish"]\n'
CHECKPOINTS = {  # the keys of each model; `checkpoint` is in the folder of inputs
    "ResNet-18": (f"{RESNET}", "resnet.safetensors"),
    "ResNet-18, told": (f'{RESNET}normalization = "cifar10"\ntraining_seed = 5\nattention_layer = "layer3"\n', "resnet.safetensors"),
    "ResNet-18, state": (f"{RESNET}{HALF}", "resnet.pt"),
    "ResNet-18, old format": (f"{RESNET}{HALF}", "resnet-old.pth"),
    "ResNet-18, Lightning": (f"{RESNET}{HALF}", "resnet-lightning.ckpt"),
    "ResNet-18, parallel": (f"{RESNET}{HALF}", "resnet-parallel.pt"),
    "ResNet-18, averaged": (f'{RESNET}{HALF}checkpoint_key = "state_dict_ema"\n', "resnet-averaged.pt"),
    "ResNet-18, not averaged": (f"{RESNET}{HALF}", "resnet-averaged.pt"),
    "ResNet-18, float16": (f"{RESNET}{HALF}", "resnet-half.safetensors"),
    "ResNet-18, five outputs": (f"{RESNET}{HALF}{FIVE}", "resnet-five.pt"),
    "ResNet-18, five, subset": (f'{RESNET}{HALF}{FIVE}classes = "subset"\n', "resnet-five.pt"),
    "ResNet-18, mapped": (f"{RESNET}{HALF}class_map = {{ goldfish = 4, hen = 0, tench = 1 }}\n", "resnet-five.pt"),
    "Net, seed 3": (f"{RESNET}{HALF}", "resnet-three.pt"),
    "DenseNet-121": ('architecture = "densenet121"\nwidth = 8\n', "densenet.safetensors"),
    "ShuffleNet": ('architecture = "torchvision:shufflenet_v2_x0_5"\nnormalization = "imagenet"\n', "shufflenet.pt"),
    "SqueezeNet": ('architecture = "torchvision:squeezenet1_1"\nnormalization = "imagenet"\ninput_side_px = 64\n', "squeezenet.pt"),
    "MobileNet": ('architecture = "mobilenet_v3_small"\nnormalization = "imagenet"\n', "mobilenet.pt"),
    "ResNet-18 of torchvision": ('architecture = "torchvision:resnet18"\nstem = "cifar"\nnormalization = "cifar100"\n', "stem.pt"),
    "Own code": (f'architecture = "small_nets:Plain"\n{HALF}', "plain.pt"),
    **{
        f"timm {name}": (f'architecture = "timm:test_{name}"\n{HALF}input_side_px = 64\n', f"timm-{name}.safetensors")
        for name in network_files.TIMM
    },
    "timm, options": (f'architecture = "test_vit"\noptions = {{ img_size = 48 }}\n{HALF}input_side_px = 48\n', "timm-vit.safetensors"),
}  # fmt: skip

CLASSIFIERS = ("vit", "swin", "convnext", "resnet")
CODE = ("Flat", "Branches", "NoMap", "Object", "vision_transformer", "swin_transformer", "convnext", "loaded")
METHODS = (
    "none", "closed-form", "backward", "gradcam++", "hirescam", "xgradcam", "gradcamelementwise", "layercam", "eigencam",
    "eigengradcam", "scorecam",
)  # fmt: skip
TIMM = 'architecture = "timm:test_vit.r160_in1k"\nweights = "pretrained"\n'
VIT, CLIP = 'architecture = "transformers:{inputs}/vit"\n', 'architecture = "clip:{inputs}/clip"\n'
PROMPTS = 'prompts = ["a photo of a {}", "a sketch of the {}"]\n'
PLAIN, IMAGENET = f'architecture = "small_nets:Plain"\n{HALF}', 'architecture = "small_nets:Imagenet"\nclass_names = "imagenet-1k"\n'
SOURCES = {  # the keys of each model
    "timm, published": TIMM,
    "timm, told": f'{TIMM}classes = "subset"\ninput_side_px = 160\nnormalization = "none"\n',
    "timm, hub": 'architecture = "timm:hf-hub:owner/net"\n',
    **{f"transformers {kind}": f'architecture = "transformers:{{inputs}}/{kind}"\n' for kind in CLASSIFIERS},
    "transformers, told": f'{VIT}normalization = "imagenet"\ninput_side_px = 16\n',
    "CLIP": CLIP,
    "CLIP, prompts": f"{CLIP}{PROMPTS}",
    "CLIP, names": f'{CLIP}class_names = ["hen", "photo", "sketch"]\nclass_map = {{ goldfish = "photo", tench = "sketch" }}\n',
    "SigLIP": 'architecture = "clip:{inputs}/siglip"\nprompts = "a photo of the {}"\n',
    "OpenCLIP": 'architecture = "open_clip:{inputs}/open_clip"\n',
    **{f"ONNX {kind}": f'architecture = "onnx:{{inputs}}/{kind}.onnx"\n{HALF}' for kind in ("nchw", "nhwc", "fixed", "softmax", "external", "half")},
    "ONNX several": f'architecture = "onnx:{{inputs}}/several.onnx"\n{HALF}output_key = "scores"\n',
    "ONNX pixels": 'architecture = "onnx:{inputs}/pixels.onnx"\n',
    "Exported": f'architecture = "export:{{inputs}}/net.pt2"\n{HALF}{FIVE}',
    "Exported, half": f'architecture = "export:{{inputs}}/half.pt2"\n{HALF}',
    **{f"code {name}": f'architecture = "small_nets:{name}"\n{HALF}' for name in CODE},
    "code Stated": 'architecture = "small_nets:Stated"\n',
    "code Mapping": f'architecture = "small_nets:Mapping"\n{HALF}output_key = "scores"\n',
    "code Tuple": f'architecture = "small_nets:Tuple"\n{HALF}output_key = "1"\n',
    "code Soft": f'architecture = "small_nets:Soft"\n{HALF}output_kind = "probabilities"\n',
    "code, options": f"{PLAIN}options = {{ seed = 4 }}\ninput_side_px = 20\n",
    "code, ImageNet": f'{IMAGENET}normalization = "clip"\n',
    "code, ImageNet subset": f'{IMAGENET}normalization = "inception"\nclasses = "subset"\n',
    **{f"code, {method}": f'{PLAIN}options = {{ seed = {seed} }}\nattention = "{method}"\n' for seed, method in enumerate(METHODS, 10)},
    "code, layer": f'{PLAIN}attention = "backward"\nattention_layer = "conv1"\n',
}  # fmt: skip
BINARY = {
    "One logit": f'architecture = "small_nets:One"\n{HALF}',
    "One probability": f'architecture = "small_nets:OneSoft"\n{HALF}output_kind = "probabilities"\n',
    "One of goldfish": f"architecture = \"small_nets:One\"\n{HALF}class_names = [\"hen\", \"goldfish\"]\n",
    "ONNX logit": f'architecture = "onnx:{{inputs}}/one.onnx"\n{HALF}',
    "ONNX sigmoid": f'architecture = "onnx:{{inputs}}/sigmoid.onnx"\n{HALF}',
    "Two": PLAIN,
}  # fmt: skip
PRECISE = {name: SOURCES[name] for name in ("code Flat", "code Stated", "code Soft", "ONNX nchw")} | {"Plain": PLAIN}


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
    with_files = {label: f'{keys}checkpoint = "{{inputs}}/{file}"\n' for label, (keys, file) in CHECKPOINTS.items()}
    run_study(side, "checkpoints", with_files)
    run_study(side, "named", SOURCES)
    run_study(side, "binary", BINARY, images="two")
    for precision in ("bfloat16", "float16"):
        run_study(side, precision, PRECISE, evaluation=f'precision = "{precision}"')


def run_study(side: Side, name: str, models: Mapping[str, str], *, images: str = "images", evaluation: str = "") -> None:
    """Run a study with these models."""
    text = STUDY.format(name=name, images=images, evaluation=evaluation)
    text += "".join(f'[[models]]\nlabel = "{label}"\n{keys}' for label, keys in models.items())
    (side.work / f"{name}.toml").write_text(text.replace("{inputs}", str(side.inputs)))
    side.command(f"{name}.run", "run", f"{name}.toml", "--json")
    answer(side, name, EVALUATED, evaluated=True)
    answer(side, name, STATED)
