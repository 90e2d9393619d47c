"""Any other method of the grad-cam package, by name: on the CPU, and image by image where the package requires it."""

from types import SimpleNamespace

import numpy as np
import torch

from failmodes.evaluate.cam.cam_method import LIBRARY_CLASSES, LIBRARY_SUFFIX
from failmodes.evaluate.cam.gradient import GradientCam
from failmodes.evaluate.cam.target_layers import TargetLayer
from failmodes.evaluate.models.model import Model

GRADIENT_FREE = ("eigencam", "scorecam")


class GradCamLibrary(GradientCam):
    """One method of the package, at one layer.

    Features and gradients are made as in `GradientCam`; the map of them is the package's own, before it scales to 0–1
    and enlarges, and rectified. Mass is therefore in the method's own unit (squared gradients for Grad-CAM++, singular
    values for EigenCAM, softmax-weighted features for Score-CAM …), and comparable within one method only. EigenCAM
    has no targets: all of an image's maps are one.

    Args:
        prepared: model, ready to run.
        target_layer: the layer to look at.
        name: a key of `LIBRARY_CLASSES`.
    """

    def __init__(self, prepared: Model, target_layer: TargetLayer, name: str) -> None:
        import pytorch_grad_cam
        import pytorch_grad_cam.score_cam as score_cam

        super().__init__(prepared, target_layer)
        self.method = name + LIBRARY_SUFFIX
        self.needs_gradient = name not in GRADIENT_FREE
        self.has_targets = name != "eigencam"
        self.images_at_once = 1 if name == "scorecam" else None  # it holds a masked image for every channel
        self.module = prepared.module.get_submodule(target_layer.layer)
        score_cam.tqdm = SimpleNamespace(tqdm=iter)  # else Score-CAM shows a progress bar for every image
        cam_class = getattr(pytorch_grad_cam, LIBRARY_CLASSES[name])
        self.cam = cam_class(model=prepared.module, target_layers=[self.module])
        self.cam.activations_and_grads.release()  # its hooks would copy every pass to the CPU and keep it

    def class_maps(
        self, inputs: torch.Tensor, classes: torch.Tensor, features: torch.Tensor, gradients: torch.Tensor
    ) -> torch.Tensor:
        """The package's map (N, h, w) of one class an image, rectified."""
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        outputs = classes if self.prepared.outputs is None else self.prepared.outputs[classes]
        targets = [ClassifierOutputTarget(output) for output in outputs.tolist()]
        size, maps = self.images_at_once or len(inputs), []
        for start in range(0, len(inputs), size):
            part = slice(start, start + size)
            arrays = (values[part].cpu().numpy() for values in (features, gradients))
            maps.append(np.maximum(self.cam.get_cam_image(inputs[part], self.module, targets[part], *arrays, False), 0))
        return torch.from_numpy(np.concatenate(maps).astype(np.float32, copy=False)).to(inputs.device)
