"""From a severity, any number from 0 to 5, to what is done: the parameters of one level, or a mixture of two.

Published parameters exactly at whole numbers; between them, by corruption:
- most interpolate their parameters on a straight line from level to level, and below 1 from the clean anchor of the
  recipe's table (shot noise the inverse root of its photons, which is the deviation of its noise);
- those whose parameters do not lead smoothly from level to level mix the images of the two (`MIXTURE_CORRUPTIONS`): defocus and zoom
  blur, linear filters whose disk gains whole pixels and whose zoom gains whole exposures (a mixture of images is then
  the image of a mixed kernel), and snow, whose flakes a layer zoomed by little more than 1 smooths away;
- those with switches (iterations, water or mud, less or more saturation) are refused; who asks for them all the same
  (`across_switches`) gets the same mixture, a cross-fade.
"""

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import NamedTuple

from failmodes.ingest.corruptions.catalogue import Corruption
from failmodes.ingest.corruptions.kernels.pixels import Parameters
from failmodes.ingest.corruptions.recipes import SEVERITIES, SeverityLevels
from failmodes.warehouse.errors import StudyError

Severity = int | float | Decimal

LAST_SEVERITY = SEVERITIES[-1]

THOUSANDTH = Decimal("0.001")

MIXTURE_CORRUPTIONS = {"defocus_blur", "zoom_blur", "snow"}

INVERSE_ROOT_CORRUPTIONS = {"shot_noise"}


class MixtureComponent(NamedTuple):
    """One image of a mixture: its weight, and its parameters (None: the clean image)."""

    weight: float
    parameters: Parameters | None


def as_severity(severity: Severity) -> Decimal:
    """The severity to thousandths, as the record keeps it.

    Raises:
        StudyError: it is no number from 0 to 5.
    """
    try:
        exact = Decimal(str(severity)).quantize(THOUSANDTH, ROUND_HALF_EVEN)
    except InvalidOperation:
        exact = Decimal("nan")
    if not (exact.is_finite() and 0 <= exact <= LAST_SEVERITY):
        raise StudyError(f"severity {severity} is out of range: expected a number from 0 (clean) to {LAST_SEVERITY}")
    return exact


def whole_severity(severity: Severity) -> int:
    """The severity as a whole number from 0 to 5, as published sets have them.

    Raises:
        StudyError: it is none.
    """
    exact = as_severity(severity)
    if exact != int(exact):
        raise StudyError(f"severity {severity} lies between the published ones: expected a whole number from 0 to 5")
    return int(exact)


def mixture_at(
    corruption: Corruption, levels: SeverityLevels, severity: Decimal, *, across_switches: bool
) -> tuple[MixtureComponent, ...]:
    """What makes the image at a severity: one part, or two neighbouring levels to mix.

    Raises:
        StudyError: between two levels of a corruption that does not interpolate, unless `across_switches`.
    """
    below = int(severity)
    share = float(severity - below)
    known = (None, *levels.published)
    if not share:
        return (MixtureComponent(1.0, known[below]),)
    if not corruption.interpolable and not across_switches:
        raise StudyError(
            f"{corruption.name!r} is not defined at severity {severity.normalize()}: {corruption.switch};"
            " use whole severities, or ask for a cross-fade with across_switches"
        )
    lower, upper = known[below] or levels.clean, known[below + 1]
    if corruption.name in MIXTURE_CORRUPTIONS or not corruption.interpolable or lower is None or upper is None:
        return MixtureComponent(1 - share, known[below]), MixtureComponent(share, upper)
    return (
        MixtureComponent(1.0, _between(lower, upper, share, inverse_root=corruption.name in INVERSE_ROOT_CORRUPTIONS)),
    )


def _between(lower: Parameters, upper: Parameters, share: float, *, inverse_root: bool) -> Parameters:
    power = -0.5 if inverse_root else 1.0
    line = [(1 - share) * a**power + share * b**power for a, b in zip(lower, upper, strict=True)]
    return tuple(value ** (1 / power) for value in line)
