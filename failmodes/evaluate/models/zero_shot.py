"""Zero-shot classification: an image is compared with the text embeddings of the classes.

logit_c = scale × cosine(image features, text embedding of class c) + bias, as in CLIP (Radford et al. 2021) and SigLIP
(Zhai et al. 2023). The embedding of a class is the mean of the normalized embeddings of its prompts, normalized again
(the prompt ensemble of CLIP, section 3.1.4). It is computed once, so that only the visual tower runs on images.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from failmodes.evaluate.devices import choose_device, make_exact
from failmodes.evaluate.models.model import PROMPTS, Model, tensor_hashes
from failmodes.evaluate.models.preprocessing import Preprocessing
from failmodes.evaluate.study.study_schema import ModelSpec
from failmodes.ingest.datasets.folder_listing import class_name_of
from failmodes.ingest.datasets.imagenet_classes import by_wordnet_id
from failmodes.runtime.errors import ModelError, first_line
from failmodes.runtime.hashing import identity_of

DEFAULT_PROMPT = "a photo of a {}"
TEXTS_AT_ONCE = 256
MAX_TEXTS_ON_CPU = 1000  # 80 prompts for each class of ImageNet take a CPU a quarter of an hour
Encoder = Callable[[list[str], torch.device], torch.Tensor]
SHOWN = 3  # class names in the assumptions of a model


class ZeroShotModule(nn.Module):
    """The visual tower of a model with one text embedding per class.

    Args:
        visual: from images (N, 3, h, w) to features (N, D).
        embeddings: (C, D) normalized text embeddings; they follow from weights and prompts, so no checkpoint has them.
        scale: factor of the cosine similarity.
        bias: added to it.
    """

    embeddings: torch.Tensor

    def __init__(self, visual: nn.Module, embeddings: torch.Tensor, scale: float, bias: float) -> None:
        super().__init__()
        self.visual = visual
        self.scale = scale
        self.bias = bias
        self.register_buffer("embeddings", embeddings, persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, C) of images (N, 3, h, w)."""
        features = self.visual(images)
        with torch.autocast(images.device.type, enabled=False):  # bfloat16 has steps of 0.125 at a logit of 25
            return normalized(features.float()) @ self.embeddings.T * self.scale + self.bias


def normalized(features: torch.Tensor) -> torch.Tensor:
    """Features (N, D) of unit length."""
    unit: torch.Tensor = features / torch.linalg.vector_norm(features, dim=-1, keepdim=True)
    return unit


def zero_shot_model(
    spec: ModelSpec,
    architecture: str,
    visual: nn.Module,
    encode: Encoder,
    class_names: Sequence[str],
    *,
    whole: Any,
    preprocessing: Preprocessing,
    checkpoint: str,
    text_tower: Mapping[str, nn.Module],
    settings: Any,
) -> Model:
    """A zero-shot model of some classes.

    Args:
        spec: the model as the study describes it; its `prompts` are the templates.
        architecture: canonical name.
        visual: the visual tower.
        encode: from texts to their features (n, D), on the device of `whole`.
        class_names: (C,) classes, the outputs of the model in order.
        whole: the module that `encode` uses, in which the visual tower is too, with `logit_scale` (the logarithm of the
            factor of the cosine similarity) and perhaps `logit_bias`.
        preprocessing: of the visual tower.
        checkpoint: name of the weights.
        text_tower: modules that `encode` uses, and scale and bias if `visual` lacks them, for the identity.
        settings: of the architecture, for the identity.

    Raises:
        ModelError: the prompts cannot be encoded, for example because they are too long.
    """
    templates = spec.prompts or [DEFAULT_PROMPT]
    names = [readable_name(name) for name in class_names]
    try:
        embeddings = class_embeddings(encode, whole, templates, names)
    except Exception as error:  # any error of a tokenizer or text tower
        raise ModelError(
            f"model {spec.label!r}: its text tower does not encode the prompts ({first_line(error)}): shorten them"
        ) from error
    facts = {
        "settings": settings,
        "text": {name: tensor_hashes(part) for name, part in text_tower.items()},
        "prompts": list(templates),
        "names": names,
    }
    scale = whole.logit_scale.detach().exp()
    bias = getattr(whole, "logit_bias", None)
    return Model(
        module=ZeroShotModule(visual, embeddings, float(scale), 0.0 if bias is None else float(bias.detach())),
        spec=spec,
        architecture=architecture,
        preprocessing=preprocessing,
        output_names=tuple(class_names),
        output_count=len(class_names),
        checkpoint=checkpoint,
        definition=identity_of(facts),
        notes={PROMPTS: describe_prompts(templates, names)},
    )


@torch.inference_mode(False)
@torch.no_grad()
def class_embeddings(encode: Encoder, whole: nn.Module, templates: Sequence[str], names: Sequence[str]) -> torch.Tensor:
    """One normalized text embedding per class, (C, D) float32 on the CPU: the mean over its prompts."""
    texts = [template.replace("{}", name) for name in names for template in templates]
    starts = range(0, len(texts), TEXTS_AT_ONCE)
    device = choose_device("auto" if len(texts) > MAX_TEXTS_ON_CPU else "cpu")
    whole.to(device)
    make_exact(device)
    try:
        parts = [encode(texts[start : start + TEXTS_AT_ONCE], device).float().cpu() for start in starts]
    finally:
        whole.cpu()
    features = torch.cat(parts)
    return normalized(normalized(features).reshape(len(names), len(templates), -1).mean(1))


def readable_name(name: str) -> str:
    """The name of a class in a prompt: of a WordNet id the ImageNet name; spaces instead of underscores."""
    known = by_wordnet_id().get(name)
    return known.name if known else class_name_of(name).replace("_", " ")


def describe_prompts(templates: Sequence[str], names: Sequence[str]) -> str:
    """Prompts and class names in words."""
    first = f'"{templates[0]}"'
    prompts = first if len(templates) == 1 else f"the mean of {len(templates)} prompts, the first {first},"
    more = ", …" if len(names) > SHOWN else ""
    return f"zero-shot with {prompts} for {', '.join(names[:SHOWN])}{more}"
