"""Selection of the CAM method and target layer of a model, by probing it with random images.

Without a closed form, the target layer is the last one with spatial positions that the logits depend on.
"""

import hashlib
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from failmodes.evaluate.cam.cam_method import METHODS, CamMethod, CamUnavailable, TargetLayer
from failmodes.evaluate.cam.methods.backward import BackwardCam
from failmodes.evaluate.cam.methods.closed_form import ClosedFormCam, find_pooled_layer
from failmodes.evaluate.cam.probe import ActivationHook, probe_inputs, run_probe
from failmodes.evaluate.cam.reshape_transform import ReshapeTransform, image_grids, infer_reshape_transform
from failmodes.evaluate.models.model import Model
from failmodes.runtime.errors import ModelError, StudyError, did_you_mean, first_line, printable
from failmodes.runtime.packages import import_modules

AUTO, NONE, GRAD_CAM = "auto", "none", "grad-cam"
CHOICES = {
    AUTO: "Grad-CAM in closed form if the model allows it, otherwise by a backward pass, otherwise no attention.",
    NONE: "No attention.",
    GRAD_CAM: "As auto, but an error for a model that allows neither.",
}
SWITCHED_OFF = "switched off in the study"
OPAQUE = "a function of pixels, not a model of layers"
TORCH_SCRIPT = "its layers are TorchScript, which takes no hooks"
QUANTIZED = "it has quantized layers, for which PyTorch computes no gradients"
MAX_REASON_LETTERS = 150  # of an error of PyTorch
NO_SPATIAL_LAYER = "no layer that the logits depend on has spatial positions"


class _NoGradientError(Exception):
    """A model for which PyTorch cannot compute gradients, with PyTorch's reason."""


def cam_methods() -> dict[str, type[CamMethod]]:
    """All CAM methods by name: the classes with a name in the package `methods`."""
    import_modules("failmodes.evaluate.cam.methods")
    return METHODS


def method_meanings() -> dict[str, str]:
    """The values of `attention` in a study, with their descriptions."""
    return CHOICES | {name: (cam.__doc__ or "").split("\n")[0] for name, cam in cam_methods().items()}


def parse_method(method: str) -> str:
    """The method of a study's `attention` or of `evaluations.attention_method`, case-insensitive.

    Raises:
        StudyError: the method is unknown.
    """
    known = method_meanings()
    names = {name: name for name in known} | {cam.method.lower(): name for name, cam in cam_methods().items()}
    name = method.strip().lower()
    if name in names:
        return names[name]
    hint = did_you_mean(name, known, "")
    raise StudyError(
        f"unknown attention method {method!r}{f' ({hint})' if hint else ''}: choose from {', '.join(known)}"
    )


def select_cam_method(
    model: Model, image_shape: tuple[int, int], method: str = AUTO, layer: str | None = None
) -> CamMethod | CamUnavailable:
    """Select the CAM method of a model by probing it with three random images.

    Args:
        model: ready to run (`Model.to`).
        image_shape: (height, width) of the images, before the model's resizing.
        method: one of `method_meanings`.
        layer: target layer, by its dotted name. Default: found automatically.

    Raises:
        StudyError: the model does not allow the requested method or layer.
        ModelError: it does not run on such images.
    """
    method = parse_method(method)
    if method == NONE:
        return CamUnavailable(SWITCHED_OFF)
    impossible = getattr(model.torch_module, "no_attention", None)
    if isinstance(impossible, str):
        return _unavailable(model, method, impossible)
    inputs = probe_inputs(model, image_shape)
    if not inputs.is_floating_point():
        return _unavailable(model, method, OPAQUE)
    cam = None if method in (AUTO, GRAD_CAM) else cam_methods()[method]
    try:
        target = _target_layer(model, inputs, layer, cam)
    except _NoGradientError as error:
        return _unavailable(model, method, f"PyTorch cannot compute its gradients ({error})")
    if target is None:
        return _unavailable(model, method, _why_no_layer(model.torch_module))
    cam = cam or (BackwardCam if target.head is None else ClosedFormCam)
    if cam.needs_head and target.head is None:
        raise StudyError(
            f"{model.label} does not end in global average pooling and one linear layer (after the requested layer, if "
            f"any), as {method} needs: set attention to 'auto' or 'backward'"
        )
    return cam(model, target)


def _target_layer(
    model: Model, inputs: torch.Tensor, layer: str | None, cam: type[CamMethod] | None
) -> TargetLayer | None:
    """The target layer of a method; without a method, of closed form, otherwise of backward."""
    pooled = find_pooled_layer(model, inputs, layer)
    if pooled is not None and not pooled.single_position:
        return pooled
    if layer is None:
        target = find_target_layer(model, inputs)
    else:
        target = requested_target_layer(model, inputs, layer, needs_gradient=cam is None or cam.needs_gradient)
    needs_pooled = target is None if cam is None else cam.needs_head  # a single position if there is no other layer
    return pooled if pooled is not None and needs_pooled else target


def _unavailable(model: Model, method: str, reason: str) -> CamUnavailable:
    """No attention; an error if a method was requested."""
    if method == AUTO:
        return CamUnavailable(reason)
    raise StudyError(f"{model.label}: {reason}, so there is no {method}: set attention to 'auto' or 'none'")


def _why_no_layer(module: nn.Module) -> str:
    parts = list(module.modules())
    if any(isinstance(part, torch.jit.ScriptModule) for part in parts):
        return TORCH_SCRIPT
    return QUANTIZED if any(".quantized." in type(part).__module__ for part in parts) else NO_SPATIAL_LAYER


class LayerActivation(NamedTuple):
    """Facts about a module's output in the probe; the tensors themselves would take gigabytes.

    Attributes:
        layer: the module's dotted name.
        output_hash: hash of the output.
        gradient_hash: hash of the gradient of the largest logits with respect to the output.
        reached: where that gradient is not zero, of the output's shape.
    """

    layer: str
    output_hash: str
    gradient_hash: str
    reached: torch.Tensor


def find_target_layer(model: Model, inputs: torch.Tensor) -> TargetLayer | None:
    """The last module whose output has positions (h·w > 1) with a gradient; None if there is none.

    If it is on one of several parallel branches, the last module of the same h×w through which all evidence passes is
    used instead, if any: a map of one branch would ignore the others. If only a class token is read, the patches of the
    last block have no gradient, and the norm before its attention is found. Of modules that output the same tensor, the
    one with the fewest dots in its name is used, then the first that runs.

    Args:
        model: ready to run (`Model.to`).
        inputs: (N, 3, h, w) of a probe.

    Raises:
        ModelError: the model does not run on the probe.
    """
    input_hash = _hash_of(inputs)
    seen = [activation for activation in _activations(model, inputs) if activation.output_hash != input_hash]
    transforms = _feature_transforms(model, inputs, seen)
    placed = [
        (activation, transforms[activation.layer](activation.reached))
        for activation in reversed(seen)
        if activation.layer in transforms
    ]
    reaching = [(activation, on_grid) for activation, on_grid in placed if on_grid.any()]
    if not reaching:
        return None
    # of queries, keys and values, which only a class token reads, the norm before them is the feature
    plain = (pair for pair in reaching if not isinstance(model.torch_module.get_submodule(pair[0].layer), nn.Linear))
    latest, positions = next(plain, reaching[0]) if reaching[0][0].reached.ndim == 3 else reaching[0]
    if latest.reached.ndim == 4:
        maps = [
            activation
            for activation, on_grid in reaching
            if activation.reached.ndim == 4 and on_grid.shape[2:] == positions.shape[2:]
        ]
        latest = next(
            (activation for activation in maps if _passes_all_evidence(model, inputs, activation.layer)), latest
        )
    same = (activation.layer for activation in seen if activation[1:3] == latest[1:3])
    layer = min(same, key=lambda name: name.count("."))
    return TargetLayer(layer, transforms[layer])


def requested_target_layer(
    model: Model, inputs: torch.Tensor, layer: str, *, needs_gradient: bool = True
) -> TargetLayer:
    """Check a requested target layer.

    Raises:
        StudyError: there is no such layer (with the nearest names), it does not run, has no positions, or the logits do
            not depend on them.
    """
    names = [name for name, _ in model.torch_module.named_modules() if name]
    if layer not in names:
        near = get_close_matches(layer, names, n=3, cutoff=0.4) or names[-3:]
        raise StudyError(
            f"{model.label} has no layer {layer!r}: set attention_layer to one of its modules, such as "
            f"{', '.join(near)}"
        )
    fix = "set attention_layer to an earlier layer, or remove it"
    seen = _activations(model, inputs, layer)
    if not seen:
        raise StudyError(
            f"{model.label}: no gradient of the logits reaches layer {layer!r} (they do not depend on its output, or a "
            f"later layer has no gradient in PyTorch, such as a quantized one): {fix}"
        )
    image, patches = image_grids(model.torch_module, inputs)
    reached = seen[0].reached
    transform = infer_reshape_transform(reached, image, patches)
    if transform is None or len(reached) != len(inputs):  # not split into windows
        raise StudyError(
            f"{model.label}: layer {layer!r} returns {tuple(reached.shape)} for {len(inputs)} images of "
            f"{image[0]}×{image[1]} pixels, which has no spatial positions: {fix}"
        )
    if needs_gradient and not transform(reached).any():
        raise StudyError(
            f"{model.label}: the logits do not depend on the spatial positions of layer {layer!r} (only a class token "
            f"is read after it): {fix}"
        )
    return TargetLayer(layer, transform)


def _activations(model: Model, inputs: torch.Tensor, layer: str | None = None) -> list[LayerActivation]:
    """Outputs that the logits depend on, of all modules or of one, in the order of their last runs.

    The forward pass continues with a copy of each output, so that it is not modified before its gradient is known.
    """
    hooks: dict[str, RemovableHandle] = {}
    activations: dict[str, LayerActivation] = {}

    def watch(name: str, _source: torch.Tensor, output: torch.Tensor) -> torch.Tensor | None:
        if layer not in (None, name) or not output.requires_grad:
            return None
        if name in hooks:
            hooks.pop(name).remove()
        hooks[name] = output.register_hook(partial(keep, name, _hash_of(output)))  # type: ignore[no-untyped-call]
        return output.clone()

    def keep(name: str, output_hash: str, gradient: torch.Tensor | None) -> None:
        if gradient is not None:  # None if a later operation has no derivative
            activations[name] = LayerActivation(name, output_hash, _hash_of(gradient), gradient != 0)

    def largest_logits(logits: torch.Tensor) -> torch.Tensor:
        return model.mapped(logits).amax(1)

    _input_gradient(model, inputs, watch, largest_logits)
    return [activations[name] for name in hooks if name in activations]


def _passes_all_evidence(model: Model, inputs: torch.Tensor, layer: str) -> bool:
    """Whether the logits depend on the images only through this module."""

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
    """Gradient of the sum of selected logits with respect to the inputs; None if independent.

    Raises:
        _NoGradientError: a forward pass works, and one with gradients does not.
        ModelError: a forward pass does not work.
    """
    start = inputs.detach().clone().requires_grad_()
    try:
        logits = run_probe(model, start.clone(), watch)
        if not logits.requires_grad:
            return None
        (gradient,) = torch.autograd.grad(select(logits).sum(), start, allow_unused=True)
        return gradient
    except (RuntimeError, ModelError) as error:  # such as an operation in place on a tensor that a gradient needs
        with torch.no_grad():
            run_probe(model, inputs, lambda _name, _source, _output: None)
        raise _NoGradientError(printable(first_line(error), MAX_REASON_LETTERS)) from error


def _hash_of(values: torch.Tensor) -> str:
    """Hash of shape and values."""
    content = values.detach().contiguous().cpu().reshape(-1).view(torch.uint8).numpy()
    return f"{tuple(values.shape)} {hashlib.sha256(content.data).hexdigest()}"


def _feature_transforms(model: Model, inputs: torch.Tensor, seen: list[LayerActivation]) -> dict[str, ReshapeTransform]:
    """Transforms of outputs that are features, not attention matrices, queries, keys or wider hidden layers."""
    image, patches = image_grids(model.torch_module, inputs)
    whole = {activation.layer: activation.reached for activation in seen if len(activation.reached) == len(inputs)}
    inferred = {layer: infer_reshape_transform(reached, image, patches) for layer, reached in whole.items()}
    transforms = {layer: transform for layer, transform in inferred.items() if transform is not None}
    tokens = [layer for layer in transforms if whole[layer].ndim == 3]
    lengths = {whole[layer].shape[1] for layer in tokens}
    # a projection may be the last output of tokens (keys and values of an attention pool) and have another width
    plain = [layer for layer in tokens if not isinstance(model.torch_module.get_submodule(layer), nn.Linear)]
    width = whole[(plain or tokens)[-1]].shape[2] if tokens else 0

    def is_feature(reached: torch.Tensor) -> bool:
        if reached.ndim == 3:
            return reached.shape[2] == width
        return not (reached.shape[2] == reached.shape[3] and reached.shape[2] in lengths)

    return {layer: transform for layer, transform in transforms.items() if is_feature(whole[layer])}
