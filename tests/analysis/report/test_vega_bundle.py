"""The script that draws charts."""

from failmodes.analysis.report.vega_bundle import vega_bundle


def test_the_license_stands_before_the_script() -> None:
    license_text, _, script = vega_bundle().partition("*/")
    assert "University of Washington Interactive Data Lab" in license_text
    assert "window.vegaEmbed" in script
