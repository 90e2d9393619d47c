"""Which CAM method a model allows, and at which layer: found by probing it.

Without a closed form, the target layer is the last one with positions on the image that the logits depend on.
"""

import hashlib
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from failmodes.evaluate.cam.cam_method import METHODS, CamMethod, TargetLayer
from failmodes.evaluate.cam.methods.backward import BackwardCam
from failmodes.evaluate.cam.methods.closed_form import ClosedFormCam, find_pooled_layer
from failmodes.evaluate.cam.probe import ActivationHook, probe_inputs, run_probe
from failmodes.evaluate.cam.reshape_transform import ReshapeTransform, image_grids, infer_reshape_transform
from failmodes.evaluate.models.model import CamUnavailable, Model
from failmodes.warehouse.errors import StudyError, did_you_mean
from failmodes.warehouse.plugins import import_modules

AUTO, NONE, GRAD_CAM = "auto", "none", "grad-cam"
CHOICES = {
    AUTO: "Grad-CAM in closed form where the model allows it, else by a backward pass, else no attention.",
    NONE: "No attention.",
    GRAD_CAM: "As auto, but a model that allows neither is an error.",
}
SWITCHED_OFF = "switched off in the study"
OPAQUE = "a function of pixels, not a model of layers"
TORCH_SCRIPT = "its layers are TorchScript, which PyTorch lets nobody look into"
QUANTIZED = "it has quantized layers, which PyTorch computes no gradients through"
NO_SPATIAL_LAYER = "no layer that the logits depend on has places on the image"


def cam_methods() -> dict[str, type[CamMethod]]:
    """Every CAM method by name: each class of the package `methods` that has one."""
    import_modules("failmodes.evaluate.cam.methods")
    return METHODS


def method_meanings() -> dict[str, str]:
    """What `attention` may be in a study, and what each name means."""
    return CHOICES | {name: (cam.__doc__ or "").split("\n")[0] for name, cam in cam_methods().items()}


def parse_method(given: str) -> str:
    """The name that a study gives, or that results have in `evaluations.attention_method`; case does not matter.

    Raises:
        StudyError: there is no such method.
    """
    known = method_meanings()
    names = {name: name for name in known} | {cam.method.lower(): name for name, cam in cam_methods().items()}
    name = given.strip().lower()
    if name in names:
        return names[name]
    hint = did_you_mean(name, known, "")
    raise StudyError(
        f"unknown attention method {given!r}{f' ({hint})' if hint else ''}: choose from {', '.join(known)}"
    )


def select_cam_method(
    model: Model, image_shape: tuple[int, int], method: str = AUTO, layer: str | None = None
) -> CamMethod | CamUnavailable:
    """The CAM method for a model, found by probing it with three random images.

    Args:
        model: ready to run (`Model.to`).
        image_shape: (height, width) of the images that it will meet, before its own resize.
        method: one of `method_meanings`.
        layer: the layer to look at, by its dotted name; found if not given.

    Raises:
        StudyError: the model does not allow the requested method or layer.
        ModelError: it does not run on such images.
    """
    method = parse_method(method)
    if method == NONE:
        return CamUnavailable(SWITCHED_OFF)
    inputs = probe_inputs(model, image_shape)
    if not inputs.is_floating_point():
        return _unavailable(model, method, OPAQUE)
    cam = None if method in (AUTO, GRAD_CAM) else cam_methods()[method]
    target = _target_layer(model, inputs, layer, cam)
    if target is None:
        return _unavailable(model, method, _why_no_layer(model.module))
    cam = cam or (BackwardCam if target.head is None else ClosedFormCam)
    if cam.needs_head and target.head is None:
        raise StudyError(
            f"{model.label} does not end in global average pooling and one linear layer (at the layer asked for, if "
            f"one was), as {method} needs: set attention to 'auto' or 'backward'"
        )
    return cam(model, target)


def _target_layer(
    model: Model, inputs: torch.Tensor, layer: str | None, cam: type[CamMethod] | None
) -> TargetLayer | None:
    """The layer for a method; without one, for closed form or else backward."""
    pooled = find_pooled_layer(model, inputs, layer)
    if pooled is not None and not pooled.single_position:
        return pooled
    if layer is None:
        found = find_target_layer(model, inputs)
    else:
        found = requested_target_layer(model, inputs, layer, needs_gradient=cam is None or cam.needs_gradient)
    needs_pooled = found is None if cam is None else cam.needs_head  # a single position, where there is no other layer
    return pooled if pooled is not None and needs_pooled else found


def _unavailable(model: Model, method: str, reason: str) -> CamUnavailable:
    """No attention, unless a method was requested."""
    if method == AUTO:
        return CamUnavailable(reason)
    raise StudyError(f"{model.label}: {reason}, so there is no {method}: set attention to 'auto' or 'none'")


def _why_no_layer(module: nn.Module) -> str:
    parts = list(module.modules())
    if any(isinstance(part, torch.jit.ScriptModule) for part in parts):
        return TORCH_SCRIPT
    return QUANTIZED if any(".quantized." in type(part).__module__ for part in parts) else NO_SPATIAL_LAYER


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


def find_target_layer(model: Model, inputs: torch.Tensor) -> TargetLayer | None:
    """The latest module whose output has positions (h·w > 1) with a gradient; None if there is none.

    Where that one lies on one of several parallel branches, the latest of the same h×w through which all evidence
    passes is taken instead, if there is one: a map of one branch would leave the others out. Where a class token alone
    is read, the patches of the last block have no gradient, and the norm before its attention is found. Of modules that
    output the same tensor, the one with the fewest dots in its name is taken, then the first that runs.

    Args:
        model: ready to run (`Model.to`).
        inputs: (N, 3, h, w) of a probe.

    Raises:
        ModelError: the model does not run on the probe.
    """
    given = _hash_of(inputs)
    seen = [one for one in _activations(model, inputs) if one.output_hash != given]
    transforms = _feature_transforms(model, inputs, seen)
    placed = [(one, transforms[one.layer](one.reached)) for one in reversed(seen) if one.layer in transforms]
    reaching = [(one, on_grid) for one, on_grid in placed if on_grid.any()]
    if not reaching:
        return None
    latest, positions = reaching[0]
    if latest.reached.ndim == 4:
        maps = [one for one, on_grid in reaching if one.reached.ndim == 4 and on_grid.shape[2:] == positions.shape[2:]]
        latest = next((one for one in maps if _passes_all_evidence(model, inputs, one.layer)), latest)
    same = (one.layer for one in seen if one[1:3] == latest[1:3])
    layer = min(same, key=lambda name: name.count("."))
    return TargetLayer(layer, transforms[layer])


def requested_target_layer(
    model: Model, inputs: torch.Tensor, layer: str, *, needs_gradient: bool = True
) -> TargetLayer:
    """The requested layer.

    Raises:
        StudyError: there is none of that name (with the nearest ones), it does not run, has no positions, or its
            positions do not reach the logits.
    """
    names = [name for name, _ in model.module.named_modules() if name]
    if layer not in names:
        near = get_close_matches(layer, names, n=3, cutoff=0.4) or names[-3:]
        raise StudyError(
            f"{model.label} has no layer {layer!r}: set attention_layer to one of its modules, such as "
            f"{', '.join(near)}"
        )
    fix = "ask for an earlier layer as attention_layer, or leave it out"
    seen = _activations(model, inputs, layer)
    if not seen:
        raise StudyError(
            f"{model.label}: no gradient of the logits reaches layer {layer!r} (it gives no tensor that they "
            f"depend on, or what follows has no gradient in PyTorch, such as a quantized layer): {fix}"
        )
    image, patches = image_grids(model.module, inputs)
    reached = seen[0].reached
    transform = infer_reshape_transform(reached, image, patches)
    if transform is None or len(reached) != len(inputs):  # not windows of images
        raise StudyError(
            f"{model.label}: layer {layer!r} gives {tuple(reached.shape)} on {len(inputs)} images of "
            f"{image[0]}×{image[1]} pixels, which has no places to look at: {fix}"
        )
    if needs_gradient and not transform(reached).any():
        raise StudyError(
            f"{model.label}: the logits do not depend on the places of layer {layer!r} (a class token alone is read "
            f"behind it): {fix}"
        )
    return TargetLayer(layer, transform)


def _activations(model: Model, inputs: torch.Tensor, layer: str | None = None) -> list[LayerActivation]:
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

    def keep(name: str, output_hash: str, gradient: torch.Tensor | None) -> None:
        if gradient is not None:  # None where PyTorch has no derivative of what follows
            found[name] = LayerActivation(name, output_hash, _hash_of(gradient), gradient != 0)

    def largest_logits(logits: torch.Tensor) -> torch.Tensor:
        return (logits if model.outputs is None else logits[:, model.outputs]).amax(1)

    _input_gradient(model, inputs, watch, largest_logits)
    return [found[name] for name in hooks if name in found]


def _passes_all_evidence(model: Model, inputs: torch.Tensor, layer: str) -> bool:
    """Whether the logits depend on the images through this module alone."""

    def detach(name: str, _source: torch.Tensor, output: torch.Tensor) -> torch.Tensor | None:
        return output.detach() if name == layer else None

    gradient = _input_gradient(model, inputs, detach, lambda logits: logits)
    return gradient is None or not gradient.any()


@torch.inference_mode(False)
@torch.enable_grad()
def _input_gradient(
    model: Model,
    inputs: torch.Tensor,
    watch: ActivationHook,
    select: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor | None:
    """Gradient of the sum of what is selected of the logits with respect to the inputs; None if it depends on none."""
    start = inputs.detach().clone().requires_grad_()
    logits = run_probe(model, start.clone(), watch)
    if not logits.requires_grad:
        return None
    (gradient,) = torch.autograd.grad(select(logits).sum(), start, allow_unused=True)
    return gradient


def _hash_of(values: torch.Tensor) -> str:
    """Hash of shape and values."""
    content = values.detach().contiguous().cpu().reshape(-1).view(torch.uint8).numpy()
    return f"{tuple(values.shape)} {hashlib.sha256(content.data).hexdigest()}"


def _feature_transforms(model: Model, inputs: torch.Tensor, seen: list[LayerActivation]) -> dict[str, ReshapeTransform]:
    """Transforms of outputs that are features: no attention matrices, queries, keys or wider hidden layers."""
    image, patches = image_grids(model.module, inputs)
    whole = {one.layer: one.reached for one in seen if len(one.reached) == len(inputs)}
    inferred = {layer: infer_reshape_transform(reached, image, patches) for layer, reached in whole.items()}
    found = {layer: transform for layer, transform in inferred.items() if transform is not None}
    tokens = [layer for layer in found if whole[layer].ndim == 3]
    lengths = {whole[layer].shape[1] for layer in tokens}
    # a projection may come last of the tokens (keys and values of an attention pool): its width is not the features'
    plain = [layer for layer in tokens if not isinstance(model.module.get_submodule(layer), nn.Linear)]
    width = whole[(plain or tokens)[-1]].shape[2] if tokens else 0

    def is_feature(reached: torch.Tensor) -> bool:
        if reached.ndim == 3:
            return reached.shape[2] == width
        return not (reached.shape[2] == reached.shape[3] and reached.shape[2] in lengths)

    return {layer: transform for layer, transform in found.items() if is_feature(whole[layer])}
