"""Grad-CAM by one backward pass from the logits to a layer, for models without closed form or a requested layer.

Selvaraju et al. (2017): α_k = mean over space of ∂logit_c / ∂A_k (eq. 1; the mean is their 1/Z Σ) and the map is
ReLU(Σ_k α_k A_k) (eq. 2). Maps are neither scaled to 0–1 nor enlarged, so that their mass is in logits.
"""

import torch

from failmodes.evaluate.cam.cam_method import CamMethod


class BackwardCam(CamMethod, name="backward", method="grad-cam (backward)"):
    """Grad-CAM (Selvaraju et al. 2017) by one backward pass, at any layer with positions on the image.

    At the layer of a closed form the maps equal those of the closed form, unless a ReLU follows the layer
    (torchvision's DenseNet): then the gradient is taken before the ReLU and is zero where the ReLU is inactive.
    """

    def class_maps(
        self, inputs: torch.Tensor, classes: torch.Tensor, features: torch.Tensor, gradients: torch.Tensor
    ) -> torch.Tensor:
        """Equations 1 and 2."""
        return torch.einsum("nk,nkhw->nhw", gradients.mean((2, 3)), features).relu()
