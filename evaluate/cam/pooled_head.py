"""Whether a network ends in global average pooling and one linear layer, found by looking at what its modules give."""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import nn

from failmodes.evaluate.cam.closed_form import IDENTITY_TOLERANCE, ClosedFormCam
from failmodes.evaluate.cam.probe import run_probe
from failmodes.evaluate.cam.reshape_transform import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    MAX_PREFIX_TOKENS,
    Grid,
    ReshapeTransform,
    patch_grid,
    token_reshape_transform,
)
from failmodes.evaluate.models.network import Network

SAME = 1e-4  # largest difference of two tensors that are one, relative to the largest value: rounding of float32 means

CHECKED_TARGETS = 16  # classes an image that the identity is proven for


class PooledLinearHead(NamedTuple):
    """The ending of a network in closed form.

    Attributes:
        layer: the module whose output is pooled.
        head: the linear layer that the pooled features go to.
        layout: of the layer's output.
        rectify: whether features are rectified first; so are those that are never negative, where it changes nothing.
        itself: whether the output itself is pooled, not what a ReLU without a name makes of it.
        places: h·w.
    """

    layer: str
    head: str
    layout: ReshapeTransform
    rectify: bool
    itself: bool
    places: int

    def way(self, network: Network) -> ClosedFormCam:
        """The way that this ending allows."""
        return ClosedFormCam(network, self.layer, self.head, layout=self.layout, rectify=self.rectify)


def find_pooled_linear_head(
    network: Network, inputs: torch.Tensor, asked: str | None = None
) -> PooledLinearHead | None:
    """The ending of a network in closed form, proven on `inputs`; None if it has none.

    Several modules may give the tensor that is pooled (a block, the stage it ends, a dropout behind it): the one with
    the fewest dots in its name is taken, of these the first that runs. One place alone (1×1) is taken only where no
    larger map is pooled, a map before its ReLU only where no module gives it rectified.

    Args:
        network: ready to run.
        inputs: (N, 3, h, w) of a trial.
        asked: the only layer that will do, if given.

    Raises:
        ModelError: the network does not run on the trial.
    """
    found = _find_head(network, inputs)
    if found is None:
        return None
    head, pooled = found
    image: Grid = (inputs.shape[2], inputs.shape[3])
    patches = patch_grid(network.module, image)
    endings: dict[str, PooledLinearHead] = {}

    def watch(name: str, _source: torch.Tensor, output: torch.Tensor) -> None:
        endings.pop(name, None)  # a module that runs again is known by its last output, as in `ClosedFormCam`
        for layout in _possible_layouts(output, pooled, image, patches):
            maps = layout.maps(output)
            itself = _are_same(maps.mean((2, 3)), pooled)
            if itself or _are_same(maps.relu().mean((2, 3)), pooled):
                rectify = not itself or bool((maps >= 0).all())
                endings.setdefault(name, PooledLinearHead(name, head, layout, rectify, itself, maps[0, 0].numel()))

    with torch.no_grad():
        run_probe(network, inputs, watch)
    fitting = [ending for ending in endings.values() if asked in (None, ending.layer)]
    best = min(fitting, key=lambda e: (e.places == 1, not e.itself, e.layer.count(".")), default=None)
    return best if best is not None and _is_proven(network, inputs, best) else None


def _find_head(network: Network, inputs: torch.Tensor) -> tuple[str, torch.Tensor] | None:
    """The linear layer whose output is the module's, and its input (N, K); None if there is none."""
    linears = {name for name, part in network.module.named_modules() if isinstance(part, nn.Linear)}
    seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def watch(name: str, source: torch.Tensor, output: torch.Tensor) -> None:
        if name in linears and output.ndim == 2:
            seen[name] = source.clone(), output.clone()

    with torch.no_grad():
        logits = run_probe(network, inputs, watch)
    for name, (source, output) in reversed(seen.items()):
        if output.shape == logits.shape and torch.equal(output.nan_to_num(), logits.nan_to_num()):
            return name, source
    return None


def _possible_layouts(
    output: torch.Tensor, pooled: torch.Tensor, image: Grid, patches: Grid | None
) -> list[ReshapeTransform]:
    """Layouts in which `output` has as many channels as the pooled features (N, K)."""
    count, channels = pooled.shape
    if output.shape[0] != count or output.ndim not in (3, 4):
        return []
    if output.ndim == 4:
        return [layout for layout, axis in ((CHANNELS_FIRST, 1), (CHANNELS_LAST, 3)) if output.shape[axis] == channels]
    if output.shape[2] != channels:
        return []
    length = output.shape[1]
    stated = token_reshape_transform(length, image, patches)
    others = (token_reshape_transform(length - prefix, image, None) for prefix in range(MAX_PREFIX_TOKENS + 1))
    # the same grid behind more prefix tokens: which of them are pooled is told by the mean
    grids = [ReshapeTransform("tokens", length - g.grid[0] * g.grid[1], g.grid) for g in others if g and g.grid]
    return [layout for layout in dict.fromkeys([stated, *grids]) if layout and layout.prefix <= MAX_PREFIX_TOKENS]


def _are_same(first: torch.Tensor, second: torch.Tensor) -> bool:
    scale = float(second.abs().max())
    return scale > 0 and float((first - second).abs().max()) <= SAME * scale


def _is_proven(network: Network, inputs: torch.Tensor, ending: PooledLinearHead) -> bool:
    """Whether maps made in closed form sum to the logits, in float32."""
    way = ending.way(replace(network, precision="float32"))
    attended = way(inputs, lambda logits: logits.argsort(1, descending=True)[:, :CHECKED_TARGETS])
    way.release()
    assert attended.identity_error is not None
    return float(attended.identity_error) <= IDENTITY_TOLERANCE["float32"]
