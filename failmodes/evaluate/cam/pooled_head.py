"""Whether a model ends in global average pooling and one linear layer, found from its modules' outputs."""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import nn

from failmodes.evaluate.cam.closed_form import IDENTITY_TOLERANCE, ClosedFormCam
from failmodes.evaluate.cam.probe import are_equal, run_probe
from failmodes.evaluate.cam.reshape_transform import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    MAX_PREFIX_TOKENS,
    Grid,
    ReshapeTransform,
    patch_grid,
    token_reshape_transform,
)
from failmodes.evaluate.models.model import Model

SAME = 1e-4  # tensors that differ less, relative to the largest value, count as equal: rounding of float32 means
CHECKED_TARGETS = 16  # classes an image that the identity is proven for


class PooledLinearHead(NamedTuple):
    """A pooled linear head, the ending that allows the closed form.

    Attributes:
        layer: the module whose output is pooled.
        head: the linear layer that the pooled features go to.
        reshape_transform: of the layer's output.
        relu: whether features are rectified first; also true of features that are never negative.
        pools_output: whether the output itself is pooled, rather than its ReLU applied without a module.
        spatial_positions: h·w.
    """

    layer: str
    head: str
    reshape_transform: ReshapeTransform
    relu: bool
    pools_output: bool
    spatial_positions: int

    def closed_form(self, prepared: Model) -> ClosedFormCam:
        """The CAM method that this head allows."""
        return ClosedFormCam(prepared, self.layer, self.head, self.reshape_transform, self.relu)


def find_pooled_linear_head(prepared: Model, inputs: torch.Tensor, layer: str | None = None) -> PooledLinearHead | None:
    """The pooled linear head of a model, proven on `inputs`; None if it has none.

    Several modules may output the tensor that is pooled (a block, the stage it ends, a dropout behind it): the one with
    the fewest dots in its name is taken, of these the first that runs. A single position (1×1) is taken only where no
    larger map is pooled, a map before its ReLU only where no module outputs it rectified.

    Args:
        prepared: ready to run.
        inputs: (N, 3, h, w) of a probe.
        layer: the only layer accepted, if given.

    Raises:
        ModelError: the model does not run on the probe.
    """
    found = _find_linear_layer(prepared, inputs)
    if found is None:
        return None
    linear, pooled = found
    image: Grid = (inputs.shape[2], inputs.shape[3])
    patches = patch_grid(prepared.module, image)
    heads: dict[str, PooledLinearHead] = {}

    def watch(name: str, _source: torch.Tensor, output: torch.Tensor) -> None:
        heads.pop(name, None)  # a module that runs again is known by its last output, as in `ClosedFormCam`
        for transform in _possible_transforms(output, pooled, image, patches):
            maps = transform(output)
            pools_output = _are_close(maps.mean((2, 3)), pooled)
            if pools_output or _are_close(maps.relu().mean((2, 3)), pooled):
                relu = not pools_output or bool((maps >= 0).all())
                head = PooledLinearHead(name, linear, transform, relu, pools_output, maps[0, 0].numel())
                heads.setdefault(name, head)

    with torch.no_grad():
        run_probe(prepared, inputs, watch)
    fitting = [head for head in heads.values() if layer in (None, head.layer)]
    best = min(fitting, key=lambda h: (h.spatial_positions == 1, not h.pools_output, h.layer.count(".")), default=None)
    return best if best is not None and _is_proven(prepared, inputs, best) else None


def _find_linear_layer(prepared: Model, inputs: torch.Tensor) -> tuple[str, torch.Tensor] | None:
    """The linear layer whose output is the module's, and its input (N, K); None if there is none."""
    linears = {name for name, part in prepared.module.named_modules() if isinstance(part, nn.Linear)}
    seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def watch(name: str, source: torch.Tensor, output: torch.Tensor) -> None:
        if name in linears and output.ndim == 2:
            seen[name] = source.clone(), output.clone()

    with torch.no_grad():
        logits = run_probe(prepared, inputs, watch)
    return next(
        ((name, source) for name, (source, output) in reversed(seen.items()) if are_equal(output, logits)), None
    )


def _possible_transforms(
    output: torch.Tensor, pooled: torch.Tensor, image: Grid, patches: Grid | None
) -> list[ReshapeTransform]:
    """Transforms by which `output` has as many channels as the pooled features (N, K)."""
    count, channels = pooled.shape
    if output.shape[0] != count or output.ndim not in (3, 4):
        return []
    if output.ndim == 4:
        return [
            transform for transform, axis in ((CHANNELS_FIRST, 1), (CHANNELS_LAST, 3)) if output.shape[axis] == channels
        ]
    if output.shape[2] != channels:
        return []
    length = output.shape[1]
    own = token_reshape_transform(length, image, patches)
    others = (token_reshape_transform(length - prefix, image, None) for prefix in range(MAX_PREFIX_TOKENS + 1))
    # the same grid behind more prefix tokens: the mean tells which of them are pooled
    grids = [ReshapeTransform("tokens", length - t.grid[0] * t.grid[1], t.grid) for t in others if t and t.grid]
    return [t for t in dict.fromkeys([own, *grids]) if t and t.num_prefix_tokens <= MAX_PREFIX_TOKENS]


def _are_close(first: torch.Tensor, second: torch.Tensor) -> bool:
    scale = float(second.abs().max())
    return scale > 0 and float((first - second).abs().max()) <= SAME * scale


def _is_proven(prepared: Model, inputs: torch.Tensor, head: PooledLinearHead) -> bool:
    """Whether maps made in closed form sum to the logits, in float32."""
    cam_method = head.closed_form(replace(prepared, precision="float32"))
    output = cam_method(inputs, lambda logits: logits.argsort(1, descending=True)[:, :CHECKED_TARGETS])
    cam_method.handle.remove()
    assert output.identity_error is not None
    return float(output.identity_error) <= IDENTITY_TOLERANCE["float32"]
