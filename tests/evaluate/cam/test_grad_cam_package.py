"""Methods of the grad-cam package by name, against direct calls of the package."""

import pytest
from cam_models import CASES, difference, images_of, model_of, package_maps, two_targets

from failmodes.evaluate.cam.method_selection import select_cam_method

METHODS = {
    "gradcam++": "GradCAMPlusPlus", "hirescam": "HiResCAM", "xgradcam": "XGradCAM", "layercam": "LayerCAM",
    "gradcamelementwise": "GradCAMElementWise", "eigencam": "EigenCAM", "eigengradcam": "EigenGradCAM",
    "scorecam": "ScoreCAM",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "method"),
    [
        *(("torchvision convnext", method) for method in METHODS),
        ("torchvision vit", "layercam"),
        ("torchvision swin", "scorecam"),
        pytest.param("timm vit", "layercam", marks=pytest.mark.test_all),
        pytest.param("timm swin", "scorecam", marks=pytest.mark.test_all),
    ],
)
def test_each_method_of_the_package_equals_a_direct_call(name: str, method: str, capsys) -> None:
    prepared, case = model_of(name), CASES[name]
    inputs = prepared.inputs(images_of(name, 2))
    cam_method = select_cam_method(prepared, case.image, method=method)
    output = cam_method(inputs, two_targets)
    assert (cam_method.method, cam_method.layer) == (f"{method} (grad-cam package)", case.layer)
    for column in range(2):
        classes = output.targets[:, column]
        expected = package_maps(METHODS[method], prepared.module, case.layer, case.reshape_transform, inputs, classes)
        assert difference(output.maps[:, column], expected) < 1e-4
    assert capsys.readouterr().err == ""  # Score-CAM's progress bars
