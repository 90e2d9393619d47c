"""The less common arguments of `failmodes.benchmark`, in one object."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

# Which table of a study each option is a key of; `name` is the study's own, and the rest are said to what reads images
# or makes models
TABLES = {
    "dataset": ("resize", "background", "gray"),
    "corruptions": ("recipe", "seeds", "noise", "across_switches"),
    "models": (
        "input_side_px", "class_map", "classes", "output_key", "output_kind", "deterministic", "attention_layer",
    ),
    "evaluation": ("attention", "logits", "thumbnails", "precision", "batch_size", "device"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of `failmodes.benchmark` beyond its arguments: `options=failmodes.Options(seeds=[0, 1], device="cuda")`.

    Attributes:
        recipe: "cifar-c" (published for 32 pixels) or "imagenet-c" (224); if not given, that of the nearest size.
        seeds: seeds of the corruptions' samples, an evaluation each; charts show one, `evaluation=`.
        noise: "shared": an image has the same samples at every severity; "independent": new ones at each.
        across_switches: cross-fade between the severities of corruptions that do not interpolate.
        resize: what the shorter side of images is resized to before they are cropped to `image_size`, pixels.
        background: red, green and blue, 0 to 255, that transparent images are composited on; white if not given.
        gray: images are gray, and corruptions keep them so: noise is the same in the three channels.
        dataset_label: the images' name on charts.
        label_column: the column of a Hugging Face Dataset that holds the labels, where it has several.
        label_names: names of the labels, where they do not number the outputs; matched with `class_names`.
        architecture: what builds the model (`torchvision:NAME`, `timm:NAME` or `module:function`), so that the study
            file names it and `failmodes run` evaluates it again; the model's tensors are stored beside it. Goes with
            `normalization`.
        input_side_px: the side that images are resized to for the model, after corruption.
        class_map: the output, by number or name, of a label whose name does not match.
        classes: where a model has outputs that are no classes of the images: "all" lets any output be the answer,
            "subset" only those of the images' classes. If not given: all where they were matched by name, subset where
            `class_map` gives them.
        output_key: which of the outputs are the logits, by name or by position from "0", where there are several and
            none is called "logits".
        output_kind: "probabilities" for a model that ends in a softmax; logits if not given.
        deterministic: False accepts a model that gives an image other outputs each time.
        version: your own name for code whose source or captured values cannot be read, such as a session of another
            library, or that reads files as it runs; change it when the code changes.
        attention: True, False, or a CAM method: "closed-form", "backward", or one of the grad-cam package's.
        attention_layer: the layer to look at, by its dotted name, instead of the one found.
        logits: "all" keeps every logit of a model of more than ten classes, as float16, in the results alone.
        thumbnails: False puts no picture into results and warehouse: neither clean images, which `Warehouse.images`
            needs, nor exemplars. Images given as arrays lie in the folder `to` all the same.
        precision: of the forward pass.
        batch_size: images at a time; by a memory rule if not given (at most 32 on a CPU, 512 on a GPU).
        device: where models run; auto takes cuda, then mps, then cpu.
        strict: take warnings about images and models for errors, before corrupted images are evaluated.
        name: of the study; the folder's name if not given.
    """

    recipe: Literal["cifar-c", "imagenet-c"] | None = None
    seeds: Sequence[int] = (0,)
    noise: Literal["shared", "independent"] = "shared"
    across_switches: bool = False
    resize: int | None = None
    background: Sequence[int] | None = None
    gray: bool = False
    dataset_label: str | None = None
    label_column: str | None = None
    label_names: Sequence[str] | None = None
    architecture: str | None = None
    input_side_px: int | None = None
    class_map: Mapping[str, int | str] | None = None
    classes: Literal["subset", "all"] | None = None
    output_key: str | None = None
    output_kind: Literal["logits", "probabilities"] | None = None
    deterministic: bool = True
    version: str | None = None
    attention: bool | str = True
    attention_layer: str | None = None
    logits: Literal["all"] | None = None
    thumbnails: bool = True
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    batch_size: int | None = None
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    strict: bool = False
    name: str | None = None

    def keys_of(self, table: str) -> dict[str, Any]:
        """The options that are keys of a table of a study, those that are given; sequences as lists."""
        given = {key: getattr(self, key) for key in TABLES[table]}
        return {
            key: list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
            for key, value in given.items()
            if value is not None
        }
