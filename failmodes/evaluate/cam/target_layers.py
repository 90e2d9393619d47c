"""The target layer of a model without a closed form: its last layer with positions that the logits depend on."""

import hashlib
from difflib import get_close_matches
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from failmodes.evaluate.cam.probe import run_probe
from failmodes.evaluate.cam.reshape_transform import Grid, ReshapeTransform, infer_reshape_transform, patch_grid
from failmodes.evaluate.models.model import Model
from failmodes.warehouse.errors import StudyError


class TargetLayer(NamedTuple):
    """A layer to look at and how its output lies on the image."""

    layer: str
    reshape_transform: ReshapeTransform


class LayerActivation(NamedTuple):
    """What is kept of a module's output in the probe: the tensors themselves would take gigabytes.

    Attributes:
        layer: the module's dotted name.
        output_hash: of the values of the output.
        gradient_hash: of those of the gradient of the largest logits with respect to it.
        reached: where that gradient is not zero: of the output's shape.
    """

    layer: str
    output_hash: str
    gradient_hash: str
    reached: torch.Tensor


def find_target_layer(prepared: Model, inputs: torch.Tensor) -> TargetLayer | None:
    """The latest module whose output has positions (h·w > 1) with a gradient; None if there is none.

    Where that one lies on one of several parallel branches, the latest of the same h×w through which all evidence
    passes is taken instead, if there is one: a map of one branch would leave the others out. Where a class token alone
    is read, the patches of the last block have no gradient, and the norm before its attention is found. Of modules that
    output the same tensor, the one with the fewest dots in its name is taken, then the first that runs.

    Args:
        prepared: ready to run.
        inputs: (N, 3, h, w) of a probe.

    Raises:
        ModelError: the model does not run on the probe.
    """
    given = _hash_of(inputs)
    seen = [one for one in _activations(prepared, inputs) if one.output_hash != given]
    transforms = _feature_transforms(prepared, inputs, seen)
    known = (one for one in reversed(seen) if one.layer in transforms)
    reaching = [one for one in known if _reaches_logits(one, transforms[one.layer])]
    if not reaching:
        return None
    latest = reaching[0]
    if latest.reached.ndim == 4:
        maps = [one for one in reaching if one.reached.ndim == 4]
        grids = [transforms[one.layer](one.reached).shape[2:] for one in maps]
        alike = (one for one, grid in zip(maps, grids, strict=True) if grid == grids[0])
        latest = next((one for one in alike if _passes_all_evidence(prepared, inputs, one.layer)), latest)
    same = (one for one in seen if one[1:3] == latest[1:3])
    layer = min(same, key=lambda one: one.layer.count(".")).layer
    return TargetLayer(layer, transforms[layer])


def requested_target_layer(
    prepared: Model, inputs: torch.Tensor, layer: str, *, needs_gradient: bool = True
) -> TargetLayer:
    """The requested layer.

    Raises:
        StudyError: there is none of that name (with the nearest ones), it does not run, has no positions, or its
            positions do not reach the logits.
    """
    names = [name for name, _ in prepared.module.named_modules() if name]
    if layer not in names:
        near = get_close_matches(layer, names, n=3, cutoff=0.4) or names[-3:]
        raise StudyError(
            f"{prepared.label} has no layer {layer!r}: set attention_layer to one of its modules, such as "
            f"{', '.join(near)}"
        )
    seen = _activations(prepared, inputs, layer)
    image: Grid = (inputs.shape[2], inputs.shape[3])
    transform = infer_reshape_transform(seen[0].reached, image, patch_grid(prepared.module, image)) if seen else None
    if transform is None:
        gives = f"gives {tuple(seen[0].reached.shape)}" if seen else "gives no tensor that the logits depend on"
        raise StudyError(
            f"{prepared.label}: layer {layer!r} {gives} on images of {image[0]}×{image[1]} pixels, which has no places "
            "to look at: ask for an earlier layer as attention_layer, or leave it out"
        )
    if needs_gradient and not _reaches_logits(seen[0], transform):
        raise StudyError(
            f"{prepared.label}: the logits do not depend on the places of layer {layer!r} (a class token alone is read "
            "behind it): ask for an earlier layer as attention_layer, or leave it out"
        )
    return TargetLayer(layer, transform)


@torch.inference_mode(False)
@torch.enable_grad()
def _activations(prepared: Model, inputs: torch.Tensor, layer: str | None = None) -> list[LayerActivation]:
    """Outputs of all modules, or of one, in the order of their last runs, where the logits depend on them.

    The forward pass goes on with a copy of each output, so that nothing writes into it before its gradient is known.
    """
    hooks: dict[str, RemovableHandle] = {}
    found: dict[str, LayerActivation] = {}

    def watch(name: str, _source: torch.Tensor, output: torch.Tensor) -> torch.Tensor | None:
        if layer not in (None, name) or not output.requires_grad:
            return None
        if name in hooks:
            hooks.pop(name).remove()
        hooks[name] = output.register_hook(partial(keep, name, _hash_of(output)))  # type: ignore[no-untyped-call]
        return output.clone()

    def keep(name: str, output_hash: str, gradient: torch.Tensor) -> None:
        found[name] = LayerActivation(name, output_hash, _hash_of(gradient), gradient != 0)

    start = inputs.detach().clone().requires_grad_()
    logits = run_probe(prepared, start.clone(), watch)
    if not hooks or not logits.requires_grad:
        return []
    chosen = logits if prepared.outputs is None else logits[:, prepared.outputs]
    torch.autograd.grad(chosen.amax(1).sum(), start, allow_unused=True)
    return [found[name] for name in hooks if name in found]


def _hash_of(values: torch.Tensor) -> str:
    """Hash of shape and values."""
    content = values.detach().contiguous().cpu().reshape(-1).view(torch.uint8).numpy()
    return f"{tuple(values.shape)} {hashlib.sha256(content.data).hexdigest()}"


@torch.inference_mode(False)
@torch.enable_grad()
def _passes_all_evidence(prepared: Model, inputs: torch.Tensor, layer: str) -> bool:
    """Whether the logits depend on the images through this module alone."""

    def detach(name: str, _source: torch.Tensor, output: torch.Tensor) -> torch.Tensor | None:
        return output.detach() if name == layer else None

    start = inputs.detach().clone().requires_grad_()
    logits = run_probe(prepared, start.clone(), detach)
    if not logits.requires_grad:
        return True
    (gradient,) = torch.autograd.grad(logits.sum(), start, allow_unused=True)
    return gradient is None or not bool(gradient.any())


def _feature_transforms(
    prepared: Model, inputs: torch.Tensor, seen: list[LayerActivation]
) -> dict[str, ReshapeTransform]:
    """Transforms of outputs that are features: no attention matrices, queries, keys or wider hidden layers."""
    image: Grid = (inputs.shape[2], inputs.shape[3])
    patches = patch_grid(prepared.module, image)
    whole = [one for one in seen if len(one.reached) == len(inputs)]
    found = {one.layer: infer_reshape_transform(one.reached, image, patches) for one in whole}
    tokens = [one for one in seen if one.reached.ndim == 3 and found.get(one.layer) is not None]
    lengths = {one.reached.shape[1] for one in tokens}
    # a projection may come last of the tokens (keys and values of an attention pool): its width is not the features'
    plain = [one for one in tokens if not isinstance(prepared.module.get_submodule(one.layer), nn.Linear)]
    width = (plain or tokens)[-1].reached.shape[2] if tokens else 0

    def is_feature(output: torch.Tensor) -> bool:
        if output.ndim == 3:
            return output.shape[2] == width
        return not (output.shape[2] == output.shape[3] and output.shape[2] in lengths)

    transforms = ((one, found.get(one.layer)) for one in seen)
    return {one.layer: transform for one, transform in transforms if transform is not None and is_feature(one.reached)}


def _reaches_logits(seen: LayerActivation, transform: ReshapeTransform) -> bool:
    return bool(transform(seen.reached).any())
