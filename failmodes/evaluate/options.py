"""The less common arguments of `failmodes.benchmark` in one object."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

# The table of the study that each option is a key of. `name` is a key of the study itself; the others go to the code
# that reads images or copies models
TABLES = {
    "dataset": ("resize", "background", "gray", "skip_unreadable"),
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
        recipe: "cifar-c" (published for 32 pixels) or "imagenet-c" (224). Default: the one of the nearest image size.
        seeds: random seeds of the corruptions, one evaluation each; charts show one (`evaluation=`).
        noise: "shared": an image has the same random numbers at every severity; "independent": new ones at each.
        across_switches: cross-fade between the severities of corruptions that do not interpolate.
        resize: resize the shorter side of images to this many pixels before cropping to `image_size`.
        background: red, green and blue, 0 to 255, behind transparent images. Default: white.
        gray: images are gray and stay gray: noise is the same in the three channels.
        dataset_label: name of the images in charts.
        label_column: label column of a Hugging Face Dataset, Parquet files or tar shards with several.
        skip_unreadable: leave out images that cannot be decoded, and count them.
        label_names: names of the labels, if these are not indices of the outputs; matched with `class_names`.
        architecture: builder of the model (`torchvision:NAME`, `timm:NAME` or `module:function`), so that the study
            file names it and `failmodes run` can evaluate it again; the weights are stored in `to`. Requires
            `normalization`.
        input_side_px: side that images are resized to for the model, after corruption.
        class_map: output, by index or name, of a label whose name does not match.
        classes: for models with outputs that are not classes of the images: "all" predicts among all outputs, "subset"
            among those of the images' classes. Default: all if matched by name, subset with `class_map` and for
            ImageNet-A, ImageNet-R and ObjectNet.
        output_key: which output holds the logits, by name or by position from "0", if there are several and none is
            called "logits".
        output_kind: "probabilities" for a model that ends in a softmax, or in a sigmoid if it has one output. Default:
            logits, or as an ONNX graph ends.
        deterministic: False accepts a model whose outputs differ from pass to pass.
        version: your own version of code that cannot be identified (its source or captured values cannot be read, or
            it reads files as it runs); change it when the code changes.
        attention: True, False, or a CAM method: "closed-form", "backward", or one of the grad-cam package.
        attention_layer: target layer, by its dotted name. Default: found automatically.
        logits: "all" keeps every logit of models with more than ten classes, as float16, in the results only.
        thumbnails: False stores no images in results and warehouse, neither clean ones, which `Warehouse.images` needs,
            nor exemplars. Images given as arrays are still stored in the folder `to`.
        precision: of the forward pass.
        batch_size: images per forward pass. Default: a memory rule, at most 32 on a CPU and 512 on a GPU.
        device: where models run; "auto" prefers cuda, then mps, then cpu.
        strict: treat warnings about images and models as errors, before corrupted images are evaluated.
        name: name of the study. Default: the name of the folder.
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
    skip_unreadable: bool = False
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
        """The given options that are keys of one table of a study; sequences as lists."""
        options = {key: getattr(self, key) for key in TABLES[table]}
        return {
            key: list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
            for key, value in options.items()
            if value is not None
        }
