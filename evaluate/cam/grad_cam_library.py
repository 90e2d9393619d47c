"""Any other method of the grad-cam package, by name: on the CPU, image by image where the package works so."""

from typing import Any

import numpy as np
import torch

from failmodes.evaluate.cam.cam_method import LIBRARY_CLASSES, LIBRARY_SUFFIX, CamOutput, TargetSelector
from failmodes.evaluate.cam.gradient import ForwardResult, LayerGraph, differing_columns, join_columns
from failmodes.evaluate.cam.target_layers import TargetLayer
from failmodes.evaluate.models.network import Network

GRADIENT_FREE = ("eigencam", "scorecam")


class GradCamLibrary:
    """The way of one method of the package, at one layer.

    Features and gradients are made as in `GradientCam`; the map of them is the package's own, before it scales to 0–1 and
    enlarges, and rectified. Mass is therefore in the method's own unit (squared gradients for Grad-CAM++, singular
    values for EigenCAM, softmax-weighted features for Score-CAM …), and comparable within one method only. EigenCAM
    has no targets: all of an image's maps are one.

    Args:
        network: ready to run.
        spot: the layer to look at.
        name: a key of `LIBRARY_CLASSES`.
    """

    def __init__(self, network: Network, spot: TargetLayer, name: str) -> None:
        self.network, self.layer, self.method = network, spot.layer, name + LIBRARY_SUFFIX
        self.tail = LayerGraph(network, spot)
        self.needs_gradient = name not in GRADIENT_FREE
        self.has_targets = name != "eigencam"
        self.images_at_once = 1 if name == "scorecam" else None  # it holds a masked image for every channel
        self.target_layer = network.module.get_submodule(spot.layer)
        self.cam = _package_method(network, self.target_layer, name)

    @torch.inference_mode(False)
    def __call__(self, inputs: torch.Tensor, choose: TargetSelector) -> CamOutput:
        """One forward pass, then the package's map for each column of targets that is not like the first."""
        passed = self.tail.forward(inputs)
        logits = passed.logits.detach()
        targets = choose(logits)
        columns = differing_columns(targets) if self.has_targets else [0]
        maps = {column: self._map(inputs, passed, targets[:, column], keep=column != columns[-1]) for column in columns}
        return CamOutput(logits, targets, join_columns(maps, targets), None)

    def _map(self, inputs: torch.Tensor, passed: ForwardResult, classes: torch.Tensor, *, keep: bool) -> torch.Tensor:
        """The rectified map (N, h, w) of a class an image."""
        features = self.tail.features(passed).cpu().numpy()
        # methods without gradient are given the features in its place, and do not read them
        gradients = self.tail.gradients(passed, classes, keep=keep).cpu().numpy() if self.needs_gradient else features
        targets, found = self._package_targets(classes), []
        for start in range(0, len(inputs), self.images_at_once or len(inputs)):
            part = slice(start, start + (self.images_at_once or len(inputs)))
            arguments = (inputs[part], self.target_layer, targets[part], features[part], gradients[part], False)
            found.append(np.maximum(self.cam.get_cam_image(*arguments), 0))
        return torch.from_numpy(np.concatenate(found).astype(np.float32, copy=False)).to(inputs.device)

    def _package_targets(self, classes: torch.Tensor) -> list[Any]:
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        places = classes if self.network.outputs is None else self.network.outputs[classes]
        return [ClassifierOutputTarget(place) for place in places.tolist()]


def _package_method(network: Network, layer: torch.nn.Module, name: str) -> Any:
    """The package's object for a method, without its hooks, which would copy every pass to the CPU and keep it."""
    import pytorch_grad_cam
    import pytorch_grad_cam.score_cam as score_cam

    score_cam.tqdm = _Quiet  # Score-CAM draws a progress bar for every image
    cam = getattr(pytorch_grad_cam, LIBRARY_CLASSES[name])(model=network.module, target_layers=[layer])
    cam.activations_and_grads.release()
    return cam


class _Quiet:
    """Stands in for the module tqdm."""

    @staticmethod
    def tqdm(steps: Any) -> Any:
        """The steps as they are."""
        return steps
