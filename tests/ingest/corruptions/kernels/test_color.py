"""Saturate and brightness against scikit-image."""

import numpy as np
import pytest
from corruption_references import SETTINGS, Pixels, Setting, both, both_at, every_tie, reference_saturate, stored
from skimage import color

from failmodes.ingest.corruptions.catalog import SEVERITIES


@pytest.mark.parametrize("parameters", [(0.3, 0), (2, 0.1), (20, 0.2)])
def test_saturate_equals_scikit_image_on_every_tie(parameters: tuple[float, float]) -> None:
    np.testing.assert_array_equal(*both("saturate", every_tie(), parameters, {}, reference_saturate))


def reference_brightness(image: Pixels, added: float) -> Pixels:
    hsv = color.rgb2hsv(image / 255)
    hsv[..., 2] = np.clip(hsv[..., 2] + added, 0, 1)
    return stored(color.hsv2rgb(hsv))


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_brightness_equals_scikit_image(setting: Setting, severity: int) -> None:
    np.testing.assert_array_equal(*both_at("brightness", setting, severity, reference_brightness))


@pytest.mark.parametrize("added", [0.05, 0.3, 1])
def test_brightness_equals_scikit_image_on_every_tie(added: float) -> None:
    np.testing.assert_array_equal(*both("brightness", every_tie(), (added,), {}, reference_brightness))
