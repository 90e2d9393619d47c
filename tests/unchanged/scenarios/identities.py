"""Every identity of things that differ in one part alone, and of things that are the same, given in another way."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import model_files
import numpy as np
import own_code
from identity_rows import IdentityRows
from image_files import encoded, scenes, write
from model_files import CLASSES, SIDE, tensors
from side import Side

COUNTED = {"rows": 361, "values": 314, "sentences": 104, "files": 62, "exits": 31}

COUNT = 8
LABELS = np.arange(COUNT) // 2
SIX = [*CLASSES, "elk", "fox"]
ELEVEN = [*SIX, "gnu", "hen", "ibis", "jay", "koi"]
WIDE = {"checkpoint": "wide.safetensors", "class_names": SIX}
TWO = {"architecture": "nets:Two"}
SOFT = {"architecture": "nets:Soft", "checkpoint": "12.safetensors"}
AVERAGED = {
    "name": "own", "title": "Own", "dataset": "arrays", "images": COUNT, "classes": 4, "source": "here",
    "corruptions": ["contrast"], "severities": [1], "pixels": "generated", "recipe": "cifar-c",
    "averaging": "mCE, published AlexNet",
}  # fmt: skip
LIBRARIES: tuple[dict[str, dict[str, Any]], ...] = (
    {
        "onnx": {"architecture": "onnx:onnx0/net.onnx"},
        "onnx.external": {"architecture": "onnx:external0/net.onnx"},
        "export": {"architecture": "export:export0/net.pt2"},
        "transformers": {"architecture": "transformers:transformers0"},
        "clip": {"architecture": "clip:clip0"},
        "open_clip": {"architecture": "open_clip:open_clip0"},
    },
    {
        "onnx.graph": {"architecture": "onnx:onnx1/net.onnx"},
        "onnx.external.data": {"architecture": "onnx:external1/net.onnx"},
        "export.program": {"architecture": "export:export1/net.pt2"},
        "transformers.settings": {"architecture": "transformers:transformers1"},
        "clip.text": {"architecture": "clip:clip1"},
        "open_clip.text": {"architecture": "open_clip:open_clip1"},
    },
    {
        "transformers.processor": {"architecture": "transformers:transformers2"},
        "clip.settings": {"architecture": "clip:clip2"},
        "clip.prompts": {"architecture": "clip:clip0", "prompts": ["a sketch of the {}"]},
        "open_clip.preprocess": {"architecture": "open_clip:open_clip2"},
    },
)
# Models of two studies that differ in nothing else. The identity of a model of the first is that of its namesake in the
# second, but for the part that its name names; without one here, that of `base`
STUDIED: dict[str, tuple[dict[str, Any] | None, dict[str, Any] | None]] = {
    "base": ({}, None),
    "weight": (None, {"checkpoint": "1.safetensors"}),
    "mean": (None, {"normalization": {"mean": [0.5, 0, 0], "std": [1, 1, 1]}}),
    "std": (None, {"normalization": {"mean": [0, 0, 0], "std": [0.5, 1, 1]}}),
    "input_side_px": (None, {"input_side_px": SIDE}),
    "architecture": (None, {"architecture": "nets:built"}),
    "options": (None, {"options": {"scale": 2.0}}),
    "outputs": (None, {"class_names": ["bee", "ant", "cat", "dog"]}),
    "recipe": (None, {"checkpoint": "recipe.safetensors"}),
    "class_protocol": ({**WIDE, "classes": "all"}, {**WIDE, "classes": "subset"}),
    "output_key": ({**TWO, "output_key": "logits"}, {**TWO, "output_key": "other"}),
    "output_kind": ({**SOFT, "output_kind": "probabilities"}, {**SOFT, "output_kind": "logits"}),
    "attention": ({"checkpoint": "2.safetensors"}, {"checkpoint": "2.safetensors", "attention": "auto"}),
    "attention.method": ({"checkpoint": "3.safetensors", "attention": "closed-form"},
                         {"checkpoint": "3.safetensors", "attention": "backward"}),
    "attention.layer": ({"checkpoint": "4.safetensors", "attention": "backward", "attention_layer": "conv1"},
                        {"checkpoint": "4.safetensors", "attention": "backward", "attention_layer": "conv2"}),
    "same.attention": ({"checkpoint": "5.safetensors", "attention": "auto"},
                       {"checkpoint": "5.safetensors", "attention": "closed-form"}),
    "same.file": ({"checkpoint": "6.safetensors"}, {"checkpoint": "renamed.pt"}),
    "same.stated": (
        {"checkpoint": "7.safetensors", "normalization": "imagenet"},
        {
            "checkpoint": "7.standard.safetensors",
            "training_seed": 3,
            "normalization": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
        },
    ),
    "same.outputs": ({"checkpoint": "8.safetensors", "class_names": ["bee", "ant", "cat", "dog"]},
                     {"checkpoint": "8.safetensors", "class_map": {"ant": 1, "bee": 0, "cat": 2, "dog": 3}}),
    "same.options": ({"checkpoint": "11.safetensors", "options": {"scale": 2.0, "shift": 1.0}},
                     {"checkpoint": "11.safetensors", "options": {"shift": 1.0, "scale": 2.0}}),
}  # fmt: skip


def inputs(folder: Path) -> None:
    images = scenes(COUNT, SIDE, SIDE)
    corrupted = np.concatenate([images // (2 + level) + 60 for level in range(5)])
    _write_arrays(folder / "photos", images, LABELS, CLASSES)
    _write_arrays(folder / "eleven", 255 - images, LABELS, ELEVEN)
    for name, names in (("shift1", CLASSES[:2]), ("shift2", CLASSES[:3:2])):
        _write_arrays(folder / name, 255 - images[:4], LABELS[:4], names)
    masks = np.zeros((COUNT, SIDE, SIDE), bool)
    masks[:, 8:20, 8:20] = True
    np.save(folder / "masks1.npy", masks)
    masks[0, 0, 0] = True
    np.save(folder / "masks2.npy", masks)
    for name in ("contrast", "fog"):
        (folder / "set").mkdir(exist_ok=True)
        np.save(folder / "set" / f"{name}.npy", corrupted)
    np.save(folder / "set/labels.npy", np.tile(LABELS, 5))
    for number, (image, label) in enumerate(zip(images, LABELS, strict=True)):
        write(folder / f"files/{CLASSES[label]}/{number}.png", encoded(image))
        write(folder / f"renamed/{CLASSES[label]}/image{number}.png", encoded(image))
        for tree, name, level in (("tree1", "", 6), ("tree2", "", 1 if number == 0 else 6), ("tree3", "image", 6)):
            content = encoded(corrupted[number], compress_level=level)
            write(folder / f"{tree}/contrast/1/{CLASSES[label]}/{name}{number}.png", content)
    for number in (1, 2):
        for name, frost in zip(("1.png", "2.png", "3.png", "4.jpg", "5.jpg"), scenes(5, 64, 64, seed=7), strict=True):
            frost[0, 0] = number
            write(folder / f"frost{number}/frost{name}", encoded(frost))
    _write_models(folder)


def _write_arrays(folder: Path, images: np.ndarray, labels: np.ndarray, names: Any) -> None:
    folder.mkdir()
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", labels)
    (folder / "classes.json").write_text(json.dumps([*names]))


def _write_models(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    def save(name: str, state: dict[str, torch.Tensor], **metadata: object) -> None:
        save_file(state, folder / f"{name}.safetensors", {key: json.dumps(value) for key, value in metadata.items()})

    for number in range(13):
        save(str(number), tensors(bias=number / 8))
    save("wide", tensors(6))
    save("eleven", tensors(11))
    torch.save({name: tensor.half() for name, tensor in tensors(bias=6 / 8).items()}, folder / "renamed.pt")
    save("7.standard", tensors(bias=7 / 8), recipe={"epochs": 2, "augmentation": "standard"})
    save("recipe", tensors(), recipe={"epochs": 2, "augmentation": "augmix"})
    save("recipe.key", tensors(), recipe={"epochs": 3, "augmentation": "augmix"})
    for number in (0, 1):
        model_files.write_onnx(folder / f"onnx{number}/net.onnx", number)
        model_files.write_onnx(folder / f"external{number}/net.onnx", number, external=True)
        model_files.write_program(folder / f"export{number}/net.pt2", number)
        model_files.write_classifier(folder / f"transformers{number}", config={"layer_norm_eps": 10.0 ** (number - 6)})
        model_files.write_clip(folder / f"clip{number}", text_bias=float(number))
        model_files.write_open_clip(folder / f"open_clip{number}", text_scale=float(number))
    model_files.write_classifier(folder / "transformers2", processor={"resample": 3})
    model_files.write_clip(folder / "clip2", config={"layer_norm_eps": 1e-3})
    model_files.write_open_clip(folder / "open_clip2", interpolation="bilinear")


class Evaluations:
    """Evaluations by `failmodes.benchmark` and `failmodes.run`, all alike but for what the arguments say."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.found = IdentityRows(side)
        self.of_images = np.load(side.inputs / "photos/images.npy")

    def benchmark(self, call: str, models: Mapping[str, Any], images: Any = None, labels: Any = LABELS,
                  classes: Any = CLASSES, keys: Mapping[str, Any] | None = None, **options: Any) -> None:  # fmt: skip
        """Evaluate models in memory on images in memory, or in a folder."""
        import failmodes

        images = self.of_images if images is None else images
        if isinstance(images, Path):
            labels = classes = None
        common = {"device": "cpu", "attention": False, "thumbnails": False, "dataset_label": "Photographs"}
        arguments = {"corruptions": ["contrast"], "severities": [1], "progress": False, **(keys or {})}
        given = failmodes.Options(**{**common, "label_names": classes, **options})
        self.found.evaluate(
            call, lambda: failmodes.benchmark(models, images, labels, to=call, options=given, **arguments)
        )

    def study(self, call: str, models: Mapping[str, dict[str, Any]], *, dataset: Mapping[str, Any] | None = None,
              corruptions: Mapping[str, Any] | None = None, evaluation: Mapping[str, Any] | None = None,
              step: str = "", **keys: Any) -> None:  # fmt: skip
        """Evaluate models in files on images in files; a `step` of a call that evaluates more is not read."""
        import failmodes

        files = self.side.inputs
        content = {
            "name": call, "output": call,
            "models": [{"label": label, **_in_files(own, files)} for label, own in models.items()],
            "dataset": {"kind": "arrays", "path": str(files / "photos"), **(dataset or {})},
            "corruptions": {"names": ["contrast"], "severities": [1], **(corruptions or {})},
            "evaluation": {"device": "cpu", "attention": False, "thumbnails": False, **(evaluation or {})}, **keys,
        }  # fmt: skip
        self.found.evaluate(call, lambda: failmodes.run(content, progress=False), step=step)


def _in_files(keys: dict[str, Any], files: Path) -> dict[str, Any]:
    """Keys of a model with the paths of its files; files of other libraries include its weights."""
    library, colon, name = keys.get("architecture", "nets:Net").partition(":")
    if library == "nets":
        common = {"architecture": "nets:Net", "normalization": "none"} | keys
        return {**common, "checkpoint": str(files / keys.get("checkpoint", "0.safetensors"))}
    stated = {"normalization": "none"} if library in ("onnx", "export") else {}
    return {**stated, **keys, "architecture": f"{library}{colon}{files / name}"}


def run(side: Side) -> None:
    sys.path.insert(0, str(side.work))
    own_code.write(side.work)
    evaluations = Evaluations(side)
    _studies(evaluations)
    _published(evaluations)
    _benchmarks(evaluations)
    evaluations.found.close()


def _studies(evaluations: Evaluations) -> None:
    """Models in files, precision, averaging and logits."""
    study = evaluations.study
    first, second = (
        {name: keys[place] for name, keys in STUDIED.items() if keys[place] is not None} for place in (0, 1)
    )
    study("models", first)
    study("other_models", second, corruptions={"across_switches": True},
          evaluation={"batch_size": 2, "thumbnails": True, "logits": "all"})  # fmt: skip
    study("precision", {"base": {}}, evaluation={"precision": "bfloat16"}, protocols=[AVERAGED])
    eleven = {"dataset": {"path": str(evaluations.side.inputs / "eleven")}, "corruptions": {"names": ["fog"]}}
    study("logits", {"eleven": {"checkpoint": "eleven.safetensors"}}, **eleven)
    study("logits.all", {"eleven": {"checkpoint": "eleven.safetensors"}}, **eleven, evaluation={"logits": "all"})


def _published(evaluations: Evaluations) -> None:
    """Published corrupted sets, pairing, masks and shifts; and models in the files of other libraries."""
    study = evaluations.study
    files, work = evaluations.side.inputs, evaluations.side.work
    base: dict[str, dict[str, Any]] = {"base": {}}

    def copied(name: str) -> dict[str, Any]:
        shutil.copytree(files / "set", work / name)
        return {"published": str(work / name)}

    for number in (1, 2):
        study(f"masks{number}", base, corruptions=copied(f"set{number}"), evaluation={"attention": True},
              dataset={"masks": str(files / f"masks{number}.npy")})  # fmt: skip

    shutil.copytree(files / "photos", work / "photos")
    here = {"dataset": {"path": str(work / "photos")}, "corruptions": copied("set")}
    study("in_place", {"before": {"checkpoint": "9.safetensors"}}, **here, step="before")
    _change_first_pixel(work / "photos/images.npy")
    _change_first_pixel(work / "set/contrast.npy")
    study("in_place", {"after": {"checkpoint": "10.safetensors"}, **LIBRARIES[0]}, **here)

    labeled, other = copied("labeled"), copied("other")
    np.save(work / "labeled/labels.npy", np.tile(np.roll(LABELS, 1), 5))
    study("labels_of_set", LIBRARIES[1], corruptions=labeled, dataset={"images": 4})
    _change_first_pixel(work / "other/fog.npy")
    study("other_corruption_of_set", LIBRARIES[2], corruptions=other)

    def of_files(images: str, tree: str) -> dict[str, Any]:
        return {
            "dataset": {"kind": "folder", "path": str(files / images)},
            "corruptions": {"published": str(files / tree)},
        }

    for call, images, shift in (("paired", "files", 1), ("unpaired", "renamed", 2)):
        shifts = [{"kind": "arrays", "label": "Negatives", "path": str(files / f"shift{shift}")}]
        study(call, base, **of_files(images, "tree1"), shifts=shifts)
    found = {"recipe.key": {"checkpoint": "recipe.key.safetensors"}, "output_key.found": TWO}
    study("names_of_set", found, **of_files("renamed", "tree3"))
    (work / "nets.py").write_text(f"{own_code.NETS}OTHER = True\n")
    del sys.modules["nets"]
    study("file_of_set", {"definition": {}}, **of_files("files", "tree2"))


def _change_first_pixel(array: Path) -> None:
    pixels = np.load(array)
    pixels.flat[0] ^= 1
    np.save(array, pixels)


def _benchmarks(evaluations: Evaluations) -> None:
    """Images and models in memory, own corruptions, and how corruptions are drawn."""
    benchmark, images, files = evaluations.benchmark, evaluations.of_images, evaluations.side.inputs
    own, comment = own_code.objects(), own_code.objects(*own_code.COMMENT)
    veiled = own_code.objects("images // 2", "images // 3").veil
    functions = [(name, own_code.objects(*texts).classify) for name, texts in own_code.FUNCTION.items()]
    modules = [(name, own_code.objects(*texts).network()) for name, texts in own_code.MODULE.items()]

    def corrupted(frost: int = 1, veil: Any = own.veil, haze: str = "haze1:haze", **keys: Any) -> dict[str, Any]:
        os.environ["FAILMODES_FROST_PHOTOGRAPHS"] = str(files / f"frost{frost}")
        return {"corruptions": ["frost", veil, haze], **keys}

    pixel, label = images.copy(), LABELS.copy()
    pixel[0, 0, 0, 0] ^= 1
    label[0] = 1
    memory = {"function": own.classify, "module": own.network(), "closure": own.scaled(2.0)}
    package = {"package": own_code.of_package(evaluations.side.work, 1)}
    benchmark("memory", memory | package, keys=corrupted())
    benchmark("subset", {"same.comment": comment.classify}, keys=corrupted(image_count=4))
    benchmark("pixel+frost", {"closure.captured": own.scaled(3.0)}, pixel, keys=corrupted(frost=2))
    benchmark("label+corruption", dict(functions[::2]), labels=label, keys=corrupted(veil=veiled))
    benchmark(
        "order+file_of_corruption", dict(functions[1::2]), images[::-1], LABELS[::-1], keys=corrupted(haze="haze2:haze")
    )
    wide = images.reshape(COUNT, SIDE // 2, SIDE * 2, 3)
    benchmark("shape+levels", dict(modules[::2]), wide, keys=corrupted(haze="haze_levels:HAZE"))
    benchmark("folder+clean_level", dict(modules[1::2]), files / "files", keys=corrupted(haze="haze_clean:HAZE"))
    module = {"module": own.network()}
    benchmark("prepared", module, keys=corrupted(preprocess=own.prepared(2.0)))
    benchmark("prepared.captured", module, keys=corrupted(preprocess=own.prepared(3.0)))
    benchmark("version1", module, version="1", keys=corrupted(preprocess=own.prepared(2.0)))
    benchmark("version1.one_image", module, version="1", keys=corrupted(preprocess=own.prepare_one))
    function = {"function": own.classify}
    benchmark("version2", function, version="2", keys=corrupted())
    benchmark("gray", function, np.repeat(images[..., :1], 3, axis=-1), version="1", gray=True)
    independent = {"version": "1", "noise": "independent"}
    benchmark("classes+recipe", function, classes=["w", "x", "y", "z"], recipe="imagenet-c", **independent)
    benchmark("label+noise", {"label": own.classify}, seeds=[0, 1], **independent)
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path[:0] = {sys.path!r}; import identities; identities.other_package({str(files)!r})",
    ]
    evaluations.found.evaluate("other_package", lambda: subprocess.run(command, check=True))


def other_package(files: str) -> None:
    """In a process of its own: another version of an installed package."""
    import failmodes

    model, images = {"package": own_code.of_package(Path.cwd(), 2)}, np.load(Path(files) / "photos/images.npy")
    failmodes.benchmark(
        model, images, LABELS, to="other_package", corruptions=["contrast"], severities=[1], progress=False
    )
