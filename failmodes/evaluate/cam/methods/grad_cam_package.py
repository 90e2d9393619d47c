"""Methods of the grad-cam package, which compute maps from one layer's output and gradient on the CPU.

Methods that only return a scaled image, replace layers of the model or sample randomly are excluded.
"""

from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from failmodes.evaluate.cam.cam_method import CamMethod, TargetLayer
from failmodes.evaluate.models.model import Model


class _Logits(nn.Module):
    """A model as the package's methods call it: from inputs to the logits of all outputs."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.module = model.torch_module
        self.forward = model.all_logits


class PackageCam(CamMethod):
    """Base of the package's methods: a subclass has the name of the package's class.

    The map is that of the package before scaling to 0–1 and enlarging, rectified. Mass is therefore in the method's
    unit (squared gradients for Grad-CAM++, singular values for EigenCAM, softmax-weighted features for Score-CAM …) and
    only comparable within one method.
    """

    images_at_once: ClassVar[int | None] = None  # None: the whole batch

    def __init_subclass__(cls, *, name: str) -> None:
        super().__init_subclass__(name=name, method=f"{name} (grad-cam package)")

    def __init__(self, model: Model, target: TargetLayer) -> None:
        import pytorch_grad_cam
        import pytorch_grad_cam.score_cam as score_cam

        super().__init__(model, target)
        self.module = model.torch_module.get_submodule(target.layer)
        score_cam.tqdm = SimpleNamespace(tqdm=iter)  # without Score-CAM's progress bar for every image
        package_class = getattr(pytorch_grad_cam, type(self).__name__)
        self.cam = package_class(model=_Logits(model), target_layers=[self.module])
        self.cam.activations_and_grads.release()  # remove its hooks, which copy every pass to the CPU

    def class_maps(
        self, inputs: torch.Tensor, classes: torch.Tensor, features: torch.Tensor, gradients: torch.Tensor
    ) -> torch.Tensor:
        """The package's rectified map (N, h, w) of one class per image."""
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        outputs = classes if self.model.logit_outputs is None else self.model.logit_outputs[classes]
        targets = [ClassifierOutputTarget(output) for output in outputs.tolist()]
        size = self.images_at_once or len(inputs)
        maps = []
        for start in range(0, len(inputs), size):
            part = slice(start, start + size)
            arrays = (values[part].cpu().numpy() for values in (features, gradients))
            maps.append(np.maximum(self.cam.get_cam_image(inputs[part], self.module, targets[part], *arrays, False), 0))
        return torch.from_numpy(np.concatenate(maps).astype(np.float32, copy=False)).to(inputs.device)


class GradCAMPlusPlus(PackageCam, name="gradcam++"):
    """Grad-CAM++ (Chattopadhay et al. 2018): channels weighted by a weighted sum of their positive gradients."""


class HiResCAM(PackageCam, name="hirescam"):
    """HiResCAM (Draelos and Carin 2020): gradient times output, position by position."""


class XGradCAM(PackageCam, name="xgradcam"):
    """XGrad-CAM (Fu et al. 2020): channels weighted by the average of their gradients, weighted by the output."""


class GradCAMElementWise(PackageCam, name="gradcamelementwise"):
    """Gradient times output, position by position, rectified in each channel."""


class LayerCAM(PackageCam, name="layercam"):
    """LayerCAM (Jiang et al. 2021): positive gradients times output, position by position."""


class EigenCAM(PackageCam, name="eigencam"):
    """EigenCAM (Muhammad and Yeasin 2020): first principal component of the output; the same for every class."""

    needs_gradient = False
    has_targets = False


class EigenGradCAM(PackageCam, name="eigengradcam"):
    """First principal component of gradient times output."""


class ScoreCAM(PackageCam, name="scorecam"):
    """Score-CAM (Wang et al. 2020): channels weighted by the logit of images masked by them; no gradients, slow."""

    needs_gradient = False
    images_at_once = 1  # it keeps a masked image for each channel
