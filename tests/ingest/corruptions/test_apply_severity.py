"""From severity to parameters: published ones exactly at whole numbers, lines between, mixtures, switches refused."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from failmodes.ingest.corruptions.apply import MIXTURE_CORRUPTIONS, MixtureComponent, corrupt, mixture_at
from failmodes.ingest.corruptions.catalog import CORRUPTIONS, RECIPES, SEVERITIES, as_severity
from failmodes.warehouse.errors import StudyError

IMAGES = np.random.default_rng(1).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
CELLS = [(recipe, name) for recipe in RECIPES for name in CORRUPTIONS]


def parts(recipe: str, name: str, severity: float, *, across_switches: bool = False) -> tuple[MixtureComponent, ...]:
    levels = CORRUPTIONS[name].levels[recipe]
    return mixture_at(CORRUPTIONS[name], levels, as_severity(severity), across_switches=across_switches)


@pytest.mark.parametrize(("recipe", "name"), CELLS)
def test_whole_severities_have_the_published_parameters(recipe: str, name: str) -> None:
    for severity in SEVERITIES:
        assert parts(recipe, name, severity) == (MixtureComponent(1.0, CORRUPTIONS[name].levels[recipe][severity]),)
    assert parts(recipe, name, 0) == (MixtureComponent(1.0, None),)


@pytest.mark.parametrize(
    ("recipe", "name"), [c for c in CELLS if CORRUPTIONS[c[1]].interpolable and c[1] not in MIXTURE_CORRUPTIONS]
)
def test_between_levels_every_parameter_lies_between(recipe: str, name: str) -> None:
    ends = CORRUPTIONS[name].levels[recipe]
    for below in range(5):
        ((weight, found),) = parts(recipe, name, below + 0.25)
        assert weight == 1.0
        for low, value, high in zip(ends[below], found, ends[below + 1], strict=True):
            assert min(low, high) - 1e-9 <= value <= max(low, high) + 1e-9


def test_shot_noise_interpolates_the_deviation_of_its_noise() -> None:
    ((_, (photons,)),) = parts("cifar-c", "shot_noise", 1.5)
    assert photons**-0.5 == pytest.approx((500**-0.5 + 250**-0.5) / 2)
    ((_, (photons,)),) = parts("cifar-c", "shot_noise", 0.5)
    assert photons**-0.5 == pytest.approx(500**-0.5 / 2), "no noise at severity 0"


@pytest.mark.parametrize("name", sorted(MIXTURE_CORRUPTIONS))
def test_mixtures_are_the_weighted_images_of_the_two_levels(name: str) -> None:
    for below in (0, 2):
        low, high = corrupt(IMAGES, name, below).astype(float), corrupt(IMAGES, name, below + 1).astype(float)
        np.testing.assert_array_equal(corrupt(IMAGES, name, below + 0.25), np.rint(0.75 * low + 0.25 * high))


@pytest.mark.parametrize("name", [c.name for c in CORRUPTIONS.values() if not c.interpolable])
def test_switches_are_refused_with_the_reason_unless_asked_for(name: str) -> None:
    with pytest.raises(StudyError, match=r"not defined at severity 2\.5: .*across_switches"):
        corrupt(IMAGES, name, 2.5)
    low, high = corrupt(IMAGES, name, 2).astype(float), corrupt(IMAGES, name, 3).astype(float)
    np.testing.assert_array_equal(corrupt(IMAGES, name, 2.5, across_switches=True), np.rint((low + high) / 2))
    corrupt(IMAGES, name, 2.0)


@pytest.mark.parametrize("name", [c.name for c in CORRUPTIONS.values() if c.interpolable])
@pytest.mark.parametrize("recipe", list(RECIPES))
def test_curves_have_no_jump_beside_a_published_level(recipe: str, name: str) -> None:
    if name in ("jpeg_compression", "pixelate"):
        pytest.skip("whole qualities and whole pixels: it moves in steps")
    images = np.random.default_rng(0).integers(60, 200, (6, 8, 8, 3), dtype=np.uint8).repeat(5, 1).repeat(5, 2)
    for severity in (1, 2, 3, 4):
        at, beside = (
            corrupt(images, name, s, recipe=recipe).astype(float) for s in (severity, severity + Decimal("0.004"))
        )
        apart = np.abs(corrupt(images, name, severity + 1, recipe=recipe).astype(float) - at).mean()
        assert np.abs(beside - at).mean() <= max(0.15 * apart, 0.6), severity


@given(st.decimals(0, 5, places=3))
def test_thousandths_are_kept(severity: Decimal) -> None:
    assert as_severity(severity) == as_severity(float(severity)) == severity
    assert as_severity(severity).as_tuple().exponent == -3
