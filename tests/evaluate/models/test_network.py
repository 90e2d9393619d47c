"""A network ready to run prepares its inputs."""

import numpy as np
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from failmodes.evaluate.models.network import prepare_network
from failmodes.evaluate.study.study_schema import Normalisation


def test_a_network_resizes_images_to_its_own_side() -> None:
    module = torch.nn.Sequential(torch.nn.Identity())
    images = np.random.default_rng(0).integers(0, 256, (2, 20, 28, 3), dtype=np.uint8)
    normalisation = Normalisation(mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2))
    network = prepare_network(module, "resnet18", normalisation, torch.device("cpu"), "float32", input_side_px=12)
    found = network.inputs(images)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    resized = resize(pixels, [12, 12], interpolation=InterpolationMode.BILINEAR, antialias=True)
    mean = torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1)
    torch.testing.assert_close(found, (resized / 255 - mean) / 0.2, atol=1e-5, rtol=0)
